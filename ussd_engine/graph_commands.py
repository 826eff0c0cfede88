"""`ussd graph`: the flows of a folder as a drawing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ussd_engine import console
from ussd_engine.console import Config
from ussd_engine.errors import FlowError, UssdError

if TYPE_CHECKING:
    from ussd_engine.drawing.visits import Visits
    from ussd_engine.flow.loader import Library
    from ussd_engine.flow.model import Flow

UNKNOWN_SHOWN = 5


def graph(
    path: Annotated[Path, typer.Argument(help="The folder of flows.", show_default=True)] = Path("flows"),
    name: Annotated[
        str | None, typer.Option("--flow", help="Draw this flow alone.", show_default=False)
    ] = None,
    form: Annotated[
        Literal["mermaid", "svg"], typer.Option("--format", help="Text for Mermaid, or a picture.")
    ] = "mermaid",
    language: Annotated[
        str | None,
        typer.Option(help="The language of the texts, instead of each flow's first.", show_default=False),
    ] = None,
    visits: Annotated[
        Path | None,
        typer.Option(
            help='A JSON file of counts: {"states": {"flow.state": 1}, "edges": {"flow.state label": 1}}; what '
            "has none is marked as never visited.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write to this file, not to the terminal.", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Draw the flows of a folder: states, the ways between them, their conditions and the flows that are called.

    Exit status: 0 drawn, 1 the flows have errors (they are shown), 2 could not run.
    """
    from ussd_engine.flow.diagnostic import InvalidFlows  # noqa: PLC0415 - see cli.py

    try:
        library = _load(path, config)
        drawing = _draw(library, name, form, language, visits)
    except InvalidFlows as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(console.FINDINGS) from None
    except UssdError as error:
        console.fail("graph", error)
    console.write("graph", output, drawing)


def _load(path: Path, config: Path | None) -> Library:
    """Checked as `ussd check` checks them: for the networks of the settings."""
    from ussd_engine.flow.loader import load  # noqa: PLC0415 - see cli.py
    from ussd_engine.services.action_specs import SPECS  # noqa: PLC0415

    return load(path, SPECS, networks=console.read_settings(config).screens)


def _draw(library: Library, name: str | None, form: str, language: str | None, visits: Path | None) -> str:
    from ussd_engine.drawing.mermaid import mermaid  # noqa: PLC0415 - see cli.py
    from ussd_engine.drawing.picture import picture  # noqa: PLC0415
    from ussd_engine.drawing.svg import svg  # noqa: PLC0415
    from ussd_engine.drawing.visits import read_visits  # noqa: PLC0415

    flows = _chosen(list(library.flows.values()), name)
    _require(language, {each for flow in flows for each in flow.languages})
    counts = read_visits(visits) if visits else None
    if counts:
        _tell_unknown(counts, list(library.flows.values()), visits)
    pictures = [picture(flow, language, counts) for flow in flows]
    return svg(pictures) if form == "svg" else mermaid(pictures)


def _chosen(flows: list[Flow], name: str | None) -> list[Flow]:
    """The one flow, or all: first those that are dialled, where a reader begins."""
    from ussd_engine.flow.diagnostic import did_you_mean  # noqa: PLC0415 - see cli.py

    found = sorted((flow for flow in flows if name in {None, flow.flow}), key=lambda flow: not flow.dial)
    if not found:
        hint = did_you_mean(name or "", [flow.flow for flow in flows])
        raise FlowError(f"no flow is named '{name}'" + (f"; {hint}" if hint else ""))
    return found


def _require(language: str | None, known: set[str]) -> None:
    if language is not None and language not in known:
        raise FlowError(f"the flows have no language '{language}'; they have {', '.join(sorted(known))}")


def _tell_unknown(counts: Visits, flows: list[Flow], file: Path | None) -> None:
    """Counts of another revision do no harm, but somebody may have mistyped a name."""
    unknown = counts.unknown_in(flows)
    if unknown:
        shown = ", ".join(f"'{console.printable(key)}'" for key in unknown[:UNKNOWN_SHOWN])
        more = f" and {len(unknown) - UNKNOWN_SHOWN} more" if len(unknown) > UNKNOWN_SHOWN else ""
        typer.echo(f"{file}: the flows have no state or edge {shown}{more}; not drawn", err=True)
