"""The one statement that both databases spell differently, made portable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_if_absent(connection: AsyncConnection, table: Table, **values: Any) -> bool:
    """Insert, and tell whether it happened; False when a constraint of the table stood against it.

    The caller then reads the row that stands there, and so notices when the constraint was another one.
    """
    try:
        async with connection.begin_nested():
            await connection.execute(insert(table).values(**values))
    except IntegrityError:
        return False
    return True
