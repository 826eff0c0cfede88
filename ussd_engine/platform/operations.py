"""Operations: one registration, opening or choice of a PIN, from the first request to its result.

States: `open` -> `done` | `refused` | `failed`, or `open` -> `in_doubt` when the bank never told what became
of it and staff must look. Open and in doubt are unfinished, and the database allows one unfinished operation per
phone number. `told_pending` says that the subscriber was promised an SMS, `reconciling` that the bank is asked
again and again what became of an opening.

The row is the checkpoint of the work: whoever takes the work up again, after a crash or for staff, sees by the row
that it was begun before.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid5

import orjson
from sqlalchemy import bindparam, func, literal, select, update

from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import UNFINISHED, notifications, operations, sealed_at, staged_changes

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from ussd_engine.sealing import KeyRing

Kind = Literal["account.open", "subscription.register", "pin.set"]
Channel = Literal["ussd", "api"]
State = Literal["open", "in_doubt", "done", "refused", "failed"]

CLAIM_TRIES = 5
"""What stands in the way of a claim can end before it is looked at; five times in a row, something is wrong."""
_NAMESPACE = UUID("5f0f0d52-8a0c-4f0e-9f34-0c1b4d3f7a61")
"""Ids are derived, not drawn: work that is done twice names the same rows."""


_LOCK = select(operations).where(operations.c.id == bindparam("id")).with_for_update()
_FINISH = update(operations).where(
    (operations.c.id == bindparam("operation")) & operations.c.state.in_(UNFINISHED)
)


def operation_id(workflow_id: str) -> str:
    return str(uuid5(_NAMESPACE, workflow_id))


def derived_id(operation: str, part: str) -> str:
    """The id of something that an operation makes once, such as its change or its message."""
    return str(uuid5(UUID(operation), part))


@dataclass(frozen=True, slots=True)
class Claim:
    """What is needed to start an operation. Its id follows from the workflow's.

    `asked` is everything that the request gives of a person, in one text: only who asks the same may learn the
    result of an operation that is under way. None: nobody else may, whatever they ask, as they would learn by it that
    they asked the same. `request` is the whole of it, to be taken up again.
    """

    kind: Kind
    phone_number: str = field(repr=False)
    workflow_id: str
    channel: Channel
    asked: str | None = field(repr=False)
    request: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return operation_id(self.workflow_id)

    def digest(self, keys: KeyRing) -> str:
        return keys.digest("operation", self.workflow_id if self.asked is None else self.asked)

    def turn(self, number: int) -> Claim:
        """The same request once more, after another one stood in its way and came to nothing."""
        workflow_id = f"{self.workflow_id}~{number}"
        return replace(self, workflow_id=workflow_id, request={**self.request, "workflow_id": workflow_id})


@dataclass(frozen=True, slots=True)
class Operation:
    """`fresh`: it was made just now, so nothing of it can have been done before."""

    id: str
    kind: Kind
    phone_number: str = field(repr=False)
    workflow_id: str
    channel: Channel
    asked_digest: str = field(repr=False)
    state: State
    reconciling: bool
    told_pending: bool
    created_at: datetime
    result: dict[str, Any] | None = field(default=None, repr=False)
    bank_reference: str | None = None
    retries: int = 0
    finished_at: datetime | None = None
    fresh: bool = False

    @property
    def unfinished(self) -> bool:
        return self.state in UNFINISHED


def claim(connection: Connection, keys: KeyRing, wanted: Claim, now: datetime) -> Operation:
    """The operation with this workflow id, made when there is none; or the unfinished one of the phone number."""
    new = Operation(
        id=wanted.id,
        kind=wanted.kind,
        phone_number=wanted.phone_number,
        workflow_id=wanted.workflow_id,
        channel=wanted.channel,
        asked_digest=wanted.digest(keys),
        state="open",
        reconciling=False,
        told_pending=False,
        created_at=now,
        fresh=True,
    )
    row = {
        "id": new.id,
        "kind": new.kind,
        "phone_number": new.phone_number,
        "workflow_id": new.workflow_id,
        "channel": new.channel,
        "asked_digest": new.asked_digest,
        "request_sealed": keys.seal(orjson.dumps(wanted.request), _context("request_sealed", new.id)),
        "state": new.state,
        "reconciling": False,
        "told_pending": False,
        "created_at": now,
    }
    for _ in range(CLAIM_TRIES):
        if insert_if_absent(connection, operations, **row):
            return new
        found = find(connection, keys, wanted.id) or find_unfinished(connection, keys, wanted.phone_number)
        if found is not None:
            return found
    raise LookupError("an operation was neither made nor found")


def find(connection: Connection, keys: KeyRing, id_: str) -> Operation | None:
    row = connection.execute(select(operations).where(operations.c.id == id_)).first()
    return _operation(row, keys) if row else None


def lock(connection: Connection, keys: KeyRing, id_: str) -> Operation:
    """The operation as it stays for the rest of the transaction: no promise slips in before its result."""
    row = connection.execute(_LOCK, {"id": id_}).first()
    if row is None:
        raise LookupError(f"operation {id_} does not exist")
    return _operation(row, keys)


def find_unfinished(connection: Connection, keys: KeyRing, phone_number: str) -> Operation | None:
    wanted = (operations.c.phone_number == phone_number) & operations.c.state.in_(UNFINISHED)
    row = connection.execute(select(operations).where(wanted)).first()
    return _operation(row, keys) if row else None


def request_of(connection: Connection, keys: KeyRing, id_: str) -> dict[str, Any] | None:
    """What was asked. None where it was not kept, in operations of the first schema."""
    sealed = connection.execute(
        select(operations.c.request_sealed).where(operations.c.id == id_)
    ).scalar_one_or_none()
    if sealed is None:
        return None
    request: dict[str, Any] = orjson.loads(keys.open(sealed, _context("request_sealed", id_)))
    return request


def listed(
    connection: Connection,
    keys: KeyRing,
    states: tuple[State, ...],
    limit: int,
    before: datetime | None = None,
) -> list[Operation]:
    """The newest first."""
    wanted = select(operations).where(operations.c.state.in_(states))
    if before is not None:
        wanted = wanted.where(operations.c.created_at < before)
    rows = connection.execute(wanted.order_by(operations.c.created_at.desc(), operations.c.id).limit(limit))
    return [_operation(row, keys) for row in rows]


def traces(connection: Connection, id_: str) -> list[tuple[str, ...]]:
    """What an operation left behind: what it is, its id, its kind and its state."""
    sms, changes = notifications.c, staged_changes.c
    told = select(literal("SMS"), sms.id, sms.event, func.coalesce(sms.delivery, sms.state)).where(
        sms.operation_id == id_
    )
    staged = select(literal("change"), changes.id, changes.kind, changes.state).where(
        changes.operation_id == id_
    )
    return [tuple(row) for query in (staged, told) for row in connection.execute(query)]


def to_look_after(connection: Connection, keys: KeyRing, begun_before: datetime) -> list[Operation]:
    """Those that are open for long, or once more as staff asked for it: somebody works on them, or should."""
    due = (operations.c.created_at < begun_before) | (operations.c.retries > 0)
    wanted = select(operations).where((operations.c.state == "open") & due)
    return [_operation(row, keys) for row in connection.execute(wanted)]


def mark_reconciling(connection: Connection, id_: str, bank_reference: str | None) -> None:
    values: dict[str, Any] = {"reconciling": True}
    if bank_reference is not None:
        values["bank_reference"] = bank_reference
    connection.execute(update(operations).where(operations.c.id == id_).values(**values))


def mark_told(connection: Connection, id_: str) -> bool:
    """Note that the subscriber was promised an SMS. False when the operation has its result already."""
    result = connection.execute(
        update(operations)
        .where((operations.c.id == id_) & operations.c.state.in_(UNFINISHED))
        .values(told_pending=True)
    )
    return result.rowcount == 1


def mark_in_doubt(connection: Connection, id_: str) -> None:
    """Leave it to staff. The subscriber is told so, and is owed the result."""
    connection.execute(
        update(operations)
        .where((operations.c.id == id_) & (operations.c.state == "open"))
        .values(state="in_doubt", told_pending=True)
    )


def mark_retried(connection: Connection, id_: str) -> int | None:
    """Open an unfinished operation for one further try; its number. None when it is finished, or is none."""
    return connection.execute(
        update(operations)
        .where((operations.c.id == id_) & operations.c.state.in_(UNFINISHED))
        .values(retries=operations.c.retries + 1, state="open")
        .returning(operations.c.retries)
    ).scalar_one_or_none()


def finish(
    connection: Connection,
    keys: KeyRing,
    id_: str,
    state: State,
    result: dict[str, Any],
    now: datetime,
) -> None:
    sealed = keys.seal(orjson.dumps(result), _context("result_sealed", id_))
    values = {"state": state, "result_sealed": sealed, "finished_at": now}
    changed = connection.execute(_FINISH, {"operation": id_, **values})
    if changed.rowcount != 1:
        raise LookupError(f"operation {id_} is not open")


def _operation(row: Row[Any], keys: KeyRing) -> Operation:
    sealed = row.result_sealed
    return Operation(
        id=row.id,
        kind=row.kind,
        phone_number=row.phone_number,
        workflow_id=row.workflow_id,
        channel=row.channel,
        asked_digest=row.asked_digest,
        state=row.state,
        reconciling=row.reconciling,
        told_pending=row.told_pending,
        created_at=row.created_at,
        result=orjson.loads(keys.open(sealed, _context("result_sealed", row.id))) if sealed else None,
        bank_reference=row.bank_reference,
        retries=row.retries,
        finished_at=row.finished_at,
    )


def _context(column: str, id_: str) -> str:
    return sealed_at("operations", column, id_)
