"""The processes that run workflows, each with its last sign of life.

A sign of life is the time of its giver's own clock, and nobody reads it as a time: the clocks of several machines
differ. It is another one at every beat, and that is all that counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import workers

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


def beat(connection: Connection, executor_id: str, sign: datetime) -> datetime | None:
    """Leave a sign of life, and tell which one stood there before."""
    if insert_if_absent(connection, workers, executor_id=executor_id, seen_at=sign):
        return None
    own = workers.c.executor_id == executor_id
    before = connection.execute(select(workers.c.seen_at).where(own).with_for_update()).scalar_one_or_none()
    connection.execute(update(workers).where(own).values(seen_at=sign))
    return before


def signs_of_life(connection: Connection) -> dict[str, datetime]:
    """The last sign of every worker, by executor id."""
    rows = connection.execute(select(workers.c.executor_id, workers.c.seen_at))
    return {row.executor_id: row.seen_at for row in rows}


def forget(connection: Connection, executor_id: str, sign: datetime) -> None:
    """Remove a worker, unless it has given another sign since."""
    last = (workers.c.executor_id == executor_id) & (workers.c.seen_at == sign)
    connection.execute(delete(workers).where(last))
