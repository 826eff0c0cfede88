"""One process's services in one folder, over real parts, each of them with its boundaries."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbos import DBOS
from sqlalchemy import text

from adapters.cbs.sandbox import SandboxBank
from adapters.events.redis import RedisEvents
from adapters.sessions.redis import RedisSessionStore
from adapters.sms.console import ConsoleSms
from tests.crash.boundaries import Boundaries, Watched
from tests.services.callback_parts import SettledTexts
from tests.services.parts import KEYS, Built, MoodySms, build, database_url, launch, prepare
from ussd_engine.flow.loader import load
from ussd_engine.platform.gate import Limit
from ussd_engine.platform.migrate import migrate
from ussd_engine.ports import PendingApproval
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.render import Profile
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.actions import Actions
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.callbacks import Callbacks, Network
from ussd_engine.services.idempotency import IdempotencyKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ussd_engine.ports import NotFound, OpenOutcome

PROGRAM = compile_library(load(Path(__file__).parents[2] / "flows", SPECS), SPECS, "KE")
BANK_TIMEOUT_S = 0.1
ENDLESS_S = 3600.0
"""Nothing in a scenario may end because a crash took time: retries, the gate's memory, the bank's own staff."""
RECONCILE = Backoff(first_delay_s=0.05, factor=1.5, max_delay_s=0.2, give_up_after_s=ENDLESS_S)
RETRY = Backoff(first_delay_s=0.02, factor=2, max_delay_s=0.1, give_up_after_s=ENDLESS_S)
LATER = timedelta(minutes=3)
"""By then whatever was left behind is taken for abandoned."""
QUIET_WITHIN_S = 30.0


class Clock:
    """The machine's own clock, which can be put forward."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def monotonic(self) -> float:
        return time.monotonic()

    def put_forward(self, by: timedelta) -> None:
        self._ahead += by


class StaffedBank(SandboxBank):
    """The sandbox bank, whose staff approve an application as soon as somebody has asked for it."""

    async def find_opening(self, external_id: str) -> OpenOutcome | NotFound:
        outcome = await super().find_opening(external_id)
        if isinstance(outcome, PendingApproval):
            await self.approve(outcome.reference)
        return outcome


@dataclass(frozen=True, slots=True)
class Place:
    """Where the processes of one case leave what outlives them. `prefix` is theirs alone in the Redis at `redis`."""

    folder: Path
    redis: str
    prefix: str


@dataclass
class World(Built):
    place: Place
    boundaries: Boundaries
    clock: Clock
    bank: StaffedBank
    console: ConsoleSms
    sms: MoodySms
    idempotency: IdempotencyKeys
    callbacks: Callbacks

    async def quiet(self) -> None:
        """Return when no workflow runs or waits to be taken up, and nobody stands between two boundaries."""
        async with asyncio.timeout(QUIET_WITHIN_S):
            while self.boundaries.between() or await unfinished_workflows():
                await asyncio.sleep(0.02)

    async def look_after(self) -> None:
        """Everything that a process does now and then, some time later."""
        self.clock.put_forward(LATER)
        await self.approvals.expire()
        await self.approvals.tell_left()
        await self.recovery.take_up_abandoned()
        await self.quiet()

    async def rows(self, sql: str) -> list[Any]:
        return await self.database.read(lambda connection: list(connection.execute(text(sql)).all()))


async def unfinished_workflows() -> bool:
    return bool(await DBOS.list_workflows_async(status=["PENDING", "ENQUEUED"], load_input=False))


@asynccontextmanager
async def running(place: Place, boundaries: Boundaries) -> AsyncIterator[World]:
    """The services of a process that is not stopped in the end: it dies, or it ends after the block."""
    clock = Clock()
    bank = StaffedBank(place.folder / "bank.db", clock, timeout_s=BANK_TIMEOUT_S, approval_s=ENDLESS_S)
    console = ConsoleSms(place.folder / "sms.db", clock, None)
    sms = MoodySms(console)
    events = RedisEvents(place.redis, timeout_s=10.0, keep_events=1000, prefix=f"{place.prefix}:events")
    store: Any = RedisSessionStore(place.redis, timeout_s=10.0, prefix=f"{place.prefix}:session:")
    watched: Any = {
        name: Watched(boundaries, name, port)
        for name, port in {"bank": bank, "sms": sms, "events": events, "sessions": store}.items()
    }
    built = build(
        place.folder,
        clock,
        watched["bank"],
        watched["sms"],
        watched["events"],
        reconcile=RECONCILE,
        limit=Limit(attempts=3, lockout_s=ENDLESS_S),
        retry=RETRY,
    )
    actions = Actions(built.subscriptions, built.accounts, built.profiles, built.workflows)
    callbacks = Callbacks(
        texts=SettledTexts(PROGRAM),
        store=watched["sessions"],
        actions=actions,
        keys=KEYS,
        clock=clock,
        networks={"default": Network(Profile(), ttl_ms=600_000, answer_deadline_s=QUIET_WITHIN_S)},
    )
    idempotency = IdempotencyKeys(built.database, KEYS, clock)
    await launch(built)
    yield World(
        **vars(built),
        place=place,
        boundaries=boundaries,
        clock=clock,
        bank=bank,
        console=console,
        sms=sms,
        idempotency=idempotency,
        callbacks=callbacks,
    )


async def furnish(place: Place) -> None:
    """Make every file that a case begins with."""
    await migrate(database_url(place.folder), KEYS)
    async with running(place, Boundaries()) as world:
        await prepare(world.database)
        await world.bank.opened_count()
        await world.console.sent()
