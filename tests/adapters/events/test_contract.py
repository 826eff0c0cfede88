"""The rules of the port Events, held against every feed."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from tests.adapters.events.support import following, ids, kept, publish, sample, start_of, take, waiting
from ussd_engine.errors import BadPosition, ListenerTooSlow, StoreUnavailable

if TYPE_CHECKING:
    from tests.adapters.events.conftest import Make
    from ussd_engine.ports import Events, FeedEvent


async def test_an_event_is_read_as_it_was_published(make: Make) -> None:
    """Everything of an event is in the feed, in the order of publishing."""
    feed = make()
    events = [sample("e1", customer_id="c-1", note='quotes " and ümlaut'), sample("e2")]
    for event in events:
        await feed.publish(event)
    assert [item.event for item in await kept(feed)] == events


async def test_an_event_is_published_once(make: Make) -> None:
    """The same event id is in the feed once, whoever publishes it again, however late in between."""
    feed = make()
    await publish(feed, "e1", "e2", "e1")
    assert ids(await kept(feed)) == ["e1", "e2"]


async def test_of_many_publishers_of_one_event_one_is_first(make: Make) -> None:
    """Twenty workers that resume the same workflow at once publish its event once."""
    feed = make()
    await asyncio.gather(*(publish(feed, "e1") for _ in range(20)))
    assert ids(await kept(feed)) == ["e1"]


async def test_a_listener_hears_what_happens_from_now_on(make: Make) -> None:
    """Without a position a listener gets nothing old, and everything new, in order."""
    feed = make()
    await publish(feed, "old")
    async with following(feed) as items:
        assert not (await start_of(items)).gap
        await publish(feed, "e1", "e2")
        assert ids(await take(items, 2)) == ["e1", "e2"]
        await publish(feed, "e3")
        assert ids(await take(items, 1)) == ["e3"]


async def test_a_listener_resumes_after_its_last_event(make: Make) -> None:
    """Every position that a listener was given leads to all that came after it, and to nothing else."""
    feed = make()
    await publish(feed, *"abcde")
    everything = await kept(feed)
    for number, item in enumerate(everything, start=1):
        async with following(feed, item.position) as items:
            start = await start_of(items)
            assert (start.position, start.gap) == (item.position, False)
            assert await take(items, len(everything) - number) == everything[number:]


async def test_a_listener_that_has_heard_nothing_resumes_at_its_start(make: Make) -> None:
    """Cut off before its first event, also from a feed that was empty, a listener misses nothing."""
    feed = make()
    async with following(feed) as items:
        empty = await start_of(items)
    await publish(feed, "e1")
    async with following(feed) as items:
        later = await start_of(items)
    await publish(feed, "e2")
    for start, expected in ((empty, ["e1", "e2"]), (later, ["e2"])):
        async with following(feed, start.position) as items:
            assert not (await start_of(items)).gap
            assert ids(await take(items, len(expected))) == expected


async def test_more_than_a_page_is_read_back(make: Make) -> None:
    """A listener that was away for long gets all of it in one go, and then what is new."""
    feed = make()
    names = [f"e{number}" for number in range(1200)]
    await publish(feed, *names)
    async with following(feed, "0-0") as items:
        assert not (await start_of(items)).gap
        assert ids(await take(items, 1200)) == names
        await publish(feed, "new")
        assert ids(await take(items, 1)) == ["new"]


async def test_listeners_that_are_cut_off_all_the_time_hear_everything_once(make: Make) -> None:
    """While four publishers publish, listeners are cut off after a few events and resume: no gap, no double."""
    feed = make()
    chance = random.Random(3)

    async def publisher(name: str) -> None:
        for number in range(100):
            await publish(feed, f"{name}{number}")

    listeners = [asyncio.create_task(_cut_off_often(feed, 400, chance)) for _ in range(5)]
    await asyncio.gather(*(publisher(name) for name in "abcd"))
    everything = await kept(feed)
    assert len(everything) == 400
    for heard in await asyncio.gather(*listeners):
        assert heard == everything


async def _cut_off_often(feed: Events, count: int, chance: random.Random) -> list[FeedEvent]:
    heard: list[FeedEvent] = []
    after = "0-0"
    while len(heard) < count:
        async with following(feed, after) as items:
            assert not (await start_of(items)).gap
            heard += await take(items, min(chance.randint(1, 20), count - len(heard)))
        after = heard[-1].position
        await asyncio.sleep(chance.random() / 100)
    return heard


async def test_what_the_feed_no_longer_has_is_said(make: Make) -> None:
    """A listener from before the oldest event is told of a gap, once; one from after it is not."""
    feed = make(keep_events=100)
    await publish(feed, "first")
    first = (await kept(feed))[0]
    await publish(feed, *(f"e{number}" for number in range(1000)))
    for gone in (first.position, "0-0"):
        async with following(feed, gone) as items:
            start = await start_of(items)
            assert start.gap
            [oldest] = await take(items, 1)
        async with following(feed, start.position) as items:
            assert not (await start_of(items)).gap
            assert await take(items, 1) == [oldest]
        async with following(feed, oldest.position) as items:
            assert not (await start_of(items)).gap
            number = int(oldest.event.event_id[1:])
            assert ids(await take(items, 999 - number)) == [f"e{n}" for n in range(number + 1, 1000)]


async def test_a_position_beyond_the_end_is_a_gap(make: Make) -> None:
    """A feed that lost its data, and with it what a listener had read, says so and goes on from where it is."""
    feed = make()
    await publish(feed, "e1")
    for beyond in ("99999999999999-0", "18446744073709551615-18446744073709551615"):
        async with following(feed, beyond) as items:
            assert (await start_of(items)).gap
            await publish(feed, f"after {beyond}")
            assert ids(await take(items, 1)) == [f"after {beyond}"]


async def test_a_listener_that_does_not_read_is_ended_alone(make: Make) -> None:
    """When too much waits for one listener, it is ended and may resume; the others hear everything."""
    feed = make(inbox=10)
    async with following(feed) as slow, following(feed) as quick:
        await start_of(slow)
        await start_of(quick)
        slow_task, quick_task = await waiting(feed, slow), await waiting(feed, quick)
        await publish(feed, "e0")
        [last] = await slow_task
        heard = ids(await quick_task)
        for number in range(1, 31):
            await publish(feed, f"e{number}")
            heard += ids(await take(quick, 1))
        assert heard == [f"e{number}" for number in range(31)]
        with pytest.raises(ListenerTooSlow):
            await take(slow, 31)
    assert ids(await kept(feed, last.position)) == heard[1:]


async def test_a_listener_that_left_is_forgotten(make: Make) -> None:
    """Nothing is kept for a listener that is no more, whether it waited or read."""
    feed = make()
    async with following(feed) as reads, following(feed) as waits:
        for items in (reads, waits):
            await start_of(items)
        reading, still_waiting = await waiting(feed, reads), await waiting(feed, waits)
        await publish(feed, "e1")
        for task in (reading, still_waiting):
            await task
        still_waiting = asyncio.create_task(take(waits, 1))
        await asyncio.sleep(0)
        still_waiting.cancel()
        await asyncio.wait({still_waiting})
    assert feed._fanout.idle


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "a-b",
        "1-2-3",
        "-1-0",
        "1-0 ",
        "1-0\n",
        "18446744073709551616-0",
        "0x1-0",
        "\u0661-\u0660",
        "$",
    ],
)
async def test_what_is_no_position_is_refused(make: Make, text: str) -> None:
    """A position is two numbers of 64 bits with a dash between; nothing else reaches the feed."""
    async with following(make(), text) as items:
        with pytest.raises(BadPosition):
            await anext(items)


async def test_a_feed_that_closes_ends_its_listeners(make: Make) -> None:
    """Who waits when the feed is closed is told so, and so is who comes later."""
    feed = make()
    async with following(feed) as items:
        await start_of(items)
        task = await waiting(feed, items)
        await feed.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await task
    async with following(feed) as late:
        with pytest.raises(StoreUnavailable, match="closed"):
            await anext(late)


async def test_closing_twice_is_harmless(make: Make) -> None:
    """A feed may be closed again."""
    feed = make()
    await feed.close()
    await feed.close()
