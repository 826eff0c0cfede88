"""Operations: one registration or opening, from the first request to its result.

States: `open` -> `done` | `refused` | `failed`, or `open` -> `in_doubt` when the bank never told what became
of it and staff must look. Open and in doubt are unfinished, and the database allows one unfinished operation per
kind and phone number. `attempted_at` says that the bank may have been asked to open; `told_pending` that the
subscriber was promised an SMS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid5

import orjson
from sqlalchemy import select, update

from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import UNFINISHED, operations, sealed_at

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from ussd_engine.sealing import KeyRing

Kind = Literal["account.open", "subscription.register"]
Channel = Literal["ussd", "api"]
FinalState = Literal["done", "refused", "failed"]

_NAMESPACE = UUID("5f0f0d52-8a0c-4f0e-9f34-0c1b4d3f7a61")
"""Ids are derived, not drawn: a step that runs twice names the same rows."""


def operation_id(workflow_id: str) -> str:
    return str(uuid5(_NAMESPACE, workflow_id))


def derived_id(operation: str, part: str) -> str:
    """The id of something that an operation makes once, such as its customer or its message."""
    return str(uuid5(UUID(operation), part))


@dataclass(frozen=True, slots=True)
class Claim:
    """What is needed to start an operation. Its id follows from the workflow's.

    `asked` is everything that the request gives of a person, in one text: only who asks the same may learn the
    result of an operation that is under way.
    """

    kind: Kind
    phone_number: str = field(repr=False)
    workflow_id: str
    channel: Channel
    asked: str = field(repr=False)

    @property
    def id(self) -> str:
        return operation_id(self.workflow_id)

    def digest(self, keys: KeyRing) -> str:
        return keys.digest("operation", self.asked)


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    kind: Kind
    phone_number: str = field(repr=False)
    workflow_id: str
    channel: Channel
    asked_digest: str = field(repr=False)
    state: str
    attempted: bool
    reconciling: bool
    told_pending: bool
    result: dict[str, Any] | None = field(repr=False)


async def claim(connection: AsyncConnection, keys: KeyRing, wanted: Claim, now: datetime) -> Operation:
    """The operation with this workflow id, made when there is none; or the unfinished one of the phone."""
    existing = await find(connection, keys, wanted.id)
    if existing:
        return existing
    await insert_if_absent(
        connection,
        operations,
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
    )
    made = await find(connection, keys, wanted.id)
    made = made or await find_unfinished(connection, keys, wanted.kind, wanted.phone_number)
    if made is None:
        raise LookupError("an operation was neither made nor found")
    return made


async def find(connection: AsyncConnection, keys: KeyRing, id_: str) -> Operation | None:
    row = (await connection.execute(select(operations).where(operations.c.id == id_))).first()
    return _operation(row, keys) if row else None


async def lock(connection: AsyncConnection, keys: KeyRing, id_: str) -> Operation:
    """The operation as it stays for the rest of the transaction: no promise slips in before its result."""
    row = (
        await connection.execute(select(operations).where(operations.c.id == id_).with_for_update())
    ).first()
    if row is None:
        raise LookupError(f"operation {id_} does not exist")
    return _operation(row, keys)


async def find_unfinished(
    connection: AsyncConnection, keys: KeyRing, kind: Kind, phone_number: str
) -> Operation | None:
    wanted = (
        (operations.c.kind == kind)
        & (operations.c.phone_number == phone_number)
        & operations.c.state.in_(UNFINISHED)
    )
    row = (await connection.execute(select(operations).where(wanted))).first()
    return _operation(row, keys) if row else None


async def mark_attempted(connection: AsyncConnection, id_: str, now: datetime) -> bool:
    """Note that the bank is about to be asked. False when a former run had noted it already."""
    result = await connection.execute(
        update(operations)
        .where((operations.c.id == id_) & operations.c.attempted_at.is_(None))
        .values(attempted_at=now)
    )
    return result.rowcount == 1


async def mark_reconciling(connection: AsyncConnection, id_: str, bank_reference: str | None) -> None:
    values: dict[str, Any] = {"reconciling": True}
    if bank_reference is not None:
        values["bank_reference"] = bank_reference
    await connection.execute(update(operations).where(operations.c.id == id_).values(**values))


async def mark_told(connection: AsyncConnection, id_: str) -> bool:
    """Note that the subscriber was promised an SMS. False when the operation has its result already."""
    result = await connection.execute(
        update(operations)
        .where((operations.c.id == id_) & operations.c.state.in_(UNFINISHED))
        .values(told_pending=True)
    )
    return result.rowcount == 1


async def mark_in_doubt(connection: AsyncConnection, id_: str) -> None:
    await connection.execute(
        update(operations)
        .where((operations.c.id == id_) & (operations.c.state == "open"))
        .values(state="in_doubt")
    )


async def finish(
    connection: AsyncConnection,
    keys: KeyRing,
    id_: str,
    state: FinalState,
    result: dict[str, Any],
    now: datetime,
) -> None:
    sealed = keys.seal(orjson.dumps(result), sealed_at("operations", "result_sealed", id_))
    changed = await connection.execute(
        update(operations)
        .where((operations.c.id == id_) & operations.c.state.in_(UNFINISHED))
        .values(state=state, result_sealed=sealed, finished_at=now)
    )
    if changed.rowcount != 1:
        raise LookupError(f"operation {id_} is not open")


def _operation(row: Row[Any], keys: KeyRing) -> Operation:
    sealed = row.result_sealed
    context = sealed_at("operations", "result_sealed", row.id)
    return Operation(
        id=row.id,
        kind=row.kind,
        phone_number=row.phone_number,
        workflow_id=row.workflow_id,
        channel=row.channel,
        asked_digest=row.asked_digest,
        state=row.state,
        attempted=row.attempted_at is not None,
        reconciling=row.reconciling,
        told_pending=row.told_pending,
        result=orjson.loads(keys.open(sealed, context)) if sealed else None,
    )
