"""Connections to the platform database, on SQLite and on PostgreSQL alike.

A transaction is short: it never spans a call to the bank, the SMS sender or the events feed. Readers and
writers ask for what they need, because SQLite must know before the first statement: a transaction that reads
first and writes later can fail at once when another writer was faster, so a writing one takes the lock as it
begins and others queue behind it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ussd_engine.errors import DatabaseUnavailable
from ussd_engine.platform.lookup import Lookup, Lookups

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.engine import Connection

BUSY_TIMEOUT_MS = 3_000
"""How long a writer waits for another process's transaction. Each is a few milliseconds; who is not served by then
tries again, and a subscriber is not kept waiting."""
POOL_SIZE = 5
"""Connections per process. Transactions are short, and SQLite has one writer anyway."""


def create_engine(url: str) -> AsyncEngine:
    """An engine for `sqlite+aiosqlite:///file` or `postgresql+asyncpg://...`.

    Errors never show the parameters of a statement: they are personal data.
    """
    engine = create_async_engine(url, hide_parameters=True, pool_size=POOL_SIZE, max_overflow=0)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin on its own, too late and too weakly
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _away() -> Iterator[None]:
    """The words of the driver stay out: they can quote the address of the database."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, sqlite3.Error) as error:
        raise DatabaseUnavailable("the platform's database does not answer") from error


class Database:
    """`async with database.read()` or `.write()` gives a connection inside one transaction.

    A write commits when its block ends and rolls back when the block raises. Raises DatabaseUnavailable.
    """

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)
        # Within the process writers queue here: SQLite's own queue is a poll with sleeps in between.
        sqlite = self.engine.dialect.name == "sqlite"
        self._lookups = Lookups(self.engine, BUSY_TIMEOUT_MS / 1000)
        self._writer: asyncio.Lock | nullcontext[None] = asyncio.Lock() if sqlite else nullcontext()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        with _away():
            async with self.engine.connect() as connection, connection.begin():
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        with _away():
            async with self._writer, self.engine.connect() as plain:
                connection = await plain.execution_options(writes=True)
                async with connection.begin():
                    yield connection

    async def look_up(self, lookup: Lookup, **values: str) -> list[tuple[Any, ...]]:
        """The rows of a prepared SELECT, without a transaction. Raises DatabaseUnavailable."""
        with _away():
            return await self._lookups.run(lookup, **values)

    async def close(self) -> None:
        self._lookups.close()
        await self.engine.dispose()
