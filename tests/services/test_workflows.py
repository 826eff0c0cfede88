"""Durable workflows: joined, announced, interrupted and resumed."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.database_fixtures import KEYS
from tests.services.parts import PERSIST
from ussd_engine.errors import BankUnavailable, DatabaseUnavailable
from ussd_engine.sealing import KeyRing, SealBroken
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.workflows import SealedJson, Workflows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.database_fixtures import Urls
    from ussd_engine.services.workflows import Body, Json


@asynccontextmanager
async def launched(urls: Urls, **bodies: Body) -> AsyncIterator[Workflows]:
    workflows = make(urls)
    await workflows.launch(bodies)
    try:
        yield workflows
    finally:
        await workflows.close()


def make(urls: Urls) -> Workflows:
    return Workflows(urls.workflows, KEYS, executor_id="test", application_version="1", persist=PERSIST)


async def test_what_was_interrupted_begins_again_from_the_top(urls: Urls) -> None:
    """A closed process stops in the middle of a pause; the next one runs the body anew, with the stored input."""
    ran: list[str] = []
    workflows = make(urls)
    asleep = asyncio.Event()

    async def work(payload: Json) -> Json:
        ran.append("begun")
        if len(ran) == 1:
            asleep.set()
            await workflows.pause(60)
        return {"sum": payload["n"] + 1}

    await workflows.launch({"work": work})
    assert await workflows.run("work", "w-1", {"n": 1}, wait_s=0.1) is None
    await asleep.wait()
    await workflows.close()
    assert ran == ["begun"]

    workflows = make(urls)
    await workflows.launch({"work": work})
    assert await workflows.run("work", "w-1", {"n": 1}, wait_s=10) == {"sum": 2}
    assert ran == ["begun", "begun"]
    await workflows.close()


async def test_a_workflow_that_nobody_waits_for_is_begun_once(urls: Urls) -> None:
    """Begun again and again under one id, a workflow runs once; by its id one sees that it is under way."""
    runs: list[int] = []
    gate = asyncio.Event()

    async def body(payload: Json) -> Json:
        runs.append(1)
        await gate.wait()
        return {}

    async with launched(urls, work=body) as workflows:
        for _ in range(3):
            await workflows.start("work", "w-1", {})
        assert await workflows.under_way() == {"w-1"}
        gate.set()
        assert await workflows.result("w-1", wait_s=5) == {}
        assert await workflows.under_way() == set()
    assert runs == [1]


async def test_many_callers_of_one_id_share_one_run(urls: Urls) -> None:
    """Callers at the same moment start the body once; each hears the announcement, and later the result."""
    runs: list[int] = []
    gate = asyncio.Event()

    async def body(payload: Json) -> Json:
        runs.append(1)
        workflows.announce({"kind": "pending"})
        await gate.wait()
        return {"kind": "done"}

    async with launched(urls, work=body) as workflows:
        early = await asyncio.gather(*(workflows.run("work", "w-1", {}, wait_s=5) for _ in range(50)))
        assert early == [{"kind": "pending"}] * 50
        gate.set()
        assert await workflows.result("w-1", wait_s=5) in ({"kind": "pending"}, {"kind": "done"})

        async def finished() -> Any:
            return await workflows.run("work", "w-1", {}, wait_s=5)

        async with asyncio.timeout(5):
            while await finished() != {"kind": "done"}:
                await asyncio.sleep(0.01)
        assert runs == [1]


async def test_a_caller_that_goes_away_leaves_the_workflow_running(urls: Urls) -> None:
    """A cancelled request never cancels what it began."""
    done = asyncio.Event()
    gate = asyncio.Event()

    async def body(payload: Json) -> Json:
        await gate.wait()
        done.set()
        return {}

    async with launched(urls, work=body) as workflows:
        caller = asyncio.create_task(workflows.run("work", "w-1", {}, wait_s=5))
        await asyncio.sleep(0)
        caller.cancel()
        gate.set()
        async with asyncio.timeout(5):
            await done.wait()


async def test_nobody_polls_when_nobody_waits(urls: Urls) -> None:
    """A result that another process has yet to give is only looked up while somebody waits for it."""

    async def body(payload: Json) -> Json:
        return {}

    async with launched(urls, work=body) as workflows:
        assert await workflows.result("elsewhere", wait_s=0.05) is None
        assert workflows._runs == {}


async def test_a_body_that_breaks_says_where_and_nothing_personal(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that breaks is logged by type and place; its words, which may be personal, go nowhere."""
    monkeypatch.setattr("ussd_engine.services.workflows.STRANDED_AFTER_S", 1)
    broken: list[int] = []

    async def body(payload: Json) -> Json:
        broken.append(1)
        if len(broken) == 1:
            raise ValueError("Jane Sample 1990-01-15")
        return {"survived": True}

    async with launched(urls, work=body) as workflows:
        with capture_logs() as logs:
            assert await workflows.run("work", "w-1", {"name": "Jane Sample"}, wait_s=0.5) is None
            assert await workflows.run("work", "w-1", {}, wait_s=15) == {"survived": True}
    assert "test_workflows.py:" in str(next(entry["at"] for entry in logs if "at" in entry))
    assert "Jane" not in str(logs)
    if urls.workflows.startswith("sqlite"):
        assert b"Jane" not in Path(urls.workflows.removeprefix("sqlite:///")).read_bytes()


async def test_our_own_database_is_never_given_up(urls: Urls) -> None:
    """What is done already is recorded however long our database is away; another fault is not waited out."""
    tries = 0

    async def away() -> int:
        nonlocal tries
        tries += 1
        if tries < 12:
            raise DatabaseUnavailable("the disk is full")
        return tries

    async def broken() -> int:
        raise KeyError("no waiting helps")

    async def body(payload: Json) -> Json:
        with pytest.raises(KeyError):
            await workflows.insist(broken)
        return {"tries": await workflows.insist(away)}

    async with launched(urls, work=body) as workflows:
        assert await workflows.run("work", "w-1", {}, wait_s=15) == {"tries": 12}


async def test_a_workflow_whose_database_failed_is_taken_up_again(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption is no end: the workflow stands still, its caller hears nothing yet, and it is resumed."""
    monkeypatch.setattr("ussd_engine.services.workflows.STRANDED_AFTER_S", 1)
    interrupted = 0

    async def body(payload: Json) -> Json:
        nonlocal interrupted
        if not interrupted:
            interrupted += 1
            raise OSError("the workflow database is away")
        return {"done": True}

    async with launched(urls, work=body) as workflows:
        assert await workflows.run("work", "w-1", {}, wait_s=0.5) is None
        assert await workflows.run("work", "w-1", {}, wait_s=15) == {"done": True}
    assert interrupted == 1


async def test_the_machinery_is_quiet(urls: Urls, capfd: pytest.CaptureFixture[str]) -> None:
    """Start and end print nothing, and warnings of the library come as events without exception texts."""

    async def body(payload: Json) -> Json:
        return {}

    async with launched(urls, work=body):
        with capture_logs() as logs:
            logging.getLogger("dbos").warning("it broke", exc_info=ValueError("Jane Sample"))
    assert logs == [
        {"event": "dbos_message", "log_level": "warning", "message": "it broke", "error": "ValueError"}
    ]
    assert capfd.readouterr() == ("", "")


async def test_threads_still_work_after_close(urls: Urls) -> None:
    """The event loop's own thread pool is usable again when the workflows are gone."""

    async def body(payload: Json) -> Json:
        await workflows.pause(0.001)
        return {}

    async with launched(urls, work=body) as workflows:
        await workflows.run("work", "w-1", {}, wait_s=5)
    assert await asyncio.to_thread(lambda: 7) == 7


def test_stored_data_is_sealed_and_plain() -> None:
    """What is stored opens only under the key ring; an exception keeps its words only if it is ours."""
    serializer = SealedJson(KEYS)
    sealed = serializer.serialize({"args": [{"born": "1990-01-15"}], "kwargs": {}})
    assert "1990" not in sealed
    assert serializer.deserialize(sealed) == {"args": [{"born": "1990-01-15"}], "kwargs": {}}
    other = SealedJson(KeyRing.of(b"i" * 32, {"k1": b"x" * 32}))
    with pytest.raises(SealBroken):
        other.deserialize(sealed)
    foreign = serializer.deserialize(serializer.serialize(ValueError("Jane Sample")))
    ours = serializer.deserialize(serializer.serialize(BankUnavailable("down")))
    assert (str(foreign), str(ours)) == ("ValueError", "down")


def test_delays_grow_and_end() -> None:
    """Delays grow by the factor up to the longest, and together never pass the limit."""
    assert list(Backoff(1, 2, 5, 20).delays()) == [1, 2, 4, 5, 5]
    assert list(Backoff(1, 2, 5, 0.5).delays()) == []


def test_time_that_is_spent_is_not_waited_again() -> None:
    """Who takes the work up later goes on where the delays stand by then, and gives up at the same time."""
    assert list(Backoff(1, 2, 5, 20).delays(spent_s=2.5)) == [4, 5, 5]
    assert list(Backoff(1, 2, 5, 20).delays(spent_s=25)) == []
