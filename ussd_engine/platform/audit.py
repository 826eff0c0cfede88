"""The audit log: who did what to which record, when, in which request, and what was there before and after.

It only ever grows, which a trigger keeps, and it is a chain: the hash of an entry covers the entry and the hash of
the one before it, under the key of digests, so that nobody can write the log anew who has the database alone. The
head is a row of its own with a seal, so that entries cut off the end are missed as well. What this cannot tell is a
whole database that was put back to an earlier day; a head that was noted elsewhere can.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
from sqlalchemy import String, insert, select, text, type_coerce, update

from ussd_engine.platform.audit_suspects import Suspect, explained, time_of, told
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import UtcDateTime, audit_head, audit_log, sealed_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Row

    from ussd_engine.sealing import KeyRing

REASON_LENGTH = 128
"""As wide as the column; a bank's own code may be of any length."""
BEGINNING = "0" * 32
"""The hash that the first entry follows."""
PAGE_ROWS = 1_000
"""The log is read in pages, as it grows for years."""

_COLUMNS = tuple(
    type_coerce(column, String).label(column.name) if column is audit_log.c.at else column
    for column in audit_log.c
)
"""For reading what may have been changed: SQLite takes anything for a time, which then comes out as it is."""
_INSERT = insert(audit_log)
_LOCK_HEAD = select(audit_head.c.seq, audit_head.c.hash, audit_head.c.seal).with_for_update()
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


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry as it stands in the log. `at` is None when it was changed to what is no time."""

    seq: int
    id: str
    at: datetime | None
    actor: str
    action: str
    entity: str
    entity_id: str
    request_id: str
    reason: str | None
    before_sealed: str | None = field(repr=False)
    after_sealed: str | None = field(repr=False)


def append(connection: Connection, keys: KeyRing, entries: list[AuditEntry], at: datetime) -> None:
    """Append within the caller's transaction, best as the last thing it does.

    From here to its end, other transactions that append wait.
    """
    former, seal = _locked_head(connection)
    head, rows = former, []
    for entry in entries:
        row = _row(keys, entry, at, head.seq + 1)
        head = Head(row["seq"], link(keys, head.hash, row))
        rows.append({**row, "hash": head.hash})
    connection.execute(_INSERT, rows)
    # A head that somebody changed gets no good seal, which would hide it from now on.
    if seal == _seal_of(keys, former):
        seal = _seal_of(keys, head)
    connection.execute(_SET_HEAD, {"seq": head.seq, "hash": head.hash, "seal": seal})


def head_of(connection: Connection) -> Head:
    row = connection.execute(select(audit_head.c.seq, audit_head.c.hash)).first()
    return Head(*row) if row else Head(0, BEGINNING)


def last_entries(connection: Connection, count: int, entity_id: str | None = None) -> list[Recorded]:
    """The last entries, the newest at the end; those of one record if asked."""
    wanted = select(*_COLUMNS).order_by(audit_log.c.seq.desc()).limit(count)
    if entity_id is not None:
        wanted = wanted.where(audit_log.c.entity_id == entity_id)
    rows = connection.execute(wanted).mappings().all()
    return [
        Recorded(**{name: row[name] for name in row if name != "hash"} | {"at": time_of(row["at"])})
        for row in reversed(rows)
    ]


def open_values(keys: KeyRing, entry: Recorded) -> dict[str, Any]:
    """What stood there `before` and `after`, as far as the entry has it. Raises SealBroken."""
    sealed = {"before": entry.before_sealed, "after": entry.after_sealed}
    return {
        name: orjson.loads(keys.open(value, sealed_at("audit_log", f"{name}_sealed", entry.id)))
        for name, value in sealed.items()
        if value is not None
    }


def verify(connection: Connection, keys: KeyRing, noted: Head | None = None) -> Iterator[str]:
    """What is wrong with the log, each finding a sentence that names the entry. Nothing when all is well.

    The first thing that a transaction does. `noted` is a head of former times, kept elsewhere.
    """
    if connection.dialect.name == "postgresql":  # what is appended meanwhile is in all statements or in none
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    last = Head(0, BEGINNING)
    suspects: list[Suspect] = []
    for row in _rows(connection):
        expected = last.seq + 1
        if not isinstance(row.seq, int) or row.seq < expected:  # SQLite takes text for a number as well
            yield f"{told(row)} was put in outside the numbers of the log"
            continue
        if row.seq > expected:
            yield f"{_missing(expected, row.seq - 1)}, so entry {row.seq} cannot be checked"
        elif (true_hash := _link_or_none(keys, last.hash, row)) != row.hash:
            suspects.append(Suspect(row, last.hash, true_hash))
        last = Head(row.seq, row.hash)
    missing = max(head_of(connection).seq - last.seq, 0)
    yield from explained(suspects, missing, partial(_link_or_none, keys))
    yield from _verify_head(connection, keys, last)
    if noted:
        yield from _verify_noted(connection, noted, last)


def _rows(connection: Connection) -> Iterator[Row[Any]]:
    """The log in its order."""
    page = select(*_COLUMNS).order_by(audit_log.c.seq).limit(PAGE_ROWS)
    rows = connection.execute(page).all()
    while rows:
        yield from rows
        rows = connection.execute(page.where(audit_log.c.seq > rows[-1].seq)).all()


def _verify_head(connection: Connection, keys: KeyRing, last: Head) -> Iterator[str]:
    row = connection.execute(select(audit_head)).first()
    if row is None:
        yield "the head of the chain is missing"
        return
    head = Head(row.seq, row.hash)
    if row.seal != _seal_of(keys, head):
        yield f"the head of the chain was changed; it says that entry {head.seq} is the last"
    elif head.seq > last.seq:
        yield f"{_missing(last.seq + 1, head.seq)} at the end"
    elif head != last:
        yield f"the head of the chain is entry {head.seq}, and the log ends with another entry {last.seq}"


def _verify_noted(connection: Connection, noted: Head, last: Head) -> Iterator[str]:
    wanted = select(audit_log.c.hash).where(audit_log.c.seq == noted.seq)
    hash_ = connection.execute(wanted).scalar() if noted.seq else BEGINNING
    if noted.seq > last.seq:
        yield f"{_missing(last.seq + 1, noted.seq)}: the head that was noted is entry {noted.seq}"
    elif hash_ != noted.hash:
        yield f"entry {noted.seq} is not the one that was noted"


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _link_or_none(keys: KeyRing, previous: str, row: Row[Any], seq: int | None = None) -> str | None:
    """The hash that the entry should have, at `seq` if given. None when its time is none."""
    stored = {**row._mapping, "at": time_of(row.at)}  # noqa: SLF001 - SQLAlchemy's public name for the row as a mapping
    if seq is not None:
        stored["seq"] = seq
    return link(keys, previous, stored) if stored["at"] else None


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


def _locked_head(connection: Connection) -> tuple[Head, str]:
    """The head and its seal. Migrations make the row; if it is gone, the log goes on, and its head stays unsealed."""
    row = connection.execute(_LOCK_HEAD).first()
    if row is None:
        columns = (audit_log.c.seq, audit_log.c.hash)
        last = connection.execute(select(*columns).order_by(audit_log.c.seq.desc()).limit(1)).first()
        seq, hash_ = last or (0, BEGINNING)
        insert_if_absent(connection, audit_head, id=1, seq=seq, hash=hash_, seal="")
        row = connection.execute(_LOCK_HEAD).one()
    return Head(row.seq, row.hash), row.seal


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
