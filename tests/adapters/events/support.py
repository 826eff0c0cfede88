"""What the tests of feeds share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ussd_engine.ports import Event, FeedEvent, FeedStart

if TYPE_CHECKING:
    from adapters.events.memory import MemoryEvents
    from adapters.events.redis import RedisEvents
    from ussd_engine.ports import Events

STREAM = "{ussd:events}:feed"
Items = AsyncGenerator[FeedStart | FeedEvent, None]


def sample(event_id: str, **detail: str) -> Event:
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Event(event_id, "account_opened", at, "+254*******01", detail)


async def publish(events: Events, *event_ids: str) -> None:
    for event_id in event_ids:
        await events.publish(sample(event_id))


def following(events: Events, after: str | None = None) -> AbstractAsyncContextManager[Items]:
    return aclosing(events.follow(after))


async def start_of(items: Items) -> FeedStart:
    start = await anext(items)
    assert isinstance(start, FeedStart)
    return start


async def take(items: Items, count: int) -> list[FeedEvent]:
    """The next events of a listener that has its start already."""
    found = []
    for _ in range(count):
        item = await anext(items)
        assert isinstance(item, FeedEvent)
        found.append(item)
    return found


def ids(items: list[FeedEvent]) -> list[str]:
    return [item.event.event_id for item in items]


async def waiting(events: MemoryEvents | RedisEvents, items: Items) -> asyncio.Task[list[FeedEvent]]:
    """A listener that has read all that was kept, and now waits for what is new."""
    before = set(events._fanout._inboxes)
    task = asyncio.create_task(take(items, 1))
    while not any(inbox._queue._getters for inbox in events._fanout._inboxes - before):  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    return task


async def kept(events: Events, after: str = "0-0") -> list[FeedEvent]:
    """All that the feed holds after a position. It gets one event more, which says where the end is."""
    await publish(events, "the end")
    found: list[FeedEvent] = []
    async with following(events, after) as items:
        await start_of(items)
        while ids(found)[-1:] != ["the end"]:
            found += await take(items, 1)
    return found[:-1]
