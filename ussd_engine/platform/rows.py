"""Rows that may be there already: ids that follow from what they are of, and inserts that both databases take."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Insert, Table


def row_id(*parts: str) -> str:
    """The same parts, the same id (a UUID), whoever comes first."""
    return str(uuid5(NAMESPACE_OID, "\x1f".join(parts)))


def insert_if_absent(connection: Connection, table: Table, **values: Any) -> bool:
    """Insert, and tell whether it happened; False when a unique constraint of the table stood against it.

    The caller then reads the row that stands there, and so notices when the constraint was another one.
    """
    return connection.execute(_insert(table, connection.dialect.name), values).rowcount == 1


def insert_all_if_absent(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> set[str]:
    """As above, all at once, for rows with the same columns; the ids of those that were inserted."""
    statement = _insert(table, connection.dialect.name).returning(table.c.id)
    return set(connection.execute(statement, rows).scalars())


@cache
def _insert(table: Table, dialect: str) -> Insert:
    """Made once: an opening inserts a dozen rows, and to put the statement together takes longer than to run it."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()
