"""Notifications: written in the transaction that they report, sent afterwards, each with one id for ever."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import bindparam, select, update

from ussd_engine.charset import parts
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import UNTOLD, notifications, operations, sealed_at

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from ussd_engine.sealing import KeyRing


State = Literal["queued", "sent", "failed", "superseded"]
"""`superseded`: a later message of the same operation says more than this one, which stays untold."""

UNCERTAIN_ATTEMPTS = 3
"""Attempts that may have been accepted, after which a message is given up: more of them would be a flood."""

_LOCK = (
    select(
        notifications.c.state, notifications.c.attempts, notifications.c.uncertain, notifications.c.attempt_by
    )
    .where(notifications.c.id == bindparam("notification"))
    .with_for_update()
)
_BEGIN = (
    update(notifications)
    .where(notifications.c.id == bindparam("notification"))
    .values(attempts=notifications.c.attempts + 1)
)
_END = update(notifications).where(
    (notifications.c.id == bindparam("notification")) & (notifications.c.state == "queued")
)
_SENT = update(notifications).where(
    (notifications.c.id == bindparam("notification")) & (notifications.c.state != "sent")
)


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


@dataclass(frozen=True, slots=True)
class Held:
    """Another has begun an attempt and not ended it; the message's so manyeth."""

    attempts: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message, and what it was queued by. The workflow and the retries are the operation's, if it is of one."""

    id: str
    operation_id: str | None
    change_id: str | None
    workflow_id: str | None
    retries: int | None


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


def queued_before(connection: Connection, at: datetime) -> list[Waiting]:
    """What waits to be told since before `at`: somebody works on it, or should."""
    table = notifications.c
    wanted = (
        select(table.id, table.operation_id, table.change_id, operations.c.workflow_id, operations.c.retries)
        .join_from(notifications, operations, isouter=True)
        .where((table.state == "queued") & (table.created_at < at))
    )
    return [Waiting(*row) for row in connection.execute(wanted)]


def supersede(connection: Connection, by: Notification) -> None:
    """Leave untold what the operation has queued before this message, which says how it ended."""
    table = notifications.c
    mine = (table.operation_id == by.operation_id) & (table.id != by.id) & (table.state == "queued")
    connection.execute(
        update(notifications).where(mine).values(state="superseded", finished_at=by.created_at)
    )


def begin_attempt(
    connection: Connection, id_: str, holder: str, waited_for: Held | None
) -> Literal["begun", "used_up", "over"] | Held:
    """Take the next attempt, as one of us: whoever finds it taken waits, and says then what it has `waited_for`.

    `holder` is a worker. An attempt that it has begun before and not ended was cut off with its process, and may
    have been accepted. `used_up`: there were too many of those. `over`: the message is not to be sent any more.
    """
    row = connection.execute(_LOCK, {"notification": id_}).one()
    if row.state != "queued":
        return "over"
    if row.attempt_by not in (None, holder) and waited_for != Held(row.attempts):
        return Held(row.attempts)
    uncertain = row.uncertain + (row.attempt_by is not None)
    if uncertain >= UNCERTAIN_ATTEMPTS:
        return "used_up"
    connection.execute(_BEGIN, {"notification": id_, "attempt_by": holder, "uncertain": uncertain})
    return "begun"


def end_attempt(
    connection: Connection,
    id_: str,
    state: State,
    sender_ref: str | None,
    now: datetime,
    failure: str | None = None,
    *,
    uncertain: bool = False,
) -> None:
    """Note where an attempt left the message. One that was sent stays sent, whatever else is tried or said.

    `failure` is a code for why the sender did not take it, of at most 128 characters. `uncertain`: the sender may
    have taken it.
    """
    values = {"state": state, "sender_ref": sender_ref, "failure": failure, "attempt_by": None}
    finished_at = None if state == "queued" else now
    end = _SENT if state == "sent" else _END
    if uncertain:
        end = end.values(uncertain=notifications.c.uncertain + 1)
    connection.execute(end, {"notification": id_, **values, "finished_at": finished_at})


def untold_failures(connection: Connection, keys: KeyRing, limit: int) -> list[Notification]:
    """Messages that were refused, given up or not delivered, of which operators have not heard."""
    rows = connection.execute(select(notifications).where(UNTOLD).limit(limit))
    return [_notification(row, keys) for row in rows]


def mark_failure_told(connection: Connection, id_: str) -> None:
    connection.execute(update(notifications).where(notifications.c.id == id_).values(failure_told=True))


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
