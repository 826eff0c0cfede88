"""The audit log: who did what to which record, when, in which request, and what was there before and after.

It only ever grows, which a trigger keeps, and it is a chain: the hash of an entry covers the entry and the hash of
the one before it, under the key of digests, so that nobody can write the log anew who has the database alone. The
head is a row of its own with a seal, so that entries cut off the end are missed as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
from sqlalchemy import insert, select, text, update

from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import UtcDateTime, audit_head, audit_log, sealed_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.sealing import KeyRing

REASON_LENGTH = 128
"""As wide as the column; a bank's own code may be of any length."""
BEGINNING = "0" * 32
"""The hash that the first entry follows."""

_INSERT = insert(audit_log)
_LOCK_HEAD = select(audit_head.c.seq, audit_head.c.hash).with_for_update()
_SET_HEAD = update(audit_head)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`actor` is a channel, a member of staff ("operator:ann"), a key or "policy"; `reason` is a code.

    `before` and `after` are the fields that changed, as plain data; they are sealed, as they may be personal.
    Nothing else is.
    """

    actor: str
    action: str
    entity: str
    entity_id: str
    request_id: str
    reason: str | None = None
    before: Mapping[str, Any] | None = field(default=None, repr=False)
    after: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry: its number, and its hash, which stands for all entries up to it."""

    seq: int
    hash: str


def append(connection: Connection, keys: KeyRing, entries: list[AuditEntry], at: datetime) -> None:
    """Append within the caller's transaction, best as the last thing it does.

    From here to its end, other transactions that append wait.
    """
    head = _locked_head(connection, keys)
    rows = []
    for entry in entries:
        row = _row(keys, entry, at, head.seq + 1)
        head = Head(row["seq"], link(keys, head.hash, row))
        rows.append({**row, "hash": head.hash})
    connection.execute(_INSERT, rows)
    connection.execute(_SET_HEAD, {"seq": head.seq, "hash": head.hash, "seal": _seal_of(keys, head)})


def head_of(connection: Connection) -> Head:
    row = connection.execute(select(audit_head.c.seq, audit_head.c.hash)).first()
    return Head(*row) if row else Head(0, BEGINNING)


def verify(connection: Connection, keys: KeyRing) -> Iterator[str]:
    """What is wrong with the log, each finding a sentence that names the entry. Nothing when all is well."""
    expected, previous = 1, BEGINNING
    for row in connection.execute(select(audit_log).order_by(audit_log.c.seq)):
        stored = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for the row as a mapping
        seq, hash_ = stored["seq"], stored.pop("hash")
        if seq != expected:
            missing = (
                f"entry {expected} is" if seq == expected + 1 else f"entries {expected} to {seq - 1} are"
            )
            yield f"{missing} missing"
        elif link(keys, previous, stored) != hash_:
            yield f"entry {seq} (id {stored['id']}, {stored['action']}) was changed, or stands in another's place"
        expected, previous = seq + 1, hash_
    yield from _verify_head(connection, keys, Head(expected - 1, previous))


def _verify_head(connection: Connection, keys: KeyRing, last: Head) -> Iterator[str]:
    row = connection.execute(select(audit_head)).first()
    if row is None:
        if last.seq:
            yield "the head of the chain is missing"
        return
    head = Head(row.seq, row.hash)
    if row.seal != _seal_of(keys, head):
        yield "the head of the chain was changed"
    elif head.seq > last.seq:
        first = last.seq + 1
        yield (
            f"entry {first} is missing" if first == head.seq else f"entries {first} to {head.seq} are missing"
        )
    elif head != last:
        yield f"the head of the chain is entry {head.seq}, and the log ends with another entry {last.seq}"


def link(keys: KeyRing, previous: str, row: Mapping[str, Any]) -> str:
    """The hash of an entry, which covers every column besides itself and the entry before."""
    fields = {**row, "at": row["at"].isoformat(timespec="microseconds")}
    columns = (column.name for column in audit_log.c if column.name != "hash")
    return keys.digest(
        "audit", previous, *("" if fields[name] is None else f"={fields[name]}" for name in columns)
    )


def chain_of_old_rows(connection: Connection, keys: KeyRing) -> None:
    """For the migration that brings the chain: number and hash what the log holds already."""
    plain = text(
        "SELECT id, at, actor, action, entity, entity_id, request_id, reason FROM audit_log ORDER BY at, id"
    )
    rows = connection.execute(plain.columns(at=UtcDateTime)).mappings().all()
    head = Head(0, BEGINNING)
    for seq, row in zip(count(1), rows, strict=False):
        whole = {**row, "seq": seq, "before_sealed": None, "after_sealed": None}
        head = Head(seq, link(keys, head.hash, whole))
        connection.execute(
            text("UPDATE audit_log SET seq = :seq, hash = :hash WHERE id = :id"),
            {"seq": seq, "hash": head.hash, "id": row["id"]},
        )
    connection.execute(
        insert(audit_head).values(id=1, seq=head.seq, hash=head.hash, seal=_seal_of(keys, head))
    )


def _locked_head(connection: Connection, keys: KeyRing) -> Head:
    row = connection.execute(_LOCK_HEAD).first()
    if row is None:
        first = Head(0, BEGINNING)
        seal = _seal_of(keys, first)
        insert_if_absent(connection, audit_head, id=1, seq=0, hash=BEGINNING, seal=seal)
        row = connection.execute(_LOCK_HEAD).one()
    return Head(*row)


def _row(keys: KeyRing, entry: AuditEntry, at: datetime, seq: int) -> dict[str, Any]:
    id_ = str(uuid4())
    return {
        "id": id_,
        "seq": seq,
        "at": at,
        "actor": entry.actor,
        "action": entry.action,
        "entity": entry.entity,
        "entity_id": entry.entity_id,
        "request_id": entry.request_id,
        "reason": entry.reason and entry.reason[:REASON_LENGTH],
        "before_sealed": _sealed(keys, entry.before, "before_sealed", id_),
        "after_sealed": _sealed(keys, entry.after, "after_sealed", id_),
    }


def _sealed(keys: KeyRing, value: Mapping[str, Any] | None, column: str, id_: str) -> str | None:
    return None if value is None else keys.seal(orjson.dumps(value), sealed_at("audit_log", column, id_))


def _seal_of(keys: KeyRing, head: Head) -> str:
    return keys.digest("audit-head", str(head.seq), head.hash)
