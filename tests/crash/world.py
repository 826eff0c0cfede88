"""One process's services in one folder, over real parts, each of them with its boundaries."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from dbos import DBOS
from sqlalchemy import text

from adapters.cbs.sandbox import SandboxBank
from adapters.events.redis import RedisEvents
from adapters.sessions.redis import RedisSessionStore
from adapters.sms.console import ConsoleSms
from tests.crash.boundaries import Boundaries, Watched
from tests.database_fixtures import KEYS, Urls, sqlite_in, urls_on
from tests.services.callback_parts import Published
from tests.services.parts import Built, MoodySms, build, launch, prepare
from ussd_engine.flow.loader import load
from ussd_engine.flow.pager import Profile
from ussd_engine.platform.gate import Limit
from ussd_engine.platform.migrate import migrate
from ussd_engine.ports import PendingApproval
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.actions import Actions
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.callbacks import Callbacks, Network
from ussd_engine.services.idempotency import IdempotencyKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ussd_engine.ports import NotFound, OpenOutcome

PROGRAM = compile_library(load(Path(__file__).parents[2] / "flows", SPECS), SPECS, "KE")
BANK_TIMEOUT_S = 2.0
"""Long enough for a busy machine: what the bank answers late is another outcome than the scenario's."""
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
class Site:
    """What all cases share: a folder, a Redis, and the address of a PostgreSQL server; else each has SQLite files."""

    folder: Path
    redis: str
    postgres: str | None = None

    @property
    def furnished(self) -> Place:
        return Place(self, "furnished")

    def administer(self, *commands: str) -> None:
        if self.postgres is not None:
            with psycopg.connect(self.postgres, autocommit=True) as connection:
                for command in commands:
                    connection.execute(command.encode())


@dataclass(frozen=True, slots=True)
class Place:
    """Where the processes of one case leave what outlives them: under a name that is theirs alone."""

    site: Site
    name: str

    @property
    def folder(self) -> Path:
        return self.site.folder / self.name

    @property
    def prefix(self) -> str:
        """Of its keys in Redis, and of its databases on the server: other sites may use both."""
        return f"{self.site.folder.name}-{self.name}"

    @property
    def urls(self) -> Urls:
        if self.site.postgres is None:
            return sqlite_in(self.folder)
        return urls_on(self.site.postgres, *self._databases())

    def make(self) -> None:
        self.folder.mkdir()
        self.site.administer(*(f"CREATE DATABASE {name}" for name in self._databases()))

    def take_furnished(self) -> None:
        """Begin with everything as it is in the furnished place."""
        shutil.copytree(self.site.furnished.folder, self.folder)
        copies = zip(self._databases(), self.site.furnished._databases(), strict=True)
        self.site.administer(*(f"CREATE DATABASE {new} TEMPLATE {old}" for new, old in copies))

    def clear(self) -> None:
        shutil.rmtree(self.folder)
        self.site.administer(*(f"DROP DATABASE {name} WITH (FORCE)" for name in self._databases()))

    def _databases(self) -> tuple[str, str]:
        name = self.prefix.replace("-", "_")
        return f"{name}_platform", f"{name}_workflows"


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
        give_up_at = time.monotonic() + QUIET_WITHIN_S
        # in this order: whoever has made the last record may still stand before its second boundary
        while await unfinished_workflows() or self.boundaries.between():
            if time.monotonic() > give_up_at:
                raise TimeoutError(
                    f"passed {self.boundaries.points}; unfinished {await unfinished_workflows()}"
                )
            await asyncio.sleep(0.02)

    async def look_after(self) -> None:
        """Everything that a process does now and then, some time later."""
        self.clock.put_forward(LATER)
        await self.approvals.expire()
        await self.approvals.tell_left()
        await self.recovery.take_up_abandoned()
        await self.recovery.take_up_messages()
        await self.quiet()

    async def rows(self, sql: str) -> list[Any]:
        return await self.database.read(lambda connection: list(connection.execute(text(sql)).all()))


async def unfinished_workflows() -> list[str]:
    found = await DBOS.list_workflows_async(status=["PENDING", "ENQUEUED"], load_input=False)
    return [f"{workflow.workflow_id} {workflow.name} {workflow.status}" for workflow in found]


@asynccontextmanager
async def running(place: Place, boundaries: Boundaries) -> AsyncIterator[World]:
    """The services of a process that is not stopped in the end: it dies, or it ends after the block."""
    clock = Clock()
    bank = StaffedBank(place.folder / "bank.db", clock, timeout_s=BANK_TIMEOUT_S, approval_s=ENDLESS_S)
    console = ConsoleSms(place.folder / "sms.db", clock, None)
    sms = MoodySms(console)
    events = RedisEvents(place.site.redis, timeout_s=10.0, keep_events=1000, prefix=f"{place.prefix}:events")
    store: Any = RedisSessionStore(place.site.redis, timeout_s=10.0, prefix=f"{place.prefix}:session:")
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
        urls=place.urls,
    )
    actions = Actions(
        built.subscriptions, built.accounts, built.profiles, built.pins, built.first_pins, built.workflows
    )
    callbacks = Callbacks(
        programs=Published([PROGRAM]),
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
    """Make everything that a case begins with."""
    await migrate(place.urls.platform, KEYS)
    async with running(place, Boundaries()) as world:
        await prepare(world.database)
        await world.bank.opened_count()
        await world.console.sent()
