"""The feed on Redis: several workers, one reader each, and a Redis that goes away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from adapters.events.redis import SEEN_FOR_S, RedisEvents, _fields
from tests.adapters.events.support import (
    STREAM,
    following,
    ids,
    kept,
    publish,
    sample,
    start_of,
    take,
    waiting,
)
from tests.adapters.sessions.support import Fault, Road
from ussd_engine.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.adapters.events.conftest import MakeRedis
    from tests.redis_fixtures import RedisServer
    from ussd_engine.ports import FeedEvent


@pytest.fixture
async def road(redis_server: RedisServer, redis_url: str) -> AsyncIterator[Road]:
    road = Road(redis_server.socket)
    yield road
    await road.close()


async def test_the_stream_keeps_a_bounded_number(make_redis: MakeRedis, redis_server: RedisServer) -> None:
    """Old events leave the stream when it is full, and each marker of a published event ends in time."""
    events = make_redis(keep_events=100)
    await asyncio.gather(*(publish(events, f"e{number}") for number in range(1000)))
    with redis_server.admin() as client:
        assert 100 <= client.xlen(STREAM) < 400
        assert 0 < client.ttl("{ussd:events}:seen:e1") <= SEEN_FOR_S


async def test_a_larger_feed_does_not_get_back_what_it_lost(make_redis: MakeRedis) -> None:
    """Whoever asks for all there ever was hears of the gap, also when `keep_events` was raised since."""
    small = make_redis(keep_events=100)
    for number in range(400):
        await publish(small, f"e{number}")
    for events in (small, make_redis(keep_events=10_000)):
        async with following(events, "0-0") as items:
            assert (await start_of(items)).gap


async def test_two_prefixes_are_two_feeds(redis_url: str, redis_server: RedisServer) -> None:
    """Installations that share a Redis do not see each other's events."""
    first, second = (
        RedisEvents(redis_url, timeout_s=5, keep_events=100, prefix=prefix) for prefix in ("one", "two")
    )
    await publish(first, "e1")
    await publish(second, "e1")
    with redis_server.admin() as client:
        assert client.xlen("{one}:feed") == client.xlen("{two}:feed") == 1
    await first.close()
    await second.close()


async def test_an_event_that_was_not_appended_can_be_published_again(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    """When Redis refuses to append, the event does not count as published."""
    events = make_redis()
    with redis_server.admin() as client:
        client.set(STREAM, "in the way")
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            await publish(events, "e1")
        client.delete(STREAM)
        await publish(events, "e1")
        assert client.xlen(STREAM) == 1


async def test_a_feed_that_is_away_is_unavailable(make_redis: MakeRedis, tmp_path: Path) -> None:
    """Without Redis, publishing fails so that the workflow tries again, and nobody can begin to listen."""
    events = make_redis(f"unix://{tmp_path}/none.sock", timeout_s=0.1)
    with pytest.raises(StoreUnavailable):
        await publish(events, "e1")
    async with following(events) as items:
        with pytest.raises(StoreUnavailable):
            await anext(items)


async def test_any_worker_serves_any_listener(make_redis: MakeRedis) -> None:
    """Listeners of two workers hear what both publish, in the same order and at the same positions."""
    first, second = make_redis(), make_redis()
    async with following(first) as here, following(second) as there:
        await start_of(here)
        await start_of(there)
        waits = [await waiting(first, here), await waiting(second, there)]
        await asyncio.gather(publish(first, *"abc"), publish(second, *"xyz"))
        heard = [await wait for wait in waits]
        heard[0] += await take(here, 5)
        heard[1] += await take(there, 5)
    assert heard[0] == heard[1]
    assert sorted(ids(heard[0])) == [*"abcxyz"]


async def test_a_position_of_one_worker_holds_at_another(make_redis: MakeRedis) -> None:
    """A load balancer may send a listener that comes again anywhere."""
    first, second = make_redis(), make_redis()
    await publish(first, "e1", "e2")
    [at, _] = await kept(first)
    assert ids(await kept(second, at.position)) == ["e2"]


async def test_one_reader_serves_all_listeners_of_a_worker(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    """Thirty listeners are one client that waits at Redis, and none when the last of them has left."""
    events = make_redis(timeout_s=2)
    listeners = [events.follow(None) for _ in range(30)]
    tasks = []
    for items in listeners:
        await start_of(items)
        tasks.append(await waiting(events, items))
    with redis_server.admin() as client:
        while (blocked := client.info("clients")["blocked_clients"]) == 0:
            await asyncio.sleep(0.01)
        assert blocked == 1
        assert len(client.client_list()) == 3  # it, the one that publishes, and this one
    await publish(events, "e1")
    assert [ids(await task) for task in tasks] == [["e1"]] * 30
    for items in listeners:
        await items.aclose()
    while events._reader is not None:
        await asyncio.sleep(0.01)


async def test_listeners_go_on_when_the_connection_drops(make_redis: MakeRedis, road: Road) -> None:
    """A connection that ends between a worker and Redis costs no listener an event."""
    events = make_redis(f"redis://127.0.0.1:{await road.open()}/0", timeout_s=2)
    async with following(events) as items:
        await start_of(items)
        task = await waiting(events, items)
        heard: list[FeedEvent] = []
        for number, kind in enumerate(("drop", "swallow", "drop", "swallow")):
            road.faults.append(Fault(b"XREAD\r\n$5\r\nCOUNT\r\n$1\r\n1\r\n$5\r\nBLOCK", kind))  # type: ignore[arg-type]
            await publish(events, f"e{number}")
            heard += await task
            task = asyncio.create_task(take(items, 1))
        task.cancel()
        await asyncio.wait({task})
    assert [fault.times for fault in road.faults] == [0, 0, 0, 0]
    assert ids(heard) == ["e0", "e1", "e2", "e3"]


async def test_no_event_is_missed_while_redis_restarts(make_redis: MakeRedis, own_redis: RedisServer) -> None:
    """Redis is killed twice under load: listeners go on or are ended, and resumed they have heard all, once."""
    publishing, listening = make_redis(own_redis.url, 1), make_redis(own_redis.url, 0.4)
    listeners = [asyncio.create_task(_listen_until(listening, "last")) for _ in range(3)]
    work = asyncio.create_task(_insist(publishing, [f"e{number}" for number in range(300)]))
    for _ in range(2):
        await asyncio.sleep(0.2)
        own_redis.kill()
        await asyncio.sleep(0.6)
        own_redis.start()
    await work
    await _insist(publishing, ["last"])
    everything = await kept(publishing)
    assert ids(everything) == [*(f"e{number}" for number in range(300)), "last"]
    for heard in await asyncio.gather(*listeners):
        assert heard == everything


async def _insist(events: RedisEvents, names: list[str]) -> None:
    """As a workflow does: try again until the event is in the feed."""
    for name in names:
        while True:
            try:
                await publish(events, name)
            except StoreUnavailable:
                await asyncio.sleep(0.05)
            else:
                break
        await asyncio.sleep(0.005)


async def _listen_until(events: RedisEvents, last: str) -> list[FeedEvent]:
    """As an operator's client does: come again after the last position."""
    heard: list[FeedEvent] = []
    after = "0-0"
    while ids(heard)[-1:] != [last]:
        try:
            async with following(events, after) as items:
                assert not (await start_of(items)).gap
                while ids(heard)[-1:] != [last]:
                    heard += await take(items, 1)
                    after = heard[-1].position
        except StoreUnavailable:
            await asyncio.sleep(0.05)
    return heard


async def test_listeners_are_ended_when_the_feed_loses_its_data(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    """When Redis comes back empty, who waits is ended, and hears of the gap when it comes again."""
    events = make_redis(timeout_s=0.4)
    await publish(events, "e1")
    async with following(events) as items:
        start = await start_of(items)
        task = await waiting(events, items)
        with redis_server.admin() as client:
            client.flushall()
        with pytest.raises(StoreUnavailable, match="no longer has"):
            await task
    async with following(events, start.position) as items:
        assert (await start_of(items)).gap
    await publish(events, "e2")
    async with following(events, start.position) as items:
        assert (await start_of(items)).gap
        assert ids(await take(items, 1)) == ["e2"]


async def test_a_reader_that_fell_behind_the_feed_ends_its_listeners(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    """What was trimmed before a worker had read it is a reason to end its listeners, not to go on."""
    events = make_redis()
    await publish(events, "e0")
    async with following(events) as items:
        await start_of(items)
        task = await waiting(events, items)
        with redis_server.admin() as client, client.pipeline(transaction=True) as burst:
            for number in range(3):
                words = iter(_fields(sample(f"burst {number}")))
                burst.xadd(STREAM, dict(zip(words, words, strict=True)))
            burst.xtrim(STREAM, maxlen=1, approximate=False)
            burst.execute()
        with pytest.raises(StoreUnavailable, match="no longer has"):
            await task


async def test_an_entry_that_cannot_be_read_ends_the_listeners(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    """A fault of the reader leaves nobody waiting for news that will never come."""
    events = make_redis()
    async with following(events) as items:
        await start_of(items)
        task = await waiting(events, items)
        with redis_server.admin() as client:
            client.xadd(STREAM, {"event_id": "foreign"})
        with pytest.raises(StoreUnavailable, match="cannot be read"):
            await task


async def test_a_closed_worker_leaves_nothing_behind(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    """When a worker closes its feed, its reader and both of its connections end."""
    events = make_redis()
    async with following(events) as items:
        await start_of(items)
        task = await waiting(events, items)
        reader = events._reader
        await events.close()
        assert reader is not None
        assert reader.done()
        await asyncio.wait({task})
    with redis_server.admin() as client:
        while len(client.client_list()) > 1:
            await asyncio.sleep(0.01)
