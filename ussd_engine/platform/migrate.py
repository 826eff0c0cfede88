"""Brings a database to the newest schema. Safe to run by several processes at once, and again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from ussd_engine.platform.database import Database
from ussd_engine.platform.reference import check_key_ring
from ussd_engine.platform.wal import use_wal

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ussd_engine.sealing import KeyRing

MIGRATION_LOCK = 7_274_318
"""Any number, the same in every process: who migrates PostgreSQL holds this advisory lock meanwhile."""


async def migrate(url: str, keys: KeyRing, *, to: str = "head") -> None:
    """Run every migration that `url` lacks, all in one transaction.

    Raises SettingsError when the database was written under another key ring than `keys`, and changes nothing then.
    """
    await asyncio.to_thread(use_wal, url)
    database = Database(url)
    try:
        await database.write(lambda connection: _upgrade(connection, keys, to))
    finally:
        await database.close()


def _upgrade(connection: Connection, keys: KeyRing, to: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = 0"))  # another process may migrate for long
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["keys"] = keys
    command.upgrade(config, to)
    check_key_ring(connection, keys)
