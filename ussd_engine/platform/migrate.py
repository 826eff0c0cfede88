"""Brings a database to the newest schema. Safe to run by several processes at once, and again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from ussd_engine.platform.database import Database
from ussd_engine.platform.wal import use_wal

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

MIGRATION_LOCK = 7_274_318
"""Any number, the same in every process: who migrates PostgreSQL holds this advisory lock meanwhile."""


async def migrate(url: str) -> None:
    """Run every migration that `url` lacks, all in one transaction."""
    await asyncio.to_thread(use_wal, url)
    database = Database(url)
    try:
        async with database.write() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            await connection.run_sync(_upgrade)
    finally:
        await database.close()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
