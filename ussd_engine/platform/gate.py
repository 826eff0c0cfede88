"""Wrong answers at a gate: a date of birth, per phone number and per customer of the bank, or a PIN, per user.

An attempt at a date of birth is counted before the answer is looked at, and given back when it was right or when nobody
could tell. What was looked at already, as a PIN, is counted before anybody is told. So a thousand guesses at once get
no further than the few that the limit allows, whichever worker or channel they come by.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from sqlalchemy import select, update

from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import gate_counters, operations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

Outcome = Literal["passed", "failed", "released"]


@dataclass(frozen=True, slots=True)
class Limit:
    """`attempts` wrong answers in a row lock the gate for `lockout_s`; as long a peace forgets them."""

    attempts: int
    lockout_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer comes to. `locks`: it is the one that has locked the gate."""

    outcome: Literal["verified", "wrong", "locked"]
    attempts_left: int = 0
    locks: bool = False


def judge(connection: Connection, subject: str, limit: Limit, now: datetime, *, right: bool) -> Verdict:
    """Count an answer of which it is known whether it is right, and say what nobody has been told yet.

    While the gate is locked the right answer is refused as well. Whoever calls this sees to it that it happens once.
    """
    locked, failures = _locked(connection, subject, limit, now)
    if locked:
        return Verdict("locked")
    if right:
        _write(connection, subject, 0, now, None)
        return Verdict("verified")
    left = max(limit.attempts - failures - 1, 0)
    until = None if left else now + timedelta(seconds=limit.lockout_s)
    _write(connection, subject, failures + 1, now, until)
    return Verdict("wrong", left) if left else Verdict("locked", locks=True)


def reserve(
    connection: Connection, operation_id: str, subjects: Sequence[str], limit: Limit, now: datetime
) -> bool:
    """Count an attempt of this operation against every subject, once. False: the gate is locked for one of them."""
    state = connection.execute(
        select(operations.c.gate).where(operations.c.id == operation_id).with_for_update()
    ).scalar_one()
    if state in ("reserved", "locked"):  # a former run came here, and died before it could tell
        return bool(state == "reserved")
    counters = [_locked(connection, subject, limit, now) for subject in sorted(subjects)]
    if any(locked for locked, _ in counters):
        _note(connection, operation_id, "locked")
        return False
    for subject, (_, failures) in zip(sorted(subjects), counters, strict=True):
        until = now + timedelta(seconds=limit.lockout_s) if failures + 1 >= limit.attempts else None
        _write(connection, subject, failures + 1, now, until)
    _note(connection, operation_id, "reserved")
    return True


def settle(
    connection: Connection, operation_id: str, subjects: Sequence[str], outcome: Outcome, now: datetime
) -> None:
    """What became of a reserved attempt. A right answer clears the counters; `released` gives this one back."""
    settled = connection.execute(
        update(operations)
        .where((operations.c.id == operation_id) & (operations.c.gate == "reserved"))
        .values(gate=outcome)
    )
    if settled.rowcount != 1 or outcome == "failed":
        return
    for subject in sorted(subjects):
        failures = connection.execute(
            select(gate_counters.c.failures).where(gate_counters.c.subject == subject).with_for_update()
        ).scalar_one()
        _write(connection, subject, 0 if outcome == "passed" else max(failures - 1, 0), now, None)


def _locked(connection: Connection, subject: str, limit: Limit, now: datetime) -> tuple[bool, int]:
    """Whether the gate is locked for the subject, else how many wrong answers count; held to the transaction's end."""
    insert_if_absent(connection, gate_counters, subject=subject, failures=0, counted_at=now)
    row = connection.execute(
        select(gate_counters).where(gate_counters.c.subject == subject).with_for_update()
    ).one()
    if row.locked_until is not None:
        return row.locked_until > now, 0
    stale = row.counted_at + timedelta(seconds=limit.lockout_s) <= now
    return False, 0 if stale else row.failures


def _write(
    connection: Connection, subject: str, failures: int, now: datetime, locked_until: datetime | None
) -> None:
    connection.execute(
        update(gate_counters)
        .where(gate_counters.c.subject == subject)
        .values(failures=failures, counted_at=now, locked_until=locked_until)
    )


def _note(connection: Connection, operation_id: str, state: str) -> None:
    connection.execute(update(operations).where(operations.c.id == operation_id).values(gate=state))
