"""The revisions of the flows that sessions run on, in the words that hold now.

New sessions begin on the current revision, and each goes on with the one that it began on, which is loaded from the
database when a process does not have it. Every worker notices another current revision, or other words, at its next
turn, by a mark that the session store gives out with each session; a mark that was lost is made up for by a look into
the database every few seconds. While there is nothing new, none of it costs a turn anything.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from ussd_engine.errors import FlowError, SessionCorrupt, StoreUnavailable
from ussd_engine.flow import stored
from ussd_engine.flow.pager import DEFAULT_NETWORKS, Profile
from ussd_engine.logs import describe
from ussd_engine.platform import overrides, revisions
from ussd_engine.services import editions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from ussd_engine.flow.catalogue import Overrides
    from ussd_engine.flow.loader import Library
    from ussd_engine.platform.database import Database
    from ussd_engine.platform.revisions import Publication
    from ussd_engine.ports import Clock, SessionStore
    from ussd_engine.runtime.program import Program
    from ussd_engine.services.editions import Edition

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
"""How long what nobody could be told of stays unseen. A look is two SELECTs on small tables."""
LOOK_S = 1.0
"""How long a turn waits for something new; what takes longer comes to the turns after it."""


class Live:
    """Call `open` first. `compile_` makes the program of a library; texts of staff are checked for `networks`.

    What is not current is kept while a session may be on it: for `kept_s` after the last one that asked for it.
    """

    def __init__(
        self,
        database: Database,
        store: SessionStore,
        compile_: Callable[[Library], Program],
        clock: Clock,
        kept_s: float,
        networks: Mapping[str, Profile] = DEFAULT_NETWORKS,
    ) -> None:
        self._database = database
        self._store = store
        self._compile = compile_
        self._clock = clock
        self._kept_s = kept_s
        self._networks = networks
        self._overrides: Overrides = {}
        self._editions: dict[str, Edition] = {}
        self._asked: dict[str, float] = {}
        self._current: Edition | None = None
        self._publication: Publication | None = None
        self._mark: bytes | None = None
        self._looking: asyncio.Task[bool] | None = None
        self._making: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Load what is current. Raises FlowError when nothing is, or when it cannot be read."""
        await self._look()

    async def close(self) -> None:
        """Give up what is being looked up."""
        tasks = [*self._making.values(), *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def current(self) -> Edition:
        assert self._current is not None  # noqa: S101 - it was opened
        return self._current

    @property
    def publication(self) -> Publication:
        """How the current revision became that."""
        assert self._publication is not None  # noqa: S101 - it was opened
        return self._publication

    @property
    def program(self) -> Program:
        return self.current.program

    async def fresh(self) -> Program:
        """The program for a new session. Asked after a session was loaded: with all that was announced before."""
        mark = self._store.mark
        if mark != self._mark:
            await self._catch_up(mark)
        self._asked[self.current.revision] = self._clock.monotonic()
        return self.program

    async def of(self, revision: str) -> Program:
        """The program of a session that began on this revision. Raises SessionCorrupt for one that never was."""
        self._asked[revision] = self._clock.monotonic()
        known = self._editions.get(revision)
        if known is None:
            return (await self._edition(revision)).program
        if known.overrides is not self._overrides:
            known = await self._in_new_words(known)
        return known.program

    async def look(self) -> None:
        """See whether there is another revision, or are other texts, than those that are used here."""
        if self._looking is not None:  # it may have begun before what the caller knows of
            await asyncio.shield(self._looking)
        await self._looked()

    async def announce(self) -> None:
        """Use what is new here, and tell the other workers. They look by themselves when nobody can tell them."""
        await self.look()
        await announce(self._store)

    # --- looks, one at a time

    async def _catch_up(self, mark: bytes | None) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                for _ in range(2):  # a look that is under way may have begun before the mark was set
                    if mark == self._mark or not await self._looked():
                        return
        except TimeoutError:
            log.warning("look_takes_long")

    async def _looked(self) -> bool:
        """Join the look that is under way, or begin one. False: it failed, and all stays as it was."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_safely())
            self._looking.add_done_callback(self._look_done)
        return await asyncio.shield(self._looking)

    def _look_done(self, _: asyncio.Task[bool]) -> None:
        self._looking = None

    async def _look_safely(self) -> bool:
        try:
            await self._look()
        except Exception as error:  # noqa: BLE001 - a subscriber gets old words rather than none
            log.warning("flows_not_looked_up", **describe(error))
            return False
        return True

    async def _look(self) -> None:
        mark = self._store.mark
        found, last = await self._database.read(_now)
        if last is None:
            raise FlowError("no flows are published yet")
        if found != self._overrides:
            log.info("texts_changed", overrides=len(found))
            self._overrides = found
        try:
            edition = await self._edition(last.revision)
        except FlowError as error:  # a newer engine may have published it
            if self._current is None:
                raise FlowError(
                    f"revision {last.revision} of the flows cannot be served: {error};"
                    " run `ussd publish`, or the version of the engine that published it"
                ) from error
            log.error("revision_unreadable", revision=last.revision, **describe(error))  # noqa: TRY400 - it says all
            edition, last = await self._edition(self._current.revision), self.publication
        if self._current is None or edition.revision != self._current.revision:
            log.info("revision_current", revision=edition.revision, how=last.how)
        self._current, self._publication, self._mark = edition, last, mark
        self._forget()

    def _forget(self) -> None:
        """A large program takes tens of megabytes. If a session comes back after all, it is loaded again."""
        since = self._clock.monotonic() - self._kept_s
        self._asked = {revision: at for revision, at in self._asked.items() if at >= since}
        for revision in self._editions.keys() - self._asked.keys() - {self.current.revision}:
            del self._editions[revision]

    async def _in_new_words(self, known: Edition) -> Edition:
        try:
            async with asyncio.timeout(LOOK_S):
                return await self._edition(known.revision)
        except TimeoutError:
            return known

    # --- editions, each made once however many ask for it

    async def _edition(self, revision: str) -> Edition:
        while True:
            known = self._editions.get(revision)
            if known is not None and known.overrides is self._overrides:
                return known
            making = self._making.get(revision)
            if making is None:
                making = self._making[revision] = asyncio.create_task(self._make(revision, known))
                making.add_done_callback(partial(self._made, revision))
            await asyncio.shield(making)  # who gives up here leaves it to the others

    def _made(self, revision: str, making: asyncio.Task[None]) -> None:
        del self._making[revision]
        if not making.cancelled():
            making.exception()  # it was seen, even if nobody waits any more

    async def _make(self, revision: str, known: Edition | None) -> None:
        """In a thread, so that turns on other revisions go on meanwhile."""
        found = self._overrides
        library = known.library if known else await self._stored(revision)
        try:
            edition = await asyncio.to_thread(editions.make, revision, library, found, self._compile)
        except LookupError as error:
            raise FlowError(f"revision {revision} names what this version of the engine lacks") from error
        self._editions[revision] = edition

    async def _stored(self, revision: str) -> Library:
        content = await self._database.read(lambda c: revisions.content_of(c, revision))
        if content is None:
            raise SessionCorrupt(f"revision {revision} of the flows was never published")
        library = await asyncio.to_thread(stored.loads, content)
        return replace(library, networks=self._networks)


async def announce(store: SessionStore) -> bool:
    """Tell all workers that there is something new. False when they have to find it by themselves."""
    try:
        await store.set_mark(uuid4().bytes)
    except StoreUnavailable:
        log.warning("news_not_announced")
        return False
    return True


def _now(connection: Connection) -> tuple[Overrides, Publication | None]:
    return overrides.all_of(connection), revisions.current(connection)
