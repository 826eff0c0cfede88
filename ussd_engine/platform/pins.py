"""PINs of subscribers: a slow hash of each, sealed, and what the attempts of late came to.

Those are kept so that a piece of work that made one may run again after a crash, and counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from ussd_engine.platform import gate
from ussd_engine.platform.gate import Verdict
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import pin_attempts, pins, sealed_at

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from ussd_engine.platform.gate import Limit
    from ussd_engine.sealing import KeyRing

KEPT = timedelta(days=1)
"""Work that died is taken up again within minutes of a worker being there; later than this it would count anew."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A user's PIN. `set_by`, the work that has set it, tells it from all that the user had or will have."""

    hash: str = field(repr=False)
    set_by: str
    set_at: datetime


def find(connection: Connection, keys: KeyRing, user_id: str) -> Pin | None:
    """None for a user who has no PIN."""
    row = connection.execute(select(pins).where(pins.c.user_id == user_id)).first()
    if row is None:
        return None
    return Pin(keys.open(row.hash_sealed, _context(user_id)).decode(), row.set_by, row.set_at)


def keep(connection: Connection, keys: KeyRing, user_id: str, hash_: str, set_by: str, now: datetime) -> bool:
    """The PIN of a user who has none. False when there is one."""
    return insert_if_absent(connection, pins, user_id=user_id, **_columns(keys, user_id, hash_, set_by, now))


def replace(
    connection: Connection,
    keys: KeyRing,
    user_id: str,
    former: str,
    hash_: str,
    set_by: str,
    now: datetime,
) -> bool:
    """Another PIN in the place of the one that `former` has set. False when that is not the user's any more."""
    changed = connection.execute(
        update(pins).where(_is(user_id, former)).values(_columns(keys, user_id, hash_, set_by, now))
    )
    return changed.rowcount == 1


def forget(connection: Connection, user_id: str, set_by: str) -> bool:
    """Take the PIN away that `set_by` has set, and its attempts. False when it is not the user's any more."""
    gone = connection.execute(delete(pins).where(_is(user_id, set_by))).rowcount == 1
    if gone:
        connection.execute(delete(pin_attempts).where(pin_attempts.c.user_id == user_id))
    return gone


def attempt(
    connection: Connection,
    keys: KeyRing,
    user_id: str,
    attempt_id: str,
    compared: str,
    limit: Limit,
    now: datetime,
    *,
    right: bool,
) -> Verdict | None:
    """What an attempt comes to; counted once. None when the PIN that it was compared with, by its `set_by`, is gone."""
    row = connection.execute(select(pins).where(pins.c.user_id == user_id).with_for_update()).first()
    told = connection.execute(select(pin_attempts).where(pin_attempts.c.id == attempt_id)).first()
    if told is not None:
        return Verdict(told.outcome, told.attempts_left)
    if row is None or row.set_by != compared:
        return None
    verdict = gate.judge(connection, keys.digest("gate", "pin", user_id), limit, now, right=right)
    old = (pin_attempts.c.user_id == user_id) & (pin_attempts.c.made_at <= now - KEPT)
    connection.execute(delete(pin_attempts).where(old))
    connection.execute(
        insert(pin_attempts).values(
            id=attempt_id,
            user_id=user_id,
            outcome=verdict.outcome,
            attempts_left=verdict.attempts_left,
            made_at=now,
        )
    )
    return verdict


def _is(user_id: str, set_by: str) -> ColumnElement[bool]:
    return (pins.c.user_id == user_id) & (pins.c.set_by == set_by)


def _columns(keys: KeyRing, user_id: str, hash_: str, set_by: str, now: datetime) -> dict[str, object]:
    return {"hash_sealed": keys.seal(hash_.encode(), _context(user_id)), "set_by": set_by, "set_at": now}


def _context(user_id: str) -> str:
    return sealed_at("pins", "hash_sealed", user_id)
