"""What became of the messages of the outbox: the senders' delivery reports, and the list for staff.

A message is `sent` when the sender accepted it. What follows stands in `delivery`, as its reports tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, select, update

from ussd_engine.phone import mask
from ussd_engine.platform.tables import notifications, sealed_at

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from ussd_engine.ports import Delivery
    from ussd_engine.sealing import KeyRing

Standing = Literal["queued", "sent", "delivered", "failed", "superseded"]
"""Where a message stands: `sent` is accepted and no more is known, `failed` is refused, given up or not delivered,
`superseded` was left unsent for a later one."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A message as staff see it: neither its text nor the whole phone number."""

    id: str
    operation_id: str | None
    change_id: str | None
    event: str
    language: str
    phone_masked: str
    parts: int
    state: str
    attempts: int
    delivery: str | None
    failure: str | None
    created_at: datetime
    finished_at: datetime | None
    reported_at: datetime | None


def record_report(
    connection: Connection, sender_ref: str, delivery: Delivery, failure: str | None, now: datetime
) -> bool:
    """Note what a report tells. False when no message has this id of the sender.

    The first final word stands: reports come late, twice and out of order, and a later `pending` is an older one.
    """
    table = notifications.c
    mine = table.sender_ref == sender_ref
    # Looked for before it is written: on PostgreSQL a message that is committed between the two statements would
    # be found by the second one alone, and a report that was noted nowhere be taken for noted.
    if connection.execute(select(table.id).where(mine)).first() is None:
        return False
    open_ = table.delivery.is_(None) | (table.delivery == "pending")
    connection.execute(
        update(notifications).where(mine & open_).values(delivery=delivery, failure=failure, reported_at=now)
    )
    return True


def listed(
    connection: Connection, keys: KeyRing, standing: Standing | None, limit: int, before: str | None = None
) -> list[Listed]:
    """The newest first: of one standing or of all; `before` goes on behind the message with that id."""
    table = notifications.c
    wanted = select(notifications)
    if standing is not None:
        wanted = wanted.where(_stands(standing))
    if before is not None:
        last = connection.execute(select(table.created_at).where(table.id == before)).scalar()
        if last is None:
            return []
        wanted = wanted.where((table.created_at < last) | ((table.created_at == last) & (table.id < before)))
    rows = connection.execute(wanted.order_by(table.created_at.desc(), table.id.desc()).limit(limit))
    return [_listed(row, keys) for row in rows]


def _stands(standing: Standing) -> ColumnElement[bool]:
    state, delivery = notifications.c.state, notifications.c.delivery
    match standing:
        case "queued" | "superseded":
            return state == standing
        case "sent":
            return (state == "sent") & (delivery.is_(None) | (delivery == "pending"))
        case "delivered":
            return delivery == "delivered"
        case "failed":
            return (state == "failed") | (delivery == "failed")


def _listed(row: Row[Any], keys: KeyRing) -> Listed:
    sealed_in = sealed_at("notifications", "phone_sealed", row.id)
    return Listed(
        id=row.id,
        operation_id=row.operation_id,
        change_id=row.change_id,
        event=row.event,
        language=row.language,
        phone_masked=mask(keys.open(row.phone_sealed, sealed_in).decode()),
        parts=row.parts,
        state=row.state,
        attempts=row.attempts,
        delivery=row.delivery,
        failure=row.failure,
        created_at=row.created_at,
        finished_at=row.finished_at,
        reported_at=row.reported_at,
    )
