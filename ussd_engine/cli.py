"""The `ussd` command. Exit status: 0 all well, 1 findings, 2 could not run.

Each command imports what it needs when it runs, so that `check` and `--version` start fast.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ussd_engine import console, flow_commands, operations_commands, sms_commands
from ussd_engine.audit_commands import audit
from ussd_engine.console import Config
from ussd_engine.errors import UssdError
from ussd_engine.flow_test_commands import test_flows
from ussd_engine.graph_commands import graph
from ussd_engine.staff_commands import key, operator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ussd_engine.flow.diagnostic import Diagnostic
    from ussd_engine.flow.loader import Library

app = typer.Typer(
    name="ussd",
    help="A USSD engine for feature-phone banking: menus in YAML, a bank behind them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(operations_commands.app, name="operations")
app.add_typer(sms_commands.app, name="sms")
app.command()(graph)
app.command("test")(test_flows)

for group in (operator, key, audit):
    app.add_typer(group)


def main() -> None:
    app(prog_name="ussd")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ussd-engine {version('ussd-engine')}")
        raise typer.Exit


@app.callback()
def ussd(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    config: Config = None,
    host: Annotated[
        str | None, typer.Option(help="Listen on this address instead of server.host.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Listen on this port instead of server.port.", show_default=False
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Run this many processes instead of server.workers.", show_default=False
        ),
    ] = None,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload", help="Serve what the folder of flows holds, and publish what is saved there."
        ),
    ] = False,
) -> None:
    """Run the service until Ctrl-C or SIGTERM.

    Brings the database up to date first. What is under way when the end comes is answered before it ends.
    Without --reload it serves what was published last, or its folder of flows while nobody has published any.
    SIGHUP publishes the folder once.
    """
    try:
        settings = console.read_settings(config)
        server = settings.server.model_copy(
            update={
                "host": host or settings.server.host,
                "port": settings.server.port if port is None else port,
                "workers": workers or settings.server.workers,
            }
        )
        if server.workers == 1:
            from ussd_engine.serving import serve as run  # noqa: PLC0415 - see the module
        else:
            from ussd_engine.supervisor import supervise as run  # noqa: PLC0415

        settings = settings.model_copy(update={"server": server})
        console.run(run(settings, sys.stdout, config, reload=reload))
    except UssdError as error:
        console.fail("serve", error)


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="The folder of flows.", show_default=True)] = Path("flows"),
    form: Annotated[
        Literal["text", "json", "github", "sarif"],
        typer.Option(
            "--format",
            help="text for people, json for tools, github for notes beside a change's lines, "
            "sarif for code hosts and editors.",
        ),
    ] = "text",
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="CODE",
            help="Say what a code means and how to mend it; checks nothing.",
            show_default=False,
        ),
    ] = None,
    widths: Annotated[
        bool, typer.Option("--widths", help="Show how wide each screen can become, on every network.")
    ] = False,
    config: Config = None,
) -> None:
    """Check all flows of a folder, and report everything that is wrong with them.

    Exit status: 0 clean (warnings are shown and do not count), 1 errors found, 2 could not run.
    """
    if explain is not None:
        _explain(explain)
        return
    if widths and form != "text":
        raise typer.BadParameter("the table is for people: leave --format away", param_hint="--widths")
    from ussd_engine.flow.diagnostic import InvalidFlows  # noqa: PLC0415 - see the module
    from ussd_engine.flow.loader import load  # noqa: PLC0415
    from ussd_engine.processes import spread  # noqa: PLC0415 - see the module
    from ussd_engine.services.action_specs import SPECS  # noqa: PLC0415

    gc.disable()  # thousands of screens are small objects that live until the end, which is soon
    try:
        library = load(path, SPECS, networks=console.read_settings(config).screens, each=spread)
    except InvalidFlows as error:
        _report(error.diagnostics, form, _count(error.diagnostics))
        if widths:
            _show_widths(error.drawn)
        raise typer.Exit(console.FINDINGS) from None
    except UssdError as error:
        console.fail("check", error)
    from ussd_engine.runtime.compiler import revision_of  # noqa: PLC0415 - see the module

    flows = library.flows.values()
    languages = dict.fromkeys(language for flow in flows for language in flow.languages)
    summary = (
        f"{path}: {_some(len(flows), 'flow')}, {_some(sum(len(flow.states) for flow in flows), 'state')}, "
        f"languages {', '.join(languages)}, revision {revision_of(library)}: {_count(library.warnings)}"
    )
    _report(library.warnings, form, summary)
    if widths:
        _show_widths(library)


def _show_widths(library: Library | None) -> None:
    """None: what is wrong with the flows leaves no screens to draw."""
    if library is None:
        typer.echo("The screens are drawn when nothing else is wrong.")
        return
    from ussd_engine.widths_table import show  # noqa: PLC0415 - see the module

    show(library, sys.stdout)


@app.command()
def schema(
    output: Annotated[
        Path | None,
        typer.Option(help="Write to this file instead of the terminal.", show_default=False),
    ] = None,
) -> None:
    """The JSON Schema of flows, catalogues and SMS texts, by which editors complete and check."""
    from ussd_engine.flow.schema import json_schema  # noqa: PLC0415 - see the module

    text = json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n"
    console.write("schema", output, text)


@app.command()
def play(
    config: Config = None,
    phone: Annotated[str, typer.Option(help="The number that dials, in full.")] = "+254711000000",
    code: Annotated[
        str | None,
        typer.Option(help="What is dialled. Without it: the first code of the flows.", show_default=False),
    ] = None,
    network: Annotated[str, typer.Option(help="The network's code: it sets the limits.")] = "63902",
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Show a transcript step by step instead, and where the flows have become different.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """A phone in the terminal, against the same engine and the sandbox bank.

    Keeps its own data in data_dir/play, so nothing that the service holds is touched. Type /help there.
    Exit status of --replay: 0 all as in the file, 1 something differs or a rule is broken, 2 could not run.
    """
    try:
        settings = console.read_settings(config)
        if replay is not None:
            from ussd_engine.play.replaying import show  # noqa: PLC0415 - see the module

            if not show(settings, replay, sys.stdout):
                raise typer.Exit(console.FINDINGS)
            return

        from ussd_engine.play import Handset  # noqa: PLC0415 - see the module
        from ussd_engine.play import play as run  # noqa: PLC0415

        console.run(run(settings, Handset(phone, network, code or ""), sys.stdin, sys.stdout))
    except UssdError as error:
        console.fail("play", error)


@app.command()
def events(
    config: Config = None,
    url: Annotated[
        str | None, typer.Option(help="The service, instead of the one of the settings.", show_default=False)
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            help="Begin after this id; 0-0 for all that is kept. Without it: now.", show_default=False
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="A file with the API key, instead of data_dir/api_key.", show_default=False),
    ] = None,
) -> None:
    """Follow the live feed of a running service, a line per event, until Ctrl-C.

    The API key is taken from USSD_API_KEY, else from the key file. When the connection ends it is made again,
    and goes on after the last event.
    """
    from ussd_engine.following import Follower, read_key  # noqa: PLC0415 - see the module

    try:
        settings = console.read_settings(config)
        key = os.environ.get("USSD_API_KEY") or read_key(key_file or settings.data_dir / "api_key")
        server = settings.server
        where = url or f"http://{server.host}:{server.port}"
        console.run(Follower(where, after, sys.stdout, sys.stderr).run(key))
    except KeyboardInterrupt:
        raise typer.Exit from None
    except UssdError as error:
        console.fail("events", error)


for command in (flow_commands.publish, flow_commands.revisions, flow_commands.rollback):
    app.command()(command)


def _explain(code: str) -> None:
    from ussd_engine.flow.diagnostic import did_you_mean  # noqa: PLC0415 - see the module
    from ussd_engine.flow.rules import EXPLANATIONS  # noqa: PLC0415

    entry = EXPLANATIONS.get(code.upper())
    if entry is None:
        hint = did_you_mean(code.upper(), EXPLANATIONS) or "codes look like F201"
        console.fail("check", f"'{code}' is not the code of a rule; {hint}")
    typer.echo(entry.text(code.upper()))


def _report(diagnostics: Sequence[Diagnostic], form: str, summary: str) -> None:
    from ussd_engine.flow import diagnostic, sarif  # noqa: PLC0415 - see the module

    match form:
        case "json":
            typer.echo(diagnostic.as_json(diagnostics))
        case "sarif":
            typer.echo(sarif.as_sarif(diagnostics, version("ussd-engine")))
        case "github":
            lines = [diagnostic.as_github(diagnostics), summary]
            typer.echo("\n".join(line for line in lines if line))
        case _:
            lines = [diagnostic.as_text(diagnostics), summary]
            typer.echo("\n".join(line for line in lines if line))


def _count(diagnostics: Sequence[Diagnostic]) -> str:
    errors = sum(found.severity == "error" for found in diagnostics)
    counts = [(errors, "error"), (len(diagnostics) - errors, "warning")]
    return ", ".join(_some(count, word) for count, word in counts if count) or "no findings"


def _some(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
