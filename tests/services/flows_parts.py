"""Flows as a process shows them, over a database in which they are published."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from adapters.sessions.memory import MemorySessionStore
from tests.database_fixtures import KEYS
from tests.services.parts import WallClock
from ussd_engine.flow.pager import Profile
from ussd_engine.platform import overrides, revisions
from ussd_engine.platform.staff import Act
from ussd_engine.ports import Callback
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.callbacks import Callbacks, Network
from ussd_engine.services.live import Live
from ussd_engine.services.publishing import Checked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import Connection

    from ussd_engine.flow.loader import Library
    from ussd_engine.platform.database import Database
    from ussd_engine.platform.revisions import How
    from ussd_engine.ports import Clock, SessionStore
    from ussd_engine.runtime.program import Program
    from ussd_engine.runtime.screen import Screen
    from ussd_engine.services.actions import Actions


def compiled(library: Library) -> Program:
    return compile_library(library, SPECS, "KE")


async def publish(database: Database, library: Library, how: How = "published") -> str:
    """As `ussd publish` does; no worker is told."""
    revision = Checked(library, compiled(library)).revision
    act = Act("console:ann", "request-1", WallClock().now())
    await database.write(lambda c: revisions.publish(c, KEYS, revision, how, act))
    return revision.id


async def put(database: Database, key: str, language: str, text: str | None) -> None:
    """As an approval does; no worker is told."""
    await database.write(lambda c: overrides.save(c, key, language, text, WallClock().now()))


class CountedReads:
    """A database, and how often it was read."""

    def __init__(self, real: Database) -> None:
        self.real = real
        self.reads = 0

    async def read(self, work: Callable[[Connection], object]) -> object:
        self.reads += 1
        return await self.real.read(work)


async def live_over(
    database: Database, store: SessionStore | None = None, clock: Clock | None = None
) -> Live:
    """What a worker shows of what is published; of an older revision, until a minute after it was asked for."""
    clock = clock or WallClock()
    live = Live(database, store or MemorySessionStore(clock), compiled, clock, kept_s=60.0)
    await live.open()
    return live


def phone_at(live: Live, store: SessionStore) -> Callable[..., Awaitable[Screen]]:
    """A subscriber whose callbacks come to one worker; the flows run no action."""
    answering = Callbacks(
        programs=live,
        store=store,
        actions=cast("Actions", None),
        keys=KEYS,
        clock=WallClock(),
        networks={"default": Network(Profile(), 60_000, 20.0)},
    )

    async def send(transcript: str, session: str = "s-1") -> Screen:
        return await answering.handle(Callback("at", session, "+254711000001", "*100#", "63902", transcript))

    return send
