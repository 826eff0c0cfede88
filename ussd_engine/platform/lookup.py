"""One SELECT that every dial makes, prepared once and run in one step.

On SQLite the general way takes a dozen hops to a connection's thread and back (begin, cursor, execute, fetch,
close, commit, reset), about a millisecond of CPU: more than the whole rest of a dial. A single statement needs no
transaction of its own, as it sees one state of the database anyway.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

from sqlalchemy import Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncEngine


class Lookup:
    """`statement` takes its values by name and gives plain values: text, numbers, NULL."""

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement
        compiled = statement.compile(
            dialect=sqlite.dialect(paramstyle="qmark"), compile_kwargs={"render_postcompile": True}
        )
        self.sql = str(compiled)
        self._names = tuple(compiled.positiontup or ())
        self._constants = compiled.params

    def arguments(self, values: dict[str, str]) -> list[Any]:
        """The values in the order of the question marks of `sql`."""
        return [values.get(name, self._constants[name]) for name in self._names]


class Lookups:
    """Runs look-ups. Raises sqlite3.Error, or what SQLAlchemy raises on another database."""

    def __init__(self, engine: AsyncEngine, busy_timeout_s: float) -> None:
        self._engine = engine
        self._busy_timeout_s = busy_timeout_s
        self._sqlite = engine.dialect.name == "sqlite"
        self._reader: sqlite3.Connection | None = None

    async def run(self, lookup: Lookup, **values: str) -> list[tuple[Any, ...]]:
        if not self._sqlite:
            async with self._engine.connect() as pooled:
                single = await pooled.execution_options(isolation_level="AUTOCOMMIT")
                return [tuple(row) for row in await single.execute(lookup.statement, values)]
        arguments = lookup.arguments(values)
        try:
            return self._read(lookup.sql, arguments)
        except sqlite3.OperationalError:  # locked, which a reader of a write-ahead log seldom meets
            return await asyncio.to_thread(self._wait_and_read, lookup.sql, arguments)

    def _read(self, sql: str, arguments: list[Any]) -> list[tuple[Any, ...]]:
        """On the event loop: it takes less time than handing it to a thread would, and never waits."""
        if self._reader is None:
            self._reader = self._connect(0.0)
        return self._reader.execute(sql, arguments).fetchall()

    def _wait_and_read(self, sql: str, arguments: list[Any]) -> list[tuple[Any, ...]]:
        with closing(self._connect(self._busy_timeout_s)) as connection:
            return connection.execute(sql, arguments).fetchall()

    def _connect(self, busy_timeout_s: float) -> sqlite3.Connection:
        path = self._engine.url.database or ":memory:"
        return sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
