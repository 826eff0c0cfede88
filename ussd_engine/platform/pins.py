"""PINs of subscribers: a slow hash of each, sealed, and what the last attempt came to.

The last attempt is kept so that the piece of work that made it may run again after a crash, and counts once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from ussd_engine.platform import gate
from ussd_engine.platform.gate import Verdict
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import pins, sealed_at

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.gate import Limit
    from ussd_engine.sealing import KeyRing


def hash_of(connection: Connection, keys: KeyRing, user_id: str) -> str | None:
    """None for a user who has no PIN yet."""
    sealed = connection.execute(select(pins.c.hash_sealed).where(pins.c.user_id == user_id)).scalar()
    return keys.open(sealed, _context(user_id)).decode() if sealed else None


def keep(connection: Connection, keys: KeyRing, user_id: str, hash_: str, set_by: str, now: datetime) -> bool:
    """A user's first PIN. True as well for whoever kept it before under the same `set_by`."""
    sealed = keys.seal(hash_.encode(), _context(user_id))
    row = {"user_id": user_id, "hash_sealed": sealed, "set_by": set_by, "set_at": now}
    if insert_if_absent(connection, pins, **row):
        return True
    return bool(
        connection.execute(select(pins.c.set_by).where(pins.c.user_id == user_id)).scalar_one() == set_by
    )


def attempt(
    connection: Connection,
    keys: KeyRing,
    user_id: str,
    attempt_id: str,
    limit: Limit,
    now: datetime,
    *,
    right: bool,
) -> Verdict:
    """What an attempt comes to; counted once."""
    mine = pins.c.user_id == user_id
    row = connection.execute(select(pins).where(mine).with_for_update()).one()
    if row.attempt_id == attempt_id:
        return Verdict(row.attempt_outcome, row.attempts_left)
    verdict = gate.judge(connection, keys.digest("gate", "pin", user_id), limit, now, right=right)
    last = {
        "attempt_id": attempt_id,
        "attempt_outcome": verdict.outcome,
        "attempts_left": verdict.attempts_left,
    }
    connection.execute(update(pins).where(mine).values(**last))
    return verdict


def _context(user_id: str) -> str:
    return sealed_at("pins", "hash_sealed", user_id)
