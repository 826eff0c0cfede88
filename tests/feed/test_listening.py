"""Listeners of the live feed, over real HTTP."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
import structlog
from aiohttp import ClientSession, WSMsgType

from adapters.events.memory import MemoryEvents
from adapters.events.redis import RedisEvents
from tests.adapters.events.support import publish, sample
from tests.feed.conftest import Worker, ended, frame
from ussd_engine.ports import FeedEvent, FeedStart
from ussd_engine.web import feed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from tests.redis_fixtures import RedisServer

MANY = 600
FILLER = "x" * 50_000
"""Times MANY, more than the buffers of both ends of a connection hold."""


@pytest.fixture
async def workers(redis_url: str, client: ClientSession) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two workers on one Redis."""
    found = tuple(Worker(RedisEvents(redis_url, timeout_s=2, keep_events=10_000), client) for _ in range(2))
    for worker in found:
        await worker.start()
    yield found[0], found[1]
    for worker in found:
        await worker.stop()
        await worker.events.close()


async def test_a_frame_holds_an_event_and_nothing_personal(worker: Worker) -> None:
    """A listener first hears where it begins; a frame has the masked number, ids and codes, and no more."""
    async with worker.listen() as socket:
        assert await frame(socket) == {"id": "0-0", "kind": "start"}
        await worker.events.publish(sample("e1", channel="ussd"))
        assert await frame(socket) == {
            "id": "1-0",
            "event_id": "e1",
            "kind": "account_opened",
            "at": "2030-01-02T03:04:05Z",
            "phone": "+254*******01",
            "detail": {"channel": "ussd"},
        }


async def test_a_listener_resumes_after_an_id(worker: Worker) -> None:
    """`after` takes the id of any frame, and what came after that is sent, once."""
    await publish(worker.events, "e1", "e2", "e3")
    async with worker.listen("1-0") as socket:
        assert await frame(socket) == {"id": "1-0", "kind": "start"}
        assert [(await frame(socket))["event_id"] for _ in range(2)] == ["e2", "e3"]


async def test_a_gap_is_the_first_frame(worker: Worker) -> None:
    """A listener whose place is no longer kept is told so before anything else, and may resume from there."""
    await publish(worker.events, *(f"e{number}" for number in range(150)))
    async with worker.listen("20-0") as socket:
        gap = await frame(socket)
        assert (gap["kind"], gap["after"]) == ("gap", "20-0")
        oldest = await frame(socket)
        assert (oldest["id"], oldest["event_id"]) == ("51-0", "e50")
    async with worker.listen(gap["id"]) as socket:
        assert (await frame(socket))["kind"] == "start"
        assert await frame(socket) == oldest


async def test_what_is_wrong_is_a_problem_before_the_upgrade(worker: Worker) -> None:
    """A key that is none, a position that is none and a client that speaks no WebSocket get a problem."""
    assert await worker.refusal(Authorization="Bearer another") == (401, "unauthorized")
    assert await worker.refusal(after="now") == (400, "bad_position")
    assert await worker.refusal(after="") == (400, "bad_position")
    assert await worker.refusal(Upgrade="h2c") == (426, "upgrade_required")
    assert await worker.refusal(Authorization="", Upgrade="h2c") == (401, "unauthorized")


async def test_a_process_has_a_limit_of_listeners(worker: Worker) -> None:
    """One listener too many is refused until another has left; a refused one takes no place."""
    for _ in range(12):
        assert await worker.refusal(after="now") == (400, "bad_position")
    sockets = [await worker.client.ws_connect(worker.url + feed.PATH) for _ in range(10)]
    assert await worker.refusal() == (503, "too_many_listeners")
    await sockets.pop().close()
    while await worker.refusal(after="now") == (503, "too_many_listeners"):
        await asyncio.sleep(0.01)
    async with worker.listen() as socket:
        assert (await frame(socket))["kind"] == "start"
    for socket in sockets:
        await socket.close()


@pytest.mark.parametrize("kind", ["text", "bytes"])
async def test_a_client_that_talks_is_closed(worker: Worker, kind: str) -> None:
    """The feed takes no messages: whoever sends one has mistaken it for something else."""
    async with worker.listen() as socket:
        await (socket.send_str("hello") if kind == "text" else socket.send_bytes(b"hello"))
        assert await ended(socket) == 1003


async def test_a_ping_is_answered(worker: Worker) -> None:
    """Control frames are no messages."""
    async with worker.client.ws_connect(worker.url + feed.PATH, autoping=False) as socket:
        await frame(socket)
        await socket.ping(b"are you there")
        answer = await socket.receive()
        assert (answer.type, answer.data) == (WSMsgType.PONG, b"are you there")


async def test_the_service_pings(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in between sees that a quiet connection is in use."""
    monkeypatch.setattr(feed, "HEARTBEAT_S", 0.05)
    async with worker.client.ws_connect(worker.url + feed.PATH, autoping=False) as socket:
        await frame(socket)
        assert (await socket.receive()).type is WSMsgType.PING


async def test_a_key_that_was_revoked_hears_no_more(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed may be open for weeks: whoever may not listen any more is sent away, and those who may are not."""
    monkeypatch.setattr(feed, "ADMITTED_FOR_S", 0.05)
    async with worker.listen() as socket:
        await frame(socket)
        await asyncio.sleep(0.2)
        await worker.events.publish(sample("e1"))
        assert (await frame(socket))["event_id"] == "e1"
        worker.callers.scopes = frozenset()
        assert await ended(socket) == 4401
    worker.callers.key = "another"
    assert await worker.refusal() == (401, "unauthorized")


async def test_listeners_are_told_when_the_service_stops(worker: Worker) -> None:
    """On a stop every listener is sent away with 1001, and resumes at the next start where it was."""
    async with worker.listen() as first, worker.listen() as second:
        await frame(first)
        await frame(second)
        await publish(worker.events, "e1")
        last = (await frame(first))["id"]
        codes = asyncio.gather(ended(first), ended(second))
        await worker.stop()
        assert set(await codes) == {1001}
    await publish(worker.events, "e2")
    await worker.start()
    async with worker.listen(last) as socket:
        assert [(await frame(socket))["kind"], (await frame(socket))["event_id"]] == ["start", "e2"]


async def test_a_listener_that_does_not_read_holds_up_nobody(client: ClientSession) -> None:
    """A client that stops reading is closed with 4008, while another hears everything."""
    worker = Worker(MemoryEvents(inbox=10), client)
    await worker.start()
    async with worker.listen() as slow, worker.listen() as quick:
        await frame(slow)
        await frame(quick)
        for number in range(MANY):
            await worker.events.publish(sample(f"e{number}", filler=FILLER))
            assert (await frame(quick))["event_id"] == f"e{number}"
        assert await ended(slow) == 4008
        await quick.close()
    await worker.stop()


async def test_a_client_that_never_reads_is_cut_off(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its frames nor its close frame are kept for long, and its place is free again."""
    monkeypatch.setattr(feed, "SEND_WITHIN_S", 0.1)
    monkeypatch.setattr(feed, "CLOSE_WITHIN_S", 0.1)
    with structlog.testing.capture_logs() as logs:
        async with worker.listen() as silent:
            await frame(silent)
            for number in range(MANY):
                await worker.events.publish(sample(f"e{number}", filler=FILLER))
            async with asyncio.timeout(30):
                while not any(entry["event"] == "listener_left" for entry in logs):
                    await asyncio.sleep(0.01)
            assert await ended(silent) == 1006
    assert [entry["event"] for entry in logs] == [
        "listener_joined",
        "listener_does_not_read",
        "listener_left",
    ]
    assert logs[-1]["code"] == 4008


async def test_any_worker_serves_any_listener(workers: tuple[Worker, Worker]) -> None:
    """What one worker publishes, a listener of the other hears."""
    here, there = workers
    async with here.listen() as socket:
        await frame(socket)
        await publish(there.events, "e1")
        assert (await frame(socket))["event_id"] == "e1"


async def test_listeners_whose_connections_break_miss_nothing(workers: tuple[Worker, Worker]) -> None:
    """Under load, connections break in the middle and come again to either worker: all is heard, once."""
    chance = random.Random(5)
    names = [f"e{number}" for number in range(300)]
    listeners = [asyncio.create_task(_until(workers, "e299", chance)) for _ in range(3)]
    for name in names:
        await publish(chance.choice(workers).events, name)
    for heard in await asyncio.gather(*listeners):
        assert heard == names


async def _until(workers: tuple[Worker, Worker], last: str, chance: random.Random) -> list[str]:
    heard: list[str] = []
    after = "0-0"
    while heard[-1:] != [last]:
        async with chance.choice(workers).listen(after) as socket:
            assert (await frame(socket))["kind"] == "start"
            for _ in range(chance.randint(1, 25)):
                found = await frame(socket)
                heard.append(found["event_id"])
                after = found["id"]
                if heard[-1] == last:
                    break
            connection = socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.abort()
    return heard


async def test_a_feed_without_redis_says_so(client: ClientSession, own_redis: RedisServer) -> None:
    """When Redis goes, listeners are closed with 1013; until it is back, nobody can begin; then all is there."""
    events = RedisEvents(own_redis.url, timeout_s=0.4, keep_events=100)
    worker = Worker(events, client)
    await worker.start()
    async with worker.listen() as socket:
        start = (await frame(socket))["id"]
        await publish(events, "e1")
        assert (await frame(socket))["event_id"] == "e1"
        own_redis.kill()
        assert await ended(socket) == 1013
    assert await worker.refusal() == (503, "store_unavailable")
    own_redis.start()
    async with worker.listen(start) as socket:
        assert [(await frame(socket))["kind"], (await frame(socket))["event_id"]] == ["start", "e1"]
    await worker.stop()
    await events.close()


async def test_a_fault_is_a_close_code_and_no_words(client: ClientSession) -> None:
    """Whatever goes wrong after the upgrade, the listener is closed with 1011, and the log has no words of it."""
    worker = Worker(BrokenEvents(), client)
    await worker.start()
    with structlog.testing.capture_logs() as logs:
        async with worker.listen() as socket:
            await frame(socket)
            assert await ended(socket) == 1011
    await worker.stop()
    assert "listener_failed" in {entry["event"] for entry in logs}
    assert "2547" not in repr(logs)


class BrokenEvents(MemoryEvents):
    async def follow(self, after: str | None) -> AsyncGenerator[FeedStart | FeedEvent, None]:
        yield FeedStart("0-0", gap=False)
        raise KeyError("+254700000009")
