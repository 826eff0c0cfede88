"""One SELECT that every dial makes, prepared once and run in one step.

SQLAlchemy's own way costs a dozen hops to the thread of an SQLite connection (begin, cursor, execute, fetch,
close, commit, reset), about a millisecond of CPU, which is most of what a dial costs. A single statement needs
no transaction of its own: it sees one state of the database anyway.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiosqlite
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
    """Runs look-ups on a connection of its own on SQLite, which never begins a transaction."""

    def __init__(self, engine: AsyncEngine, busy_timeout_s: float) -> None:
        self._engine = engine
        self._busy_timeout_s = busy_timeout_s
        self._sqlite = engine.dialect.name == "sqlite"
        self._opening: asyncio.Task[aiosqlite.Connection] | None = None

    async def run(self, lookup: Lookup, **values: str) -> list[tuple[Any, ...]]:
        if self._sqlite:
            connection = await self._connection()
            return [
                tuple(row) for row in await connection.execute_fetchall(lookup.sql, lookup.arguments(values))
            ]
        async with self._engine.connect() as pooled:
            single = await pooled.execution_options(isolation_level="AUTOCOMMIT")
            return [tuple(row) for row in await single.execute(lookup.statement, values)]

    async def _connection(self) -> aiosqlite.Connection:
        """Opened on first use, once for all who wait for it; a failure is tried again by the next."""
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> aiosqlite.Connection:
        path = self._engine.url.database or ":memory:"
        return await aiosqlite.connect(path, timeout=self._busy_timeout_s, isolation_level=None)

    async def close(self) -> None:
        if self._opening is not None:
            connection = await self._opening
            await connection.close()
