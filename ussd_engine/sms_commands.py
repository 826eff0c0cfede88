"""`ussd sms`: the messages to subscribers, for staff at a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from ussd_engine.errors import SettingsError, UssdError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ussd_engine.platform.deliveries import Listed, Standing
    from ussd_engine.settings import Settings

app = typer.Typer(help="The messages to subscribers, and what became of them.", no_args_is_help=True)

HEAD = ("created", "id", "phone", "event", "language", "parts", "attempts", "state", "delivery", "failure")


@app.callback()
def sms() -> None:
    pass


@app.command("list")
def list_(
    config: Annotated[Path | None, typer.Option(help="The settings file.", show_default=False)] = None,
    state: Annotated[
        Literal["queued", "sent", "delivered", "failed"] | None,
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
    from ussd_engine.cli import _fail, _run, _settings  # noqa: PLC0415 - which imports this module

    if failed and state:
        raise typer.BadParameter("give --failed or --state, not both")
    try:
        _run(show(_settings(config), "failed" if failed else state, limit, sys.stdout))
    except UssdError as error:
        _fail("sms list", error)


async def show(settings: Settings, standing: Standing | None, limit: int, out: TextIO) -> None:
    """Raises UssdError when there is no data to look at."""
    from ussd_engine.bootstrap import database_url  # noqa: PLC0415 - see cli.py
    from ussd_engine.platform import deliveries  # noqa: PLC0415
    from ussd_engine.platform.database import Database  # noqa: PLC0415
    from ussd_engine.platform.migrate import migrate  # noqa: PLC0415
    from ussd_engine.sealing import load_or_create  # noqa: PLC0415

    if not settings.key_file.exists():
        raise SettingsError(
            f"{settings.key_file}: no key ring, so no data yet; look at data_dir and keys.file"
        )
    keys, url = load_or_create(settings.key_file), database_url(settings)
    await migrate(url, keys)
    database = Database(url)
    try:
        found = await database.read(lambda connection: deliveries.listed(connection, keys, standing, limit))
    finally:
        await database.close()
    for line in table(found):
        print(line, file=out)


def table(messages: Iterable[Listed]) -> list[str]:
    """A head and a line per message, in columns."""
    rows = [HEAD, *(_row(message) for message in messages)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


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
