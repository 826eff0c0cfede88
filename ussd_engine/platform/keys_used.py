"""Idempotency keys that were used, as digests: neither the key nor the body can be read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import idempotency_keys

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Use:
    """The digest of the body that a key was first used with, and the number of the present attempt."""

    body_digest: str
    attempt: int


def find(connection: Connection, key_digest: str) -> Use | None:
    columns = (idempotency_keys.c.body_digest, idempotency_keys.c.attempt)
    row = (connection.execute(select(*columns).where(idempotency_keys.c.key_digest == key_digest))).first()
    return Use(*row) if row else None


def use(connection: Connection, key_digest: str, body_digest: str, now: datetime) -> Use:
    """Use a key with a body; what comes back is the first use, perhaps another's."""
    new = {"key_digest": key_digest, "body_digest": body_digest, "attempt": 1, "created_at": now}
    insert_if_absent(connection, idempotency_keys, **new)
    return find(connection, key_digest) or Use(body_digest, 1)


def next_attempt(connection: Connection, key_digest: str, attempt: int) -> None:
    """Count one further; once, however many saw the same attempt end."""
    connection.execute(
        update(idempotency_keys)
        .where((idempotency_keys.c.key_digest == key_digest) & (idempotency_keys.c.attempt == attempt))
        .values(attempt=attempt + 1)
    )
