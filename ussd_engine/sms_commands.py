"""`ussd sms`: the messages to subscribers, for staff at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ussd_engine.console import Config, Console, table, with_console

if TYPE_CHECKING:
    from ussd_engine.platform.deliveries import Listed, Standing

app = typer.Typer(help="The messages to subscribers, and what became of them.", no_args_is_help=True)

HEAD = ("created", "id", "phone", "event", "language", "parts", "attempts", "state", "delivery", "failure")


@app.callback()
def sms() -> None:
    pass


@app.command("list")
def list_(
    config: Config = None,
    state: Annotated[
        Literal["queued", "sent", "delivered", "failed", "superseded"] | None,
        typer.Option(
            help="Only these; sent is accepted by the sender and not yet delivered.", show_default=False
        ),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="The same as --state failed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 50,
) -> None:
    """List messages, the newest first: neither texts nor whole phone numbers.

    Failed are those that the sender refused, that nobody took in time, and that were not delivered.
    """
    if failed and state:
        raise typer.BadParameter("give --failed or --state, not both")
    standing: Standing | None = "failed" if failed else state

    async def work(console: Console) -> list[Listed]:
        from ussd_engine.platform import deliveries  # noqa: PLC0415 - see console.py

        return await console.database.read(lambda c: deliveries.listed(c, console.keys, standing, limit))

    found = with_console("sms list", config, work)
    typer.echo(table(HEAD, [_row(message) for message in found]))


def _row(message: Listed) -> tuple[str, ...]:
    return (
        f"{message.created_at:%Y-%m-%dT%H:%M:%SZ}",
        message.id,
        message.phone_masked,
        message.event,
        message.language,
        str(message.parts),
        str(message.attempts),
        message.state,
        message.delivery or "-",
        message.failure or "-",
    )
