"""Workers that look after one another: who counts as dead, and what becomes of the work."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.database_fixtures import KEYS
from tests.services.parts import PERSIST
from ussd_engine.errors import DatabaseUnavailable
from ussd_engine.platform import workers as table
from ussd_engine.platform.database import Database
from ussd_engine.services.workers import BEAT_S, DEAD_AFTER_S, Workers
from ussd_engine.services.workflows import Workflows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.database_fixtures import Urls
    from ussd_engine.services.workflows import Json

START = datetime(2030, 1, 2, tzinfo=UTC)


@dataclass
class HandClock:
    """Stands until a test moves it."""

    passed_s: float = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s


@dataclass
class Machine:
    """A worker that is alone in this process, with its clock. Its workflows end while `gate` is set."""

    workers: Workers
    workflows: Workflows
    database: Database
    clock: HandClock
    gate: asyncio.Event

    async def looks_on_for(self, seconds: float, *, beside: str | None = None) -> None:
        """Look at the others as often as a worker does; `beside` is one of them that leaves signs meanwhile."""
        until = self.clock.passed_s + seconds
        while True:
            await self.workers.look_after()
            if self.clock.passed_s >= until:
                return
            self.clock.passed_s += BEAT_S
            if beside:
                await self.sign_of(beside)

    async def sign_of(self, executor_id: str) -> None:
        await self.database.write(lambda c: table.beat(c, executor_id, self.clock.now()))

    async def known(self) -> set[str]:
        return set(await self.database.read(table.signs_of_life))


@pytest.fixture
async def database(urls: Urls) -> AsyncIterator[Database]:
    opened = Database(urls.platform)
    yield opened
    await opened.close()


def make_workflows(urls: Urls, executor_id: str, version: str) -> Workflows:
    return Workflows(
        urls.workflows,
        KEYS,
        executor_id=executor_id,
        application_version=version,
        persist=PERSIST,
    )


@asynccontextmanager
async def machine(
    urls: Urls, database: Database, executor_id: str, version: str = "1"
) -> AsyncIterator[Machine]:
    async def work(payload: Json) -> Json:
        await gate.wait()
        return {"done_by": executor_id}

    gate = asyncio.Event()
    gate.set()
    workflows, clock = make_workflows(urls, executor_id, version), HandClock()
    workers = Workers(database, clock, workflows, executor_id)
    await workers.beat()
    await workflows.launch({"work": work})
    try:
        yield Machine(workers, workflows, database, clock, gate)
    finally:
        gate.set()
        await workflows.close()


async def leave_work(urls: Urls, executor_id: str) -> None:
    """A workflow `w-1` that this executor has begun and will never end."""
    begun = asyncio.Event()

    async def work(payload: Json) -> Json:
        begun.set()
        await workflows.pause(3600)
        return {}

    workflows = make_workflows(urls, executor_id, "1")
    await workflows.launch({"work": work})
    await workflows.start("work", "w-1", {})
    await begun.wait()
    await workflows.close()


async def test_the_work_of_a_dead_worker_is_finished_by_another(urls: Urls, database: Database) -> None:
    """A worker that gives no sign of life for long enough is dead: its work is ended, and it is forgotten."""
    await leave_work(urls, "a")
    async with machine(urls, database, "b") as b:
        await b.sign_of("a")
        await b.looks_on_for(DEAD_AFTER_S)
        assert await b.workflows.result("w-1", wait_s=0) is None
        assert await b.known() == {"a", "b"}
        with capture_logs() as logs:
            await b.looks_on_for(BEAT_S)
        assert await b.workflows.result("w-1", wait_s=15) == {"done_by": "b"}
        assert await b.known() == {"b"}
    assert [entry["executor_ids"] for entry in logs if entry["event"] == "workers_gone"] == [["a"]]


async def test_a_living_worker_keeps_its_work(urls: Urls, database: Database) -> None:
    """A long pause of a workflow is no death of its worker."""
    await leave_work(urls, "a")
    async with machine(urls, database, "b") as b:
        await b.sign_of("a")
        await b.looks_on_for(3 * DEAD_AFTER_S, beside="a")
        assert await b.workflows.holders() == {"a"}
        assert await b.known() == {"a", "b"}


async def test_work_that_is_nobodys_is_finished_at_once(urls: Urls, database: Database) -> None:
    """A worker that has stopped, or whose id is no longer in use, left its work to anybody."""
    await leave_work(urls, "a")
    async with machine(urls, database, "b") as b:
        await b.workers.look_after()
        assert await b.workflows.result("w-1", wait_s=15) == {"done_by": "b"}
        await b.workers.look_after()
        assert await b.workflows.holders() == set()


async def test_the_work_of_another_version_is_left_alone(urls: Urls, database: Database) -> None:
    """What was begun under another version waits for a worker of that version, and nobody speaks of it."""
    await leave_work(urls, "a")
    async with machine(urls, database, "b", version="2") as b:
        with capture_logs() as logs:
            await b.looks_on_for(2 * DEAD_AFTER_S)
        assert await b.workflows.result("w-1", wait_s=0.1) is None
        assert "w-1" in await b.workflows.under_way()
    assert [entry for entry in logs if entry["event"] == "workers_gone"] == []


async def test_who_was_away_declares_nobody_dead(urls: Urls, database: Database) -> None:
    """After a pause of our own, or of the database, everybody has the whole time to give a sign again."""
    async with machine(urls, database, "b") as b:
        await b.sign_of("a")
        await b.looks_on_for(BEAT_S)
        b.clock.passed_s += 10 * DEAD_AFTER_S
        await b.looks_on_for(DEAD_AFTER_S)
        assert await b.known() == {"a", "b"}
        await b.looks_on_for(BEAT_S)
        assert await b.known() == {"b"}


async def test_a_worker_never_takes_itself_for_dead(urls: Urls, database: Database) -> None:
    """Its beat and its look at the others are apart: one may be late, and another may have forgotten it."""
    async with machine(urls, database, "b") as b:
        await b.looks_on_for(3 * DEAD_AFTER_S)
        assert await b.known() == {"b"}
        await database.write(lambda c: table.forget(c, "b", START))
        b.gate.clear()
        await b.workflows.start("work", "w-1", {})
        with capture_logs() as logs:
            await b.looks_on_for(3 * DEAD_AFTER_S)
        assert await b.workflows.holders() == {"b"}
        assert logs == []


async def test_a_worker_that_comes_back_is_known_again(urls: Urls, database: Database) -> None:
    """Taken for dead while it was only slow, it says so in its log and is a worker as before."""
    async with machine(urls, database, "b") as b:
        await database.write(lambda c: table.forget(c, "b", b.clock.now()))
        b.clock.passed_s += BEAT_S
        with capture_logs() as logs:
            await b.workers.beat()
        assert [entry["event"] for entry in logs] == ["worker_was_taken_for_dead"]
        assert await b.known() == {"b"}


async def test_a_sign_that_came_in_between_saves_a_worker(database: Database) -> None:
    """Who was found dead and has given a sign since is not forgotten."""
    await database.write(lambda c: table.beat(c, "a", START))
    await database.write(lambda c: table.beat(c, "a", START + timedelta(seconds=1)))
    await database.write(lambda c: table.forget(c, "a", START))
    assert await database.read(table.signs_of_life) == {"a": START + timedelta(seconds=1)}


async def test_two_machines_with_one_executor_id_are_noticed(urls: Urls, database: Database) -> None:
    """Each finds the other's sign under its own name, and says what to do; one alone never does."""
    async with machine(urls, database, "b") as b:
        other = Workers(database, HandClock(1.0), b.workflows, "b")
        with capture_logs() as logs:
            b.clock.passed_s += BEAT_S
            await b.workers.beat()
            assert logs == []
            await other.beat()
            b.clock.passed_s += BEAT_S
            await b.workers.beat()
        (entry,) = logs
        assert (entry["event"], entry["log_level"]) == ("executor_id_used_twice", "error")
        assert "workflows.executor_id" in entry["remedy"]


async def test_a_worker_that_stops_in_the_midst_of_a_sign_is_gone_at_once(
    urls: Urls, database: Database
) -> None:
    """Whether the sign came into the table or not."""

    class CutOff(Database):
        async def write(self, work: Any) -> Any:
            await super().write(work)
            raise asyncio.CancelledError

    async with machine(urls, database, "b") as b:
        b.clock.passed_s += BEAT_S
        b.workers._database = cut_off = CutOff(urls.platform)
        with pytest.raises(asyncio.CancelledError):
            await b.workers.beat()
        b.workers._database = database
        await b.workers.leave()
        assert await b.known() == set()
    await cut_off.close()


async def test_a_worker_that_stops_is_gone_at_once(urls: Urls, database: Database) -> None:
    """Nobody has to wait to see that it is not there; if the database is away, they see it in time."""
    async with machine(urls, database, "b") as b:
        await b.workers.leave()
        assert await b.known() == set()

    class Away(Database):
        async def write(self, work: object) -> None:  # type: ignore[override]
            raise DatabaseUnavailable("away for this test")

    away = Away(urls.platform)
    b.workers._database = away
    with capture_logs() as logs:
        await b.workers.leave()
    assert [entry["event"] for entry in logs] == ["worker_left_unnoticed"]
    await away.close()
