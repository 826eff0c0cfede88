"""One SQLite file for a small adapter: safe for many tasks and many processes at once.

What writes runs on one thread that owns the connection. A transaction is one plain function, so a caller that
gives up or is cancelled cannot leave one half done: it ends on that thread, whole or not at all.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


class SqliteFile:
    """The file is made, for its owner's eyes only, and `setup` runs at the first use, once per process.

    `setup` must be idempotent. Every method raises sqlite3.Error, among others when another process holds the
    file for longer than `busy_timeout_s`, and OSError when the file cannot be made.
    """

    def __init__(
        self, path: Path, setup: Callable[[sqlite3.Connection], None], *, busy_timeout_s: float
    ) -> None:
        self._path = path
        self._setup = setup
        self._busy_timeout_s = busy_timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._connection: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function of one SELECT; it waits for no writer.

        On the caller's own thread, because a look into the file takes less time than the way to another thread
        and back. Only when the file is held, which a reader seldom meets, the owner's thread waits for it.
        """
        if self._reader is None:
            await self._on_thread(self._connected)  # which makes the file
        try:
            return work(self._read_connection())
        except sqlite3.OperationalError:
            return await self._on_thread(lambda: work(self._connected()))

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function as one transaction, committed when it returns and undone when it raises."""
        return await self._on_thread(lambda: _transaction(self._connected(), work))

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        await self._on_thread(self._disconnect)
        self._thread.shutdown()

    def _read_connection(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = sqlite3.connect(self._path, timeout=0, isolation_level=None)
            self._reader.row_factory = sqlite3.Row
        return self._reader

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, timeout=self._busy_timeout_s, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            _use_wal(connection, self._busy_timeout_s)
            connection.execute("PRAGMA foreign_keys = ON")
            _transaction(connection, self._setup)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _use_wal(connection: sqlite3.Connection, within_s: float) -> None:
    """Switch the journal to write-ahead.

    Of several processes that do so at once on a new file, SQLite refuses some without waiting out the busy
    timeout, so the waiting is done here.
    """
    give_up_at = time.monotonic() + within_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
        else:
            return


def _transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")  # the write lock from the start: nothing that was read can go stale
    with connection:
        return work(connection)
