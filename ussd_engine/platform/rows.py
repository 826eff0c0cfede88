"""The one statement that both databases spell differently, made portable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table


def insert_if_absent(connection: Connection, table: Table, **values: Any) -> bool:
    """Insert, and tell whether it happened; False when a unique constraint of the table stood against it.

    The caller then reads the row that stands there, and so notices when the constraint was another one.
    """
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return connection.execute(insert(table).values(**values).on_conflict_do_nothing()).rowcount == 1
