"""`ussd audit`: is the log as it was written, and what does it tell."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from ussd_engine.console import FINDINGS, Config, Console, fail, printable, table, with_console

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

    from ussd_engine.platform.audit import Head, Recorded

audit = typer.Typer(name="audit", help="The log of who did what, when.", no_args_is_help=True)

_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{32})")


@audit.command("verify")
def verify(
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="SEQ:HASH",
            help="A head that a former run printed: the log must still hold it.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Check that no entry of the audit log was changed, removed or moved since it was written.

    Prints the head, which stands for all entries up to it. Keep it elsewhere:
    --expect shows even that the whole database was put back to an earlier day.

    Exit status: 0 nothing was found, 1 the findings are printed, 2 could not run.
    """
    noted = _parse(expect) if expect is not None else None
    findings, head = with_console("audit verify", config, lambda console: _verify(console, noted))
    if findings:
        typer.echo("\n".join(printable(finding) for finding in findings))
        typer.echo(f"The audit log is not as it was written: {_some(len(findings), 'finding')}.")
        raise typer.Exit(FINDINGS)
    typer.echo(f"The audit log is as it was written: {_some(head.seq, 'entry', 'entries')}.")
    typer.echo(f"head {head.seq}:{head.hash}")


@audit.command("show")
def show(
    entity: Annotated[
        str | None, typer.Option(metavar="ID", help="Only entries of this record.", show_default=False)
    ] = None,
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many entries.")] = 20,
    open_: Annotated[
        bool,
        typer.Option("--open", help="Show what was there before and after; that you looked is logged."),
    ] = False,
    config: Config = None,
) -> None:
    """Show the last entries of the audit log, the newest at the end."""
    found = with_console("audit show", config, lambda console: _show(console, last, entity, open_))
    if not found:
        typer.echo("No entries.")
        return
    header = ("SEQ", "TIME", "ACTOR", "ACTION", "ENTITY", "ID", "REQUEST", "REASON")
    head, *lines = table(header, [_cells(entry) for entry, _ in found]).splitlines()
    typer.echo(head)
    for line, (_, values) in zip(lines, found, strict=True):
        typer.echo("\n".join([line, *values]))


async def _verify(console: Console, noted: Head | None) -> tuple[list[str], Head]:
    from ussd_engine.platform.audit import head_of, verify  # noqa: PLC0415 - see cli.py

    return await console.database.read(
        lambda connection: (list(verify(connection, console.keys, noted)), head_of(connection))
    )


def _parse(expect: str) -> Head:
    from ussd_engine.platform.audit import Head  # noqa: PLC0415 - see cli.py

    found = _HEAD.fullmatch(expect)
    if not found:
        fail("audit verify", "--expect takes a head as `ussd audit verify` prints it: SEQ:HASH")
    return Head(int(found[1]), found[2])


async def _show(
    console: Console, last: int, entity: str | None, opened: bool
) -> list[tuple[Recorded, list[str]]]:
    """Entries, each with the lines that follow it. Opening is logged in the same transaction that reads."""
    from ussd_engine.platform.audit import AuditEntry, append, last_entries  # noqa: PLC0415 - see cli.py

    def look(connection: Connection) -> list[Recorded]:
        return last_entries(connection, last, entity)

    def look_and_log(connection: Connection) -> list[Recorded]:
        found = look(connection)
        if found:
            shown = {"first": found[0].seq, "last": found[-1].seq, "shown": len(found)}
            looked = AuditEntry(
                console.actor, "audit.opened", "audit_log", entity or "all", console.request_id, after=shown
            )
            append(connection, console.keys, [looked], datetime.now(UTC))
        return found

    if opened:
        return [
            (entry, list(_values(console, entry))) for entry in await console.database.write(look_and_log)
        ]
    return [(entry, []) for entry in await console.database.read(look)]


def _values(console: Console, entry: Recorded) -> Iterator[str]:
    from ussd_engine.platform.audit import open_values  # noqa: PLC0415 - see cli.py
    from ussd_engine.sealing import SealBroken  # noqa: PLC0415

    try:
        values: Mapping[str, Any] = open_values(console.keys, entry)
    except SealBroken as error:
        yield f"    {error}"
        return
    for name, value in values.items():
        yield f"    {name} {printable(orjson.dumps(value).decode())}"


def _cells(entry: Recorded) -> tuple[str, ...]:
    at = f"{entry.at:%Y-%m-%d %H:%M:%S}" if entry.at else "unreadable"
    told = (entry.actor, entry.action, entry.entity, entry.entity_id, entry.request_id, entry.reason or "")
    return (str(entry.seq), at, *map(printable, map(str, told)))


def _some(count: int, word: str, words: str = "") -> str:
    return f"{count} {word}" if count == 1 else f"{count} {words or word + 's'}"
