"""The audit log: who did what to which record, when, in which request. It only ever grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import insert

from ussd_engine.platform.tables import audit_log

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

REASON_LENGTH = 128
"""As wide as the column; a bank's own code may be of any length."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`actor` is a channel, a staff id or "policy"; `reason` is a code. None of it is personal data."""

    actor: str
    action: str
    entity: str
    entity_id: str
    request_id: str
    reason: str | None = None


async def append(connection: AsyncConnection, entry: AuditEntry, at: datetime) -> None:
    await connection.execute(
        insert(audit_log).values(
            id=str(uuid4()),
            at=at,
            actor=entry.actor,
            action=entry.action,
            entity=entry.entity,
            entity_id=entry.entity_id,
            request_id=entry.request_id,
            reason=entry.reason and entry.reason[:REASON_LENGTH],
        )
    )
