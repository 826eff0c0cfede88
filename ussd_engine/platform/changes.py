"""Staged changes: a maker asks, a checker decides, by compare-and-set on the version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import insert, select, update

from ussd_engine.platform.tables import sealed_at, staged_changes

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy import Connection

    from ussd_engine.sealing import KeyRing


@dataclass(frozen=True, slots=True)
class StagedChange:
    """`before` and `after` are the fields of the entity that change, as plain data."""

    id: str
    operation_id: str
    kind: str
    entity: str
    entity_id: str
    maker: str
    expires_at: datetime
    before: dict[str, Any] = field(repr=False)
    after: dict[str, Any] = field(repr=False)
    version: int = 1
    state: str = "pending"


def add(connection: Connection, keys: KeyRing, change: StagedChange, now: datetime) -> None:
    connection.execute(
        insert(staged_changes).values(
            id=change.id,
            operation_id=change.operation_id,
            kind=change.kind,
            entity=change.entity,
            entity_id=change.entity_id,
            before_sealed=_seal(keys, change.before, "before_sealed", change.id),
            after_sealed=_seal(keys, change.after, "after_sealed", change.id),
            version=change.version,
            maker=change.maker,
            state=change.state,
            created_at=now,
            expires_at=change.expires_at,
        )
    )


def get(connection: Connection, keys: KeyRing, change_id: str) -> StagedChange:
    row = connection.execute(select(staged_changes).where(staged_changes.c.id == change_id)).first()
    if row is None:
        raise LookupError(f"staged change {change_id} does not exist")
    return _change(row, keys)


def decide(
    connection: Connection, change: StagedChange, state: str, checker: str, reason: str, now: datetime
) -> bool:
    """Decide on the change as it was read. False when somebody else was first, or its time is up."""
    table = staged_changes.c
    result = connection.execute(
        update(staged_changes)
        .where((table.id == change.id) & (table.version == change.version))
        .where((table.state == "pending") & (table.expires_at > now))
        .values(state=state, checker=checker, reason=reason, decided_at=now, version=change.version + 1)
    )
    return result.rowcount == 1


def _change(row: Row[Any], keys: KeyRing) -> StagedChange:
    return StagedChange(
        id=row.id,
        operation_id=row.operation_id,
        kind=row.kind,
        entity=row.entity,
        entity_id=row.entity_id,
        before=orjson.loads(keys.open(row.before_sealed, _context("before_sealed", row.id))),
        after=orjson.loads(keys.open(row.after_sealed, _context("after_sealed", row.id))),
        version=row.version,
        maker=row.maker,
        state=row.state,
        expires_at=row.expires_at,
    )


def _context(column: str, change_id: str) -> str:
    return sealed_at("staged_changes", column, change_id)


def _seal(keys: KeyRing, value: dict[str, Any], column: str, change_id: str) -> str:
    return keys.seal(orjson.dumps(value), _context(column, change_id))
