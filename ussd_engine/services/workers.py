"""Workers that look after one another: what a dead one left unfinished is taken over by those that live.

Every worker leaves a sign of life in the database. A worker that leaves none for a while is dead for the others, by
their own clocks, however far the clocks of the machines lie apart. Work that belongs to nobody in the table is taken
over as well: of a worker that has stopped, or of one that was renamed or removed.

Nobody can tell a dead worker from a slow one that comes back. So it may happen that two run the same workflow, and
that does no harm. Both go by the row of the operation: who comes second finds it begun, asks the bank by our
external id, and sends an opening again only under the same idempotency key. The transaction that finishes the row
does so once, and a message has one id whoever sends it. Only the run that holds the workflow records its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from ussd_engine.errors import DatabaseUnavailable
from ussd_engine.logs import describe
from ussd_engine.platform import workers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.database import Database
    from ussd_engine.ports import Clock
    from ussd_engine.services.workflows import Workflows

log = structlog.get_logger(__name__)

BEAT_S = 5.0
"""How often a worker leaves its sign, and looks at those of the others."""
DEAD_AFTER_S = 20.0
"""Longer than a database takes to fail over to its standby, or a garbage collection takes."""


@dataclass(frozen=True, slots=True)
class Sign:
    """The last sign of a worker, and since when, by our own clock, there is no newer one."""

    sign: datetime
    since: float


class Workers:
    """`beat` before any workflow is begun, then `beat` and `look_after` every BEAT_S, and `leave` at the end."""

    def __init__(self, database: Database, clock: Clock, workflows: Workflows, executor_id: str) -> None:
        self._database = database
        self._clock = clock
        self._workflows = workflows
        self._executor_id = executor_id
        self._last: datetime | None = None
        self._own: set[datetime] = set()  # what may stand in the table as our sign
        self._signs: dict[str, Sign] = {}
        self._looked_at = clock.monotonic()

    async def beat(self) -> None:
        """Leave a sign of life, and notice when somebody else has touched our own."""
        last, self._last = self._last, None  # not known, should the database not answer
        sign = self._clock.now()
        self._own.add(sign)
        found = await self._database.write(lambda c: workers.beat(c, self._executor_id, sign))
        self._last, self._own = sign, {sign}
        if last is None or found == last:
            return
        if found is None:
            log.warning("worker_was_taken_for_dead", executor_id=self._executor_id)
        else:
            log.error(
                "executor_id_used_twice",
                executor_id=self._executor_id,
                remedy="give each machine its own workflows.executor_id",
            )

    async def look_after(self) -> None:
        """Take over the work of the dead, and work that is nobody's."""
        # In this order: a worker is in the table before it begins anything.
        holders = await self._workflows.holders() - {self._executor_id}
        signs = await self._database.read(workers.signs_of_life)
        signs.pop(self._executor_id, None)
        dead = self._silent(signs)
        gone = sorted(dead.keys() | (holders - signs.keys()))
        if not gone:
            return
        log.warning("workers_gone", executor_ids=gone)
        await self._workflows.take_over(gone)
        await self._database.write(lambda c: _forget(c, dead))

    async def leave(self) -> None:
        """Say that this worker ends; what it could not finish is anybody's from now on."""
        try:
            for sign in self._own:  # two of them, when a beat was cut off
                await self._database.write(lambda c, sign=sign: workers.forget(c, self._executor_id, sign))  # type: ignore[misc]
        except DatabaseUnavailable as error:  # then the others will notice by themselves
            log.warning("worker_left_unnoticed", **describe(error))

    def _silent(self, signs: Mapping[str, datetime]) -> dict[str, datetime]:
        """The last signs of those that are dead."""
        now = self._clock.monotonic()
        if now - self._looked_at > 2 * BEAT_S:
            # We were away ourselves, or the database was: then nobody could leave a sign.
            self._signs = {}
        self._looked_at = now
        self._signs = {id_: self._sign(id_, sign, now) for id_, sign in signs.items()}
        return {id_: seen.sign for id_, seen in self._signs.items() if now - seen.since > DEAD_AFTER_S}

    def _sign(self, executor_id: str, sign: datetime, now: float) -> Sign:
        known = self._signs.get(executor_id)
        return known if known and known.sign == sign else Sign(sign, now)


def _forget(connection: Connection, dead: Mapping[str, datetime]) -> None:
    for executor_id, sign in dead.items():
        workers.forget(connection, executor_id, sign)
