"""`ussd operations`: registrations and openings, for the bank's operations people at a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ussd_engine.console import Config, Console, table, with_console
from ussd_engine.phone import mask

if TYPE_CHECKING:
    from ussd_engine.platform.operations import Operation

app = typer.Typer(
    name="operations",
    help="Registrations and openings: what is in doubt, and how to have it tried again.",
    no_args_is_help=True,
)

HEAD = ("BEGUN", "ID", "KIND", "PHONE", "STATE", "RETRIES", "BANK REFERENCE", "CODE")
Id = Annotated[
    str, typer.Argument(metavar="ID", help="The operation's id, which the bank has as the external id.")
]


@app.command("list")
def list_(
    state: Annotated[
        Literal["in_doubt", "open", "done", "refused", "failed"], typer.Option(help="Which ones.")
    ] = "in_doubt",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 50,
    config: Config = None,
) -> None:
    """List operations, the newest first, with masked phone numbers.

    In doubt are those of which the bank never told what became of them: the subscriber was told that staff look.
    """

    async def work(console: Console) -> list[Operation]:
        from ussd_engine.platform import operations  # noqa: PLC0415 - see console.py

        return await console.database.read(lambda c: operations.listed(c, console.keys, (state,), limit))

    found = with_console("operations list", config, work)
    typer.echo(table(HEAD, [_row(each) for each in found]) if found else f"No operation is {state}.")


@app.command("show")
def show(id_: Id, config: Config = None) -> None:
    """Show one operation with its messages and changes; no names, no texts, no whole numbers."""

    async def work(console: Console) -> tuple[Operation | None, list[tuple[str, ...]]]:
        from ussd_engine.platform import operations  # noqa: PLC0415 - see console.py

        return await console.database.read(
            lambda c: (operations.find(c, console.keys, id_), operations.traces(c, id_))
        )

    found, traces = with_console("operations show", config, work)
    if found is None:
        typer.echo(f"There is no operation {id_}.", err=True)
        raise typer.Exit(1)
    typer.echo(table(HEAD, [_row(found)]))
    if traces:
        typer.echo("\n" + table(("WHAT", "ID", "KIND", "STATE"), traces))


@app.command("retry")
def retry(id_: Id, config: Config = None) -> None:
    """Have an unfinished operation taken up again, by a running service, within half a minute.

    The bank is asked first what became of it: only what never reached the bank is sent again.
    """

    async def work(console: Console) -> None:
        from ussd_engine.services.recovery import note_retry  # noqa: PLC0415 - see console.py

        now = datetime.now(UTC)
        await console.database.write(
            lambda c: note_retry(c, console.keys, id_, console.actor, console.request_id, now)
        )

    with_console("operations retry", config, work)
    typer.echo(f"Noted: a running service takes {id_} up within half a minute.")
    typer.echo(f"Then look again: ussd operations show {id_}")


def _row(operation: Operation) -> tuple[str, ...]:
    return (
        f"{operation.created_at:%Y-%m-%dT%H:%M:%SZ}",
        operation.id,
        operation.kind,
        mask(operation.phone_number),
        operation.state,
        str(operation.retries),
        operation.bank_reference or "-",
        (operation.result or {}).get("code") or "-",
    )
