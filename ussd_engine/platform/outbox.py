"""Notifications: written in the transaction that they report, sent afterwards, each with one id for ever."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import bindparam, select, update

from ussd_engine.charset import parts
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import notifications, sealed_at

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from ussd_engine.sealing import KeyRing


_MARK = (
    update(notifications)
    .where((notifications.c.id == bindparam("notification")) & (notifications.c.state != "sent"))
    .values(attempts=notifications.c.attempts + 1)
)

State = Literal["queued", "sent", "failed"]


@dataclass(frozen=True, slots=True)
class Notification:
    """One SMS. It tells of an operation or of a decision on a change; the other id is None."""

    id: str
    operation_id: str | None
    change_id: str | None
    event: str
    language: str
    phone_number: str = field(repr=False)
    text: str = field(repr=False)
    created_at: datetime
    state: State = "queued"


def add(connection: Connection, keys: KeyRing, message: Notification) -> bool:
    """Queue the message. False when this event of its operation or change has one already."""
    return insert_if_absent(
        connection,
        notifications,
        id=message.id,
        operation_id=message.operation_id,
        change_id=message.change_id,
        event=message.event,
        language=message.language,
        phone_sealed=keys.seal(message.phone_number.encode(), _context("phone_sealed", message.id)),
        text_sealed=keys.seal(message.text.encode(), _context("text_sealed", message.id)),
        parts=parts(message.text),
        state=message.state,
        attempts=0,
        created_at=message.created_at,
    )


def get(connection: Connection, keys: KeyRing, id_: str) -> Notification:
    row = connection.execute(select(notifications).where(notifications.c.id == id_)).first()
    if row is None:
        raise LookupError(f"notification {id_} does not exist")
    return _notification(row, keys)


def queued_of_operation(connection: Connection, keys: KeyRing, operation_id: str) -> list[Notification]:
    """What an operation has to tell and has not yet."""
    mine = (notifications.c.operation_id == operation_id) & (notifications.c.state == "queued")
    rows = connection.execute(select(notifications).where(mine).order_by(notifications.c.created_at))
    return [_notification(row, keys) for row in rows]


def queued_of_change(connection: Connection, keys: KeyRing, change_id: str) -> list[Notification]:
    """What is to be told of a decision and has not been yet."""
    mine = (notifications.c.change_id == change_id) & (notifications.c.state == "queued")
    return [_notification(row, keys) for row in connection.execute(select(notifications).where(mine))]


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
    values = {"state": state, "sender_ref": sender_ref, "failure": failure}
    finished_at = None if state == "queued" else now
    connection.execute(_MARK, {"notification": id_, **values, "finished_at": finished_at})


def _notification(row: Row[Any], keys: KeyRing) -> Notification:
    return Notification(
        id=row.id,
        operation_id=row.operation_id,
        change_id=row.change_id,
        event=row.event,
        language=row.language,
        phone_number=keys.open(row.phone_sealed, _context("phone_sealed", row.id)).decode(),
        text=keys.open(row.text_sealed, _context("text_sealed", row.id)).decode(),
        created_at=row.created_at,
        state=row.state,
    )


def _context(column: str, id_: str) -> str:
    return sealed_at("notifications", column, id_)
