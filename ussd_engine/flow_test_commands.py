"""`ussd test`: the flows of a folder, walked every way and at random."""

from __future__ import annotations

import sys
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ussd_engine import console
from ussd_engine.console import Config
from ussd_engine.errors import FlowError, UssdError

if TYPE_CHECKING:
    from ussd_engine.testing.flow_tests import FlowTests
    from ussd_engine.testing.walk import RuleBroken

DEFAULT_WALKS = 700
"""Some 23,000 callbacks for each larger flow that is dialled: about a minute."""


def test_flows(
    path: Annotated[Path, typer.Argument(help="The folder of flows.", show_default=True)] = Path("flows"),
    walks: Annotated[
        int, typer.Option(min=0, max=100_000, help="Walks at random through each flow that can be dialled.")
    ] = DEFAULT_WALKS,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Other walks for another seed. Without it they are the same each time.", show_default=False
        ),
    ] = None,
    visits: Annotated[
        Path | None,
        typer.Option(
            help="Write how often each state and edge was visited, for 'ussd graph --visits'.",
            show_default=False,
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Write the screens as they are now into the transcripts.")
    ] = False,
    config: Config = None,
) -> None:
    """Play the transcripts of the flows, walk them every way and at random, and see that no turn breaks a rule.

    Transcripts are the YAML files below a folder 'tests' in it; /save in 'ussd play' writes them.

    Whatever is typed, dropped, repeated or late, and whatever an action gives back: every answer is a page that fits,
    each is in the language of its session and takes what it offers, an end can be reached from it, an action runs once
    for its input, back repeats none, and no secret shows itself.

    Exit status: 0 all held, 1 something broke a rule or was never visited, 2 could not run.
    """
    from ussd_engine.flow.diagnostic import InvalidFlows  # noqa: PLC0415 - see cli.py

    try:
        tests = _flow_tests(path, config)
        held = _transcripts(tests, path, update=update) & _run(tests, walks, seed)
    except InvalidFlows as error:
        typer.echo(str(error))
        raise typer.Exit(console.FINDINGS) from None
    except UssdError as error:
        console.fail("test", error)
    if visits is not None:
        _write(tests, visits)
    if not held:
        raise typer.Exit(console.FINDINGS)


def _flow_tests(path: Path, config: Path | None) -> FlowTests:
    try:
        from ussd_engine.testing.flow_tests import flow_tests_of  # noqa: PLC0415 - see cli.py
    except ModuleNotFoundError as error:
        raise FlowError(
            f"'{error.name}' is not installed, which tests of flows need: pip install hypothesis"
        ) from None
    return flow_tests_of(path, console.read_settings(config))


def _transcripts(tests: FlowTests, folder: Path, *, update: bool) -> bool:
    from ussd_engine.testing.transcript import dumps  # noqa: PLC0415 - see cli.py
    from ussd_engine.testing.walk import RuleBroken  # noqa: PLC0415

    held = True
    for file in tests.transcripts:
        try:
            now, different = tests.play_again(file)
        except RuleBroken as broken:
            held = False
            _tell(str(file), broken)
            continue
        if different and update:
            file.write_text(_heading(file) + dumps(now), encoding="utf-8")
            typer.echo(f"{file}: written anew")
        elif different:
            held = False
            typer.echo("\n".join(f"{file}: {one}" for one in different))
            typer.echo(
                f"{file}: ussd play --replay {file} shows it; if it is meant, run ussd test {folder} --update"
            )
    return held


def _heading(file: Path) -> str:
    """What its author has written above a transcript, which no transcript holds."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(takewhile(lambda line: line.startswith("#"), lines))


def _run(tests: FlowTests, walks: int, seed: int | None) -> bool:
    from rich.console import Console  # noqa: PLC0415 - see cli.py
    from rich.progress import Progress  # noqa: PLC0415

    from ussd_engine.testing.walk import RuleBroken  # noqa: PLC0415

    out = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    held = True
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        for flow in tests.dialled:
            try:
                scripts = tests.scripts(flow)
                for script in progress.track(scripts, description=f"{flow}: every way"):
                    tests.follow(flow, script)
                task = progress.add_task(f"{flow}: at random", total=walks)
                tests.walk_at_random(flow, walks, seed, partial(progress.advance, task))
            except RuleBroken as broken:
                held = False
                _tell(flow, broken)
    missing = tests.missing() if held else []
    states, edges = tests.counts()
    out.print(
        f"{len(tests.dialled)} dialled, {tests.turns:,} turns; visited {states[0]} of {states[1]} states"
        f" and {edges[0]} of {edges[1]} edges"
    )
    for name in missing:
        out.print(f"never visited: {name}", markup=False)
    return held and not missing


def _tell(flow: str, broken: RuleBroken) -> None:
    from ussd_engine.testing.transcript import dumps  # noqa: PLC0415 - see cli.py

    steps = dumps(broken.transcript)
    typer.echo(f"{flow}: {broken.rule}\n\n# save this, and see it with: ussd play --replay FILE\n{steps}")


def _write(tests: FlowTests, file: Path) -> None:
    import json  # noqa: PLC0415 - see cli.py

    counts = {"states": dict(tests.visits.states), "edges": dict(tests.visits.edges)}
    try:
        file.write_text(json.dumps(counts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        console.fail("test", f"{file} cannot be written: {error.strerror or error}")
