"""Notifications: written in the transaction that they report, sent afterwards, each with one id for ever."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sqlalchemy import insert, select, update

from ussd_engine.charset import parts
from ussd_engine.platform.tables import notifications, sealed_at

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.sealing import KeyRing


State = Literal["queued", "sent", "failed"]


@dataclass(frozen=True, slots=True)
class Notification:
    id: str
    operation_id: str
    event: str
    language: str
    phone_number: str = field(repr=False)
    text: str = field(repr=False)
    state: str = "queued"


def add(connection: Connection, keys: KeyRing, message: Notification, now: datetime) -> None:
    connection.execute(
        insert(notifications).values(
            id=message.id,
            operation_id=message.operation_id,
            event=message.event,
            language=message.language,
            phone_sealed=keys.seal(message.phone_number.encode(), _context("phone_sealed", message.id)),
            text_sealed=keys.seal(message.text.encode(), _context("text_sealed", message.id)),
            parts=parts(message.text),
            state="queued",
            attempts=0,
            created_at=now,
        )
    )


def get(connection: Connection, keys: KeyRing, id_: str) -> Notification:
    row = connection.execute(select(notifications).where(notifications.c.id == id_)).first()
    if row is None:
        raise LookupError(f"notification {id_} does not exist")
    return Notification(
        id=row.id,
        operation_id=row.operation_id,
        event=row.event,
        language=row.language,
        phone_number=keys.open(row.phone_sealed, _context("phone_sealed", row.id)).decode(),
        text=keys.open(row.text_sealed, _context("text_sealed", row.id)).decode(),
        state=row.state,
    )


def id_of_operation(connection: Connection, operation_id: str) -> str | None:
    """The message that an operation queued when it ended, if it did."""
    wanted = select(notifications.c.id).where(notifications.c.operation_id == operation_id)
    return connection.execute(wanted).scalar()


def mark(
    connection: Connection,
    id_: str,
    state: State,
    sender_ref: str | None,
    now: datetime,
    failure: str | None = None,
) -> None:
    """Note an attempt and where it left the message. A message that was sent stays sent.

    `failure` is a code for why the sender did not take it, of at most 128 characters.
    """
    table = notifications.c
    connection.execute(
        update(notifications)
        .where((table.id == id_) & (table.state != "sent"))
        .values(
            state=state,
            attempts=table.attempts + 1,
            sender_ref=sender_ref,
            failure=failure,
            finished_at=None if state == "queued" else now,
        )
    )


def _context(column: str, id_: str) -> str:
    return sealed_at("notifications", column, id_)
