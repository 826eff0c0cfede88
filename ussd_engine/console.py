"""What the commands share: settings, an event loop, the way out, and the platform's database for a person's command.

Light to import: the database is imported when a command opens it.
"""

from __future__ import annotations

import os
import pwd
import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar
from uuid import uuid4

import typer

from ussd_engine.errors import DatabaseUnavailable, SettingsError, UssdError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from ussd_engine.platform.database import Database
    from ussd_engine.sealing import KeyRing
    from ussd_engine.settings import Settings

T = TypeVar("T")

CONFIG = Path("config.yaml")
FINDINGS = 1
COULD_NOT_RUN = 2
OWNER_ALONE = 0o077
"""Files of the engine hold personal data and keys: whoever runs it may read them, nobody else."""
ACTOR_LENGTH = 64
"""As wide as the columns that hold an actor."""

Config = Annotated[
    Path | None,
    typer.Option(
        help="The settings file. Without it: config.yaml in the current folder, else the defaults.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Console:
    """A person at this machine; `actor` and `request_id` are for the audit log."""

    keys: KeyRing
    database: Database
    actor: str
    request_id: str


def read_settings(config: Path | None) -> Settings:
    from ussd_engine.settings import load  # noqa: PLC0415 - see the module

    return load(config or (CONFIG if CONFIG.exists() else None), os.environ)


def run(main: Coroutine[Any, Any, T]) -> T:
    import asyncio  # noqa: PLC0415 - see the module

    import uvloop  # noqa: PLC0415

    os.umask(OWNER_ALONE)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def fail(command: str, error: UssdError | str) -> NoReturn:
    typer.echo(f"ussd {command} could not run:\n{error}", err=True)
    raise typer.Exit(COULD_NOT_RUN) from None


def write(command: str, file: Path | None, text: str) -> None:
    """What a command makes, into the file or else on the terminal."""
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(command, f"{file} cannot be written: {error.strerror or error}")


def with_console(command: str, config: Path | None, work: Callable[[Console], Coroutine[Any, Any, T]]) -> T:
    """Run `work` on the platform's database, also while the service runs. What goes wrong is told, and ends it."""

    async def main(settings: Settings) -> T:
        async with opened(settings) as console:
            return await work(console)

    try:
        return run(main(read_settings(config)))
    except UssdError as error:
        fail(command, _with_hint(error))


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Console]:
    """Raises SettingsError, with what to look at."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - see the module

    from ussd_engine import logs  # noqa: PLC0415 - see cli.py
    from ussd_engine.storage import open_database, prepare  # noqa: PLC0415

    logs.configure("warning", settings.logging.format)  # what the command says is for the person who gave it
    async with AsyncExitStack() as stack:
        try:
            keys = prepare(settings)
            database = await stack.enter_async_context(open_database(settings, keys))
        except (SQLAlchemyError, sqlite3.Error, DatabaseUnavailable) as error:
            cause = type(error).__name__
            raise SettingsError(f"the database cannot be used ({cause}): look at database.url") from error
        except OSError as error:
            raise SettingsError(f"{error}; look at data_dir and database.url") from error
        yield Console(keys, database, actor(), f"console-{uuid4().hex}")


def actor() -> str:
    """The user of the operating system, from the process itself: a variable says whatever one likes."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container a user may be a number alone
        name = str(os.getuid())
    return f"console:{name}"[:ACTOR_LENGTH]


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns under their names; whole words, so that a pipe finds them."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def printable(text: str) -> str:
    """What was stored may have been written by anybody; nothing of it steers a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _with_hint(error: UssdError) -> str:
    from ussd_engine.flow.diagnostic import did_you_mean  # noqa: PLC0415 - see the module
    from ussd_engine.platform.staff import UnknownName  # noqa: PLC0415

    hint = did_you_mean(error.name, error.known) if isinstance(error, UnknownName) else ""
    return f"{error}; {hint}" if hint else str(error)
