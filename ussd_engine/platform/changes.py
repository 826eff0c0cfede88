"""Staged changes: a maker asks, a checker decides, by compare-and-set.

Two versions guard a change. Its own `version` is what the checker has read, so that of two checkers at the same
moment one decides. `base_version` is the version of the entity that `before` shows, so that a change is never
applied to a record that has changed since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson
from sqlalchemy import bindparam, select, update

from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import entity_versions, operations, sealed_at, staged_changes

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from ussd_engine.sealing import KeyRing

_VERSION = select(entity_versions.c.version).where(
    (entity_versions.c.entity == bindparam("entity"))
    & (entity_versions.c.entity_id == bindparam("entity_id"))
)

POLICY = "policy"
"""The checker of changes that approve themselves."""
State = Literal["pending", "approved", "rejected", "expired"]


@dataclass(frozen=True, slots=True)
class StagedChange:
    """`before` and `after` are the fields of the entity that change, as plain data.

    `context` is what it takes to apply the change and to tell of it besides: who is told, in which language.
    `reason` is the checker's, `maker_reason` the maker's.
    """

    id: str
    operation_id: str | None
    kind: str
    entity: str
    entity_id: str
    base_version: int
    before: dict[str, Any] = field(repr=False)
    after: dict[str, Any] = field(repr=False)
    context: dict[str, Any] = field(repr=False)
    maker: str
    maker_reason: str | None
    created_at: datetime
    expires_at: datetime
    version: int = 1
    state: State = "pending"
    checker: str | None = None
    reason: str | None = None
    decided_at: datetime | None = None


def add(connection: Connection, keys: KeyRing, change: StagedChange) -> bool:
    """False when a change of this kind waits for this entity already, or when this one was added before."""
    sealed = {
        f"{name}_sealed": keys.seal(orjson.dumps(value), _context(f"{name}_sealed", change.id))
        for name, value in (("before", change.before), ("after", change.after), ("context", change.context))
    }
    return insert_if_absent(
        connection,
        staged_changes,
        id=change.id,
        operation_id=change.operation_id,
        kind=change.kind,
        entity=change.entity,
        entity_id=change.entity_id,
        base_version=change.base_version,
        **sealed,
        version=change.version,
        maker=change.maker,
        maker_reason=change.maker_reason,
        state=change.state,
        checker=change.checker,
        reason=change.reason,
        created_at=change.created_at,
        decided_at=change.decided_at,
        expires_at=change.expires_at,
    )


def find(connection: Connection, keys: KeyRing, change_id: str, *, lock: bool = False) -> StagedChange | None:
    """`lock` keeps it as it is for the rest of the transaction."""
    wanted = select(staged_changes).where(staged_changes.c.id == change_id)
    row = connection.execute(wanted.with_for_update() if lock else wanted).first()
    return _change(row, keys) if row else None


def listed(
    connection: Connection, keys: KeyRing, state: State, limit: int, after: str | None = None
) -> list[StagedChange]:
    """In the order in which they were asked for, from the change `after` on."""
    table = staged_changes.c
    wanted = select(staged_changes).where(table.state == state)
    if after is not None:
        last = connection.execute(select(table.created_at).where(table.id == after)).scalar()
        if last is None:
            return []
        wanted = wanted.where((table.created_at > last) | ((table.created_at == last) & (table.id > after)))
    rows = connection.execute(wanted.order_by(table.created_at, table.id).limit(limit))
    return [_change(row, keys) for row in rows]


def waiting_for(connection: Connection, entity: str, entity_id: str) -> list[tuple[str, str]]:
    """The kind and the id of every change that waits for an entity."""
    table = staged_changes.c
    mine = (table.entity == entity) & (table.entity_id == entity_id) & (table.state == "pending")
    return [tuple(row) for row in connection.execute(select(table.kind, table.id).where(mine))]


def admission_of(connection: Connection, keys: KeyRing, phone_number: str) -> StagedChange | None:
    """The change that waits to make the owner of a phone number a customer, the latest if there are several."""
    table = staged_changes.c
    mine = (table.operation_id == operations.c.id) & (operations.c.phone_number == phone_number)
    row = connection.execute(
        select(staged_changes)
        .where(mine & (table.state == "pending") & (table.kind == operations.c.kind))
        .order_by(table.created_at.desc())
        .limit(1)
    ).first()
    return _change(row, keys) if row else None


def overdue(connection: Connection, keys: KeyRing, now: datetime, limit: int) -> list[StagedChange]:
    """Changes that nobody decided on in time."""
    table = staged_changes.c
    rows = connection.execute(
        select(staged_changes)
        .where((table.state == "pending") & (table.expires_at <= now))
        .order_by(table.expires_at)
        .limit(limit)
    )
    return [_change(row, keys) for row in rows]


def untold(connection: Connection, decided_before: datetime) -> list[str]:
    """The ids of changes of whose end nobody was told, and should be: policy decides silently."""
    table = staged_changes.c
    ended = (table.state != "pending") & (table.checker.is_(None) | (table.checker != POLICY))
    late = table.told_at.is_(None) & (table.decided_at < decided_before)
    return list(connection.execute(select(table.id).where(ended & late)).scalars())


def mark_told(connection: Connection, id_: str, now: datetime) -> None:
    connection.execute(update(staged_changes).where(staged_changes.c.id == id_).values(told_at=now))


def decide(
    connection: Connection,
    change: StagedChange,
    state: State,
    checker: str | None,
    reason: str | None,
    now: datetime,
) -> bool:
    """Decide on the change as it was read. False when somebody else was first."""
    table = staged_changes.c
    result = connection.execute(
        update(staged_changes)
        .where((table.id == change.id) & (table.version == change.version) & (table.state == "pending"))
        .values(state=state, checker=checker, reason=reason, decided_at=now, version=change.version + 1)
    )
    return result.rowcount == 1


def version_of(connection: Connection, entity: str, entity_id: str) -> int:
    """How often the entity was changed; 0 for one that nobody changed yet."""
    return connection.execute(_VERSION, {"entity": entity, "entity_id": entity_id}).scalar() or 0


def advance(connection: Connection, entity: str, entity_id: str, base_version: int) -> bool:
    """Count a change that was made against `base_version`. False when the entity has changed since."""
    table = entity_versions
    if base_version == 0:
        return insert_if_absent(connection, table, entity=entity, entity_id=entity_id, version=1)
    mine = (table.c.entity == entity) & (table.c.entity_id == entity_id)
    result = connection.execute(
        update(table).where(mine & (table.c.version == base_version)).values(version=base_version + 1)
    )
    return result.rowcount == 1


def _change(row: Row[Any], keys: KeyRing) -> StagedChange:
    def opened(column: str) -> dict[str, Any]:
        sealed = getattr(row, column)
        value: dict[str, Any] = orjson.loads(keys.open(sealed, _context(column, row.id))) if sealed else {}
        return value

    return StagedChange(
        id=row.id,
        operation_id=row.operation_id,
        kind=row.kind,
        entity=row.entity,
        entity_id=row.entity_id,
        base_version=row.base_version,
        before=opened("before_sealed"),
        after=opened("after_sealed"),
        context=opened("context_sealed"),
        maker=row.maker,
        maker_reason=row.maker_reason,
        created_at=row.created_at,
        expires_at=row.expires_at,
        version=row.version,
        state=row.state,
        checker=row.checker,
        reason=row.reason,
        decided_at=row.decided_at,
    )


def _context(column: str, change_id: str) -> str:
    return sealed_at("staged_changes", column, change_id)
