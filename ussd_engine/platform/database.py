"""The platform database, on SQLite and on PostgreSQL alike.

A transaction is one plain function of a connection. So it is short, it ends whole or not at all whoever gives up
waiting for it, and it cannot span a call to the bank, the SMS sender or the events feed: a plain function has no
way to wait for one. Readers and writers ask for what they need, because SQLite must know before the first
statement: a transaction that reads first and writes later can fail at once when another writer was faster, so a
writing one takes the lock as it begins and others queue behind it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from ussd_engine.errors import DatabaseUnavailable
from ussd_engine.platform.lookup import Lookup, Lookups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

BUSY_TIMEOUT_MS = 3_000
"""How long a writer waits for another process's transaction. Each is a few milliseconds; who is not served by then
tries again, and a subscriber is not kept waiting."""
IDLE_TIMEOUT_MS = 30_000
"""How long PostgreSQL keeps a transaction in which nothing happens: its process stands still, and others wait."""
CONNECT_TIMEOUT_S = 5.0
PASSING = frozenset({"08", "40", "53", "55", "57", "58"})
"""Classes of SQLSTATE (PostgreSQL, appendix A): no connection, rolled back for another's sake such as after a deadlock,
no room, ended by an operator, and trouble of the system."""
POOL_SIZE = 5
"""Connections per process. Transactions are short."""


class Database:
    """`await database.read(work)` and `.write(work)` run `work(connection)` inside one transaction.

    A write commits when its function returns and rolls back when it raises. `url` is `sqlite+aiosqlite:///file` or
    `postgresql+asyncpg://...`. Raises DatabaseUnavailable. Errors never show the parameters of a statement: they
    are personal data.
    """

    def __init__(self, url: str) -> None:
        self.engine = create_async_engine(
            url, hide_parameters=True, pool_size=POOL_SIZE, max_overflow=0, **_options(url)
        )
        self._lookups = Lookups(self.engine, BUSY_TIMEOUT_MS / 1000)
        self._writer: _SqliteWriter | None = None
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin)
            self._writer = _SqliteWriter(self.engine)

    async def read(self, work: Callable[[Connection], T]) -> T:
        with _away():
            async with self.engine.connect() as connection, connection.begin():
                return await connection.run_sync(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        with _away():
            if self._writer:
                return await self._writer.run(work)
            async with self.engine.begin() as connection:
                return await connection.run_sync(work)

    async def look_up(self, lookup: Lookup, **values: str) -> list[tuple[Any, ...]]:
        """The rows of a prepared SELECT, without a transaction. Raises DatabaseUnavailable."""
        with _away():
            return await self._lookups.run(lookup, **values)

    async def close(self) -> None:
        self._lookups.close()
        if self._writer:
            await self._writer.close()
        await self.engine.dispose()


class _SqliteWriter:
    """The one thread of this process that writes to an SQLite file.

    A transaction goes there whole. Statement by statement, as a reader of aiosqlite goes, it takes nearly three
    times as long (measured: 3.4 against 1.3 ms for 17 statements), and SQLite has one writer anyway.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="platform-writer")
        self._engine: Engine = create_engine(
            engine.url.set(drivername="sqlite"), hide_parameters=True, pool_size=1, max_overflow=0
        )
        event.listen(self._engine, "connect", _prepare_sqlite)
        event.listen(self._engine, "begin", _begin_writing)

    async def run(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)

    async def close(self) -> None:
        """Finish what was begun first."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin on its own, too late and too weakly
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_writing(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _options(url: str) -> dict[str, Any]:
    """For PostgreSQL: as patient as with SQLite, and no transaction outlives a process that stands still in it.

    A connection is asked for a sign of life before it is used, so that a restart of the server costs nobody a turn.
    """
    if not url.startswith("postgresql"):
        return {}
    settings = {
        "application_name": "ussd-engine",
        "lock_timeout": f"{BUSY_TIMEOUT_MS}",
        "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT_MS}",
    }
    return {
        "pool_pre_ping": True,
        "connect_args": {"timeout": CONNECT_TIMEOUT_S, "server_settings": settings},
    }


@contextmanager
def _away() -> Iterator[None]:
    """The words of the driver stay out: they can quote the address of the database."""
    try:
        yield
    except DBAPIError as error:
        if not _may_pass(error):
            raise
        raise DatabaseUnavailable("the platform's database does not answer") from error
    except (PoolTimeout, sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        # what a driver raises while it connects is not wrapped
        raise DatabaseUnavailable("the platform's database does not answer") from error


def _may_pass(error: DBAPIError) -> bool:
    """Whether another try may not meet this: the statement is not at fault, but the moment."""
    if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None) or ""
    return state[:2] in PASSING
