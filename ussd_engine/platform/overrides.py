"""Texts that staff changed, over those of the flow files."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import delete, select, update

from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import translation_overrides

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


def entity_id(key: str, language: str) -> str:
    """By which a change of this text is known."""
    return str(uuid5(NAMESPACE_OID, f"translation\x1f{key}\x1f{language}"))


def all_of(connection: Connection) -> dict[tuple[str, str], str]:
    """The texts by key and language."""
    table = translation_overrides.c
    rows = connection.execute(select(table.key, table.language, table.text))
    return {(row.key, row.language): row.text for row in rows}


def save(connection: Connection, key: str, language: str, text: str | None, now: datetime) -> None:
    """Put a text over that of the flow file; None takes it away again."""
    table = translation_overrides
    mine = (table.c.key == key) & (table.c.language == language)
    if text is None:
        connection.execute(delete(table).where(mine))
    elif not insert_if_absent(connection, table, key=key, language=language, text=text, updated_at=now):
        connection.execute(update(table).where(mine).values(text=text, updated_at=now))
