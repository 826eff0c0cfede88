"""The flows change while subscribers are under way: two workers over one database and one Redis."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING, cast

import pytest

from adapters.sessions.memory import MemorySessionStore
from adapters.sessions.redis import RedisSessionStore
from tests.adapters.sessions.support import HandClock
from tests.database_fixtures import KEYS
from tests.flow.vocabulary import ACTIONS
from tests.services.flows_parts import CountedReads, compiled, live_over, phone_at, publish, put
from tests.services.parts import WallClock, eventually
from ussd_engine.errors import FlowError, SessionCorrupt
from ussd_engine.flow.loader import Library, load
from ussd_engine.platform import revisions
from ussd_engine.platform.database import Database
from ussd_engine.platform.staff import Act
from ussd_engine.services.census import Census, census
from ussd_engine.services.live import Live, announce
from ussd_engine.services.maintenance import maintained
from ussd_engine.services.publishing import Checked, Folder
from ussd_engine.services.translations import Translations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from ussd_engine.ports import SessionStore
    from ussd_engine.runtime.screen import Screen


def flows(folder: Path, version: int, *, state: str = "second") -> Library:
    """Three screens that name their version; `state` is what the one in the middle is called."""
    folder = folder / f"v{version}-{state}"
    folder.mkdir()
    text = f"""
        flow: sample
        dial: ["*100#"]
        languages: [en, sw]
        start: first
        states:
          first:
            menu: {{en: "Version {version}", sw: "Toleo {version}"}}
            options:
              - {{text: {{en: On, sw: Mbele}}, goto: {state}}}
          {state}:
            menu: {{en: "Version {version} goes on", sw: "Toleo {version} mbele"}}
            options:
              - {{text: {{en: On, sw: Mbele}}, goto: last}}
          last:
            end: {{en: "Version {version} ends", sw: "Toleo {version} mwisho"}}
    """
    (folder / "sample.yaml").write_text(dedent(text))
    return load(folder, ACTIONS)


@dataclass
class Worker:
    """One process: its own store and its own programs."""

    store: RedisSessionStore
    live: Live
    send: Callable[..., Awaitable[Screen]]

    async def close(self) -> None:
        await self.live.close()
        await self.store.close()


@dataclass
class Fleet:
    """Workers that share all that lasts."""

    database: Database
    redis_url: str
    workers: list[Worker]

    async def start(self) -> Worker:
        store = RedisSessionStore(self.redis_url, timeout_s=2)
        live = await live_over(self.database, store)
        worker = Worker(store, live, phone_at(live, store))
        self.workers.append(worker)
        return worker

    async def publish(self, library: Library) -> str:
        """As the command does, from a process of its own."""
        revision = await publish(self.database, library)
        store = RedisSessionStore(self.redis_url, timeout_s=2)
        assert await announce(store)
        await store.close()
        return revision


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = Database(url)
    yield opened
    await opened.close()


@pytest.fixture
async def fleet(database: Database, redis_url: str) -> AsyncIterator[Fleet]:
    made = Fleet(database, redis_url, [])
    yield made
    for worker in made.workers:
        await worker.close()


async def test_new_sessions_begin_on_it_in_every_worker(fleet: Fleet, tmp_path: Path) -> None:
    """From the first dial after it was published, whichever worker answers; nobody is started again."""
    await publish(fleet.database, flows(tmp_path, 1))
    one, other = await fleet.start(), await fleet.start()
    for number, worker in enumerate((one, other)):
        assert "Version 1" in (await worker.send("", f"before-{number}")).text
    await fleet.publish(flows(tmp_path, 2))
    for number, worker in enumerate((one, other)):
        assert "Version 2" in (await worker.send("", f"after-{number}")).text


async def test_a_session_ends_on_the_revision_that_it_began_on(fleet: Fleet, tmp_path: Path) -> None:
    """Also after two more revisions, without its state, and in a worker that has never had the old one."""
    await publish(fleet.database, flows(tmp_path, 1))
    one = await fleet.start()
    assert "Version 1" in (await one.send("", "old")).text
    await fleet.publish(flows(tmp_path, 2, state="middle"))
    assert "Version 2" in (await one.send("", "newer")).text
    assert "Version 1 goes on" in (await one.send("1", "old")).text
    await fleet.publish(flows(tmp_path, 3, state="centre"))
    started_again = await fleet.start()
    assert "Version 2 goes on" in (await started_again.send("1", "newer")).text
    end = await started_again.send("1*1", "old")
    assert (end.text, end.end) == ("Version 1 ends", True)
    assert "Version 3" in (await started_again.send("", "newest")).text


async def test_back_to_an_earlier_revision(fleet: Fleet, tmp_path: Path) -> None:
    """New sessions begin on it; those that began on what was rolled back end on that."""
    await publish(fleet.database, flows(tmp_path, 1))
    worker = await fleet.start()
    await fleet.publish(flows(tmp_path, 2))
    assert "Version 2" in (await worker.send("", "between")).text
    act = Act("console:ann", "request-2", WallClock().now())
    await fleet.database.write(lambda c: revisions.roll_back(c, KEYS, None, act, asked_at=act.at))
    await announce(worker.store)
    assert "Version 1" in (await worker.send("", "after")).text
    assert "Version 2 goes on" in (await worker.send("1", "between")).text


async def test_what_nobody_was_told_of_is_found_by_itself(fleet: Fleet, tmp_path: Path) -> None:
    """When Redis was away as it was published, a worker looks into the database now and then."""
    await publish(fleet.database, flows(tmp_path, 1))
    worker = await fleet.start()
    await worker.send("")
    new = await publish(fleet.database, flows(tmp_path, 2))

    async def noticed() -> bool:
        return worker.live.program.revision == new

    async with maintained({"flows": worker.live.look}, 0.01):
        await eventually(noticed)


async def test_a_turn_asks_the_database_for_nothing_while_nothing_is_new(
    database: Database, tmp_path: Path
) -> None:
    """Neither one of the current revision nor one of an older revision that is loaded."""
    await publish(database, flows(tmp_path, 1))
    store, counted = MemorySessionStore(WallClock()), CountedReads(database)
    live = await live_over(cast("Database", counted), store)
    phone = phone_at(live, store)
    await phone("", "old")
    await publish(database, flows(tmp_path, 2))
    await announce(store)
    await phone("", "new")
    counted.reads = 0
    for session in ("old", "new"):
        await phone("1", session)
        await phone("1*1", session)
    assert counted.reads == 0


async def test_many_sessions_of_an_old_revision_load_it_once(database: Database, tmp_path: Path) -> None:
    """After a restart, all at the same moment."""
    await publish(database, flows(tmp_path, 1))
    store = MemorySessionStore(WallClock())
    before = phone_at(await live_over(database, store), store)
    sessions = [f"s-{number}" for number in range(50)]
    for session in sessions:
        await before("", session)
    await publish(database, flows(tmp_path, 2))
    counted = CountedReads(database)
    after = phone_at(await live_over(cast("Database", counted), store), store)
    counted.reads = 0
    screens = await asyncio.gather(*(after("1", session) for session in sessions))
    assert all("Version 1 goes on" in screen.text for screen in screens)
    assert counted.reads == 1


async def test_a_program_is_kept_while_a_session_may_be_on_it(database: Database, tmp_path: Path) -> None:
    """Nobody has begun on what was replaced before anybody dialled; the others go when no session is left of them."""
    ids = [await publish(database, flows(tmp_path, 0))]
    store, clock = MemorySessionStore(WallClock()), HandClock()
    live = await live_over(database, store, clock)
    phone = phone_at(live, store)

    async def kept() -> set[str]:
        """After the look that a worker takes every few seconds."""
        await live.look()
        return {revision for revision in ids if revision in live._editions}

    for version in (1, 2):
        ids.append(await publish(database, flows(tmp_path, version)))
        assert await kept() == {ids[version]}
    await phone("", "old")
    ids.append(await publish(database, flows(tmp_path, 3)))
    clock.advance(59.0)
    assert await kept() == {ids[2], ids[3]}
    assert "Version 2 goes on" in (await phone("1", "old")).text
    clock.advance(59.0)
    assert await kept() == {ids[2], ids[3]}
    clock.advance(2.0)
    assert await kept() == {ids[3]}
    assert (await phone("1*1", "old")).text == "Version 2 ends", (
        "who comes late all the same has it loaded again"
    )


async def test_a_database_that_is_away_leaves_everything_as_it_is(database: Database, tmp_path: Path) -> None:
    """Sessions begin and go on with what is loaded."""
    await publish(database, flows(tmp_path, 1))
    store = MemorySessionStore(WallClock())
    live = await live_over(database, store)
    phone = phone_at(live, store)
    await phone("", "old")
    await database.write(lambda c: c.exec_driver_sql("ALTER TABLE flow_publications RENAME TO away"))
    await announce(store)
    assert "Version 1" in (await phone("", "new")).text
    assert "Version 1 goes on" in (await phone("1", "old")).text


UNKNOWN_ACTION = """
{"schema": 1, "sms": {}, "flows": {"sample": {"flow": "sample", "dial": ["*100#"], "languages": ["en"],
 "start": "a", "states": {"a": {"action": "loan.ask", "outcomes": {"done": "b"}}, "b": {"end": "Done"}}}}}
"""


@pytest.mark.parametrize("content", ['{"schema": 99}', UNKNOWN_ACTION])
async def test_a_revision_that_cannot_be_read_here_does_not_become_current(
    database: Database, tmp_path: Path, content: str
) -> None:
    """A newer engine may have published what an older one does not understand: that one goes on with what it has.

    It tries again now and then, and not at every turn; texts of staff are seen all the same.
    """
    await publish(database, flows(tmp_path, 1))
    store, counted = MemorySessionStore(WallClock()), CountedReads(database)
    live = await live_over(cast("Database", counted), store)
    phone = phone_at(live, store)
    revision = revisions.Revision("later", content, 1, 1)
    act = Act("console:ann", "request-2", WallClock().now())
    await database.write(lambda c: revisions.publish(c, KEYS, revision, "published", act))
    await put(database, "sample.first.menu", "en", "Other words")
    await announce(store)
    assert "Other words" in (await phone("")).text
    counted.reads = 0
    assert "Version 1 goes on" in (await phone("1")).text
    assert counted.reads == 0
    with pytest.raises(FlowError, match=r"revision later of the flows cannot be served.*ussd publish"):
        await live_over(database)


async def test_nothing_is_published_yet(database: Database) -> None:
    """Then there is nothing to serve, and it is said."""
    with pytest.raises(FlowError, match="no flows are published"):
        await live_over(database)


async def test_a_revision_that_never_was(database: Database, tmp_path: Path) -> None:
    """A session of it is not continued on other flows."""
    await publish(database, flows(tmp_path, 1))
    live = await live_over(database)
    with pytest.raises(SessionCorrupt, match="never published"):
        await live.of("0123456789abcdef")


async def test_a_folder_is_told_by_the_revision_that_it_holds(database: Database, tmp_path: Path) -> None:
    """Also where a worker has not noticed yet that it is current."""
    served = await publish(database, flows(tmp_path, 1))
    live, library = await live_over(database), flows(tmp_path, 2)
    checked = Checked(library, compiled(library))
    folder = Folder(lambda: checked, database, KEYS, WallClock(), live)
    held = await publish(database, library)
    assert live.program.revision == served
    assert await folder.publish("published") == (held, False)
    act = Act("console:ann", "request-2", WallClock().now())
    await database.write(lambda c: revisions.roll_back(c, KEYS, None, act, asked_at=act.at))
    assert await folder.publish("published") == (held, True)
    assert live.program.revision == held


# --- texts of staff over revisions


async def test_a_text_of_staff_lies_over_every_revision_that_can_show_it(
    database: Database, tmp_path: Path
) -> None:
    """A session on an old revision sees it at its next screen too; where there is no such text, nothing happens."""
    await publish(database, flows(tmp_path, 1))
    store = MemorySessionStore(WallClock())
    live = await live_over(database, store)
    phone = phone_at(live, store)
    for session in ("a", "b"):
        await phone("", session)
    await publish(database, flows(tmp_path, 2, state="middle"))
    await live.announce()
    await phone("", "c")
    await put(database, "sample.second.menu", "en", "Words for the old")
    await put(database, "sample.last.end", "en", "Words for both")
    await live.announce()
    assert "Words for the old" in (await phone("1", "a")).text
    assert "Version 2 goes on" in (await phone("1", "c")).text
    assert [(await phone("1*1", session)).text for session in ("a", "c")] == ["Words for both"] * 2
    await put(database, "sample.second.menu", "en", None)
    await live.announce()
    assert "Version 1 goes on" in (await phone("1", "b")).text


async def test_other_channels_fetch_the_texts_of_the_current_revision(
    database: Database, tmp_path: Path
) -> None:
    """The version tells that they have changed."""
    await publish(database, flows(tmp_path, 1))
    texts = Translations(await live_over(database))
    before = await texts.fetch("en", None, None, None)
    await publish(database, flows(tmp_path, 2, state="middle"))
    after = await texts.fetch("en", None, None, before.version)
    assert after.translations
    assert after.translations["sample.middle.menu"] == "Version 2 goes on"
    assert "sample.second.menu" not in after.translations


# --- who is under way


@pytest.mark.parametrize("where", ["memory", "redis"])
async def test_a_census_of_live_sessions(
    database: Database, tmp_path: Path, where: str, redis_url: str
) -> None:
    """Of all revisions, with those in a state that a new one does not have; who has ended is not counted."""
    store: SessionStore = MemorySessionStore(WallClock())
    if where == "redis":
        store = RedisSessionStore(redis_url, timeout_s=2)
    await publish(database, flows(tmp_path, 1))
    live = await live_over(database, store)
    phone = phone_at(live, store)
    for number in range(5):
        await phone("", f"first-{number}")
    for number in range(3):
        await phone("1", f"second-{number}")
    await phone("1*1", "ended")
    await publish(database, flows(tmp_path, 2))
    await live.announce()
    await phone("", "newer")
    found = await census(store, flows(tmp_path, 3, state="middle"))
    assert found == Census(live=9, nowhere=3, places=found.places)
    assert found.places == {"sample.second": 3}
    assert (await census(store, live.current.library)).nowhere == 0
    await store.close()
