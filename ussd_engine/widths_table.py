"""`ussd check --widths`: how wide each screen can become, and what is left of the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from ussd_engine.flow.fit import fits

if TYPE_CHECKING:
    from ussd_engine.flow.loader import Library

COLUMNS = 120
"""Where the output is no terminal: names are not cut."""


def show(library: Library, out: TextIO) -> None:
    """A row for each screen, language, network and encoding; the widest page in septets, or in units of UCS-2."""
    table = Table(box=SIMPLE, title="Each screen at its widest", title_justify="left")
    for heading, justify in (
        ("screen", "left"),
        ("language", "left"),
        ("network", "left"),
        ("counted in", "left"),
        ("widest page", "right"),
        ("budget", "right"),
        ("headroom", "right"),
        ("pages", "right"),
    ):
        table.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=True)
    for flow in library.flows.values():
        for fit in fits(flow, library.networks):
            table.add_row(
                f"{fit.flow}.{fit.state}",
                fit.language,
                fit.network,
                "UCS-2 units" if fit.ucs2 else "septets",
                str(fit.cost),
                str(fit.budget),
                str(fit.headroom),
                str(fit.pages),
            )
    console = Console(file=out, highlight=False, width=None if out.isatty() else COLUMNS)
    console.print(table)
    console.print(
        "Septets are those of GSM-7. A screen stands twice where a value may force it into UCS-2, such as a name\n"
        "that is typed in another script. Pages are counted for the widest values; words of a wrong input included.\n"
        "No page is ever wider. One page is never more; of several, values that break elsewhere may need one more."
    )
