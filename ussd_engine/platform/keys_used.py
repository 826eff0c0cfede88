"""Idempotency keys that were used, as digests: neither the key nor the body can be read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import idempotency_keys

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


async def body_of(connection: AsyncConnection, key_digest: str) -> str | None:
    """The digest of the body that this key was first used with."""
    wanted = select(idempotency_keys.c.body_digest).where(idempotency_keys.c.key_digest == key_digest)
    return (await connection.execute(wanted)).scalar()


async def use(connection: AsyncConnection, key_digest: str, body_digest: str, now: datetime) -> str | None:
    """Use a key with a body, and answer the body that the key belongs to."""
    new = {"key_digest": key_digest, "body_digest": body_digest, "created_at": now}
    await insert_if_absent(connection, idempotency_keys, **new)
    return await body_of(connection, key_digest)
