"""The screen of the phone, and what is said beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TextIO

from rich.box import ASCII, ROUNDED
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from ussd_engine.charset import is_gsm7, septets, units

if TYPE_CHECKING:
    from ussd_engine.settings_model import NetworkProfile

PHONE_COLUMNS: Final = 44
"""Wide enough that the lines of a page are seldom broken, as on a phone that is held upright."""


class Display:
    """Boxes and colours on a terminal; plain characters anywhere else."""

    def __init__(self, out: TextIO, *, interactive: bool) -> None:
        plain = not (interactive and out.isatty())
        self._console = Console(file=out, highlight=False, no_color=plain, width=80 if plain else None)
        self._box = ASCII if plain else ROUNDED

    def page(self, page: str, label: str, profile: NetworkProfile, *, end: bool) -> None:
        """What the subscriber sees, with what it costs on the air."""
        cost, fits = cost_of(page, profile)
        colour = "red" if not fits else "dim" if end else "green"
        self.box(
            page,
            f"{'END' if end else 'CON'} {label}".rstrip(),
            cost if fits else f"{cost} - DOES NOT FIT",
            colour,
        )

    def sms(self, text: str, phone_number: str) -> None:
        size = f"{septets(text)} septets" if is_gsm7(text) else f"{units(text)} UCS-2 units"
        self.box(text, f"SMS to {phone_number}", size, "cyan")

    def box(self, text: str, title: str, subtitle: str, colour: str) -> None:
        panel = Panel(
            Text(harmless(text), overflow="fold"),
            box=self._box,
            title=Text(title),
            subtitle=Text(subtitle),
            border_style=colour,
            width=PHONE_COLUMNS,
        )
        self._console.print(panel)

    def say(self, text: str, style: str = "") -> None:
        self._console.print(Text(harmless(text), style=style))

    def prompt(self) -> None:
        self._console.print("> ", end="")


def harmless(text: str) -> str:
    """Nothing of a text may steer the terminal: a subscriber may have typed it."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def cost_of(page: str, profile: NetworkProfile) -> tuple[str, bool]:
    """What a page takes of its budget, in words, and whether it fits."""
    if is_gsm7(page):
        used, budget, unit = septets(page), profile.page_septets, "septets"
    else:
        used, budget, unit = units(page), profile.page_ucs2, "UCS-2 units"
    return f"{used} of {budget} {unit}", used <= budget
