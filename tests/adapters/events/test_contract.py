"""The rules of the port Events, held against every feed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from adapters.events import redis as redis_events
from adapters.events.memory import MemoryEvents
from adapters.events.redis import RedisEvents
from ussd_engine.errors import StoreUnavailable
from ussd_engine.ports import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.redis_fixtures import RedisServer
    from ussd_engine.ports import Events

STREAM = "{ussd:events}:feed"


@dataclass
class Subject:
    """A feed, and how to read what is in it, oldest first."""

    events: Events
    published: Callable[[], list[Event]]


@pytest.fixture(params=["memory", "redis"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        memory = MemoryEvents()
        yield Subject(memory, lambda: memory.published)
        return
    url = request.getfixturevalue("redis_url")
    server: RedisServer = request.getfixturevalue("redis_server")
    events = RedisEvents(url, timeout_s=5)
    yield Subject(events, lambda: _read(server))
    await events.close()


def _read(server: RedisServer) -> list[Event]:
    with server.admin() as client:
        rows = client.xrange(STREAM)
    return [_event({name.decode(): value.decode() for name, value in fields.items()}) for _, fields in rows]


def _event(fields: dict[str, str]) -> Event:
    return Event(
        fields["event_id"],
        fields["kind"],
        datetime.fromisoformat(fields["at"]),
        fields["phone_masked"],
        json.loads(fields["detail"]),
    )


def _sample(event_id: str, **detail: str) -> Event:
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Event(event_id, "account_opened", at, "+254*******01", detail)


async def test_an_event_is_read_as_it_was_published(subject: Subject) -> None:
    """Everything of an event is in the feed, in the order of publishing."""
    events = [_sample("e1", customer_id="c-1", note='quotes " and ümlaut'), _sample("e2")]
    for event in events:
        await subject.events.publish(event)
    assert subject.published() == events


async def test_an_event_is_published_once(subject: Subject) -> None:
    """The same event id is in the feed once, whoever publishes it again, however late in between."""
    for event_id in ("e1", "e2", "e1"):
        await subject.events.publish(_sample(event_id))
    assert [event.event_id for event in subject.published()] == ["e1", "e2"]


async def test_of_many_publishers_of_one_event_one_is_first(subject: Subject) -> None:
    """Twenty workers that resume the same workflow at once publish its event once."""
    await asyncio.gather(*(subject.events.publish(_sample("e1")) for _ in range(20)))
    assert len(subject.published()) == 1


async def test_closing_twice_is_harmless(subject: Subject) -> None:
    """A feed may be closed again."""
    await subject.events.close()
    await subject.events.close()


async def test_the_stream_keeps_a_bounded_number(
    redis_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old events leave the stream when it is full, and each marker of a published event ends in time."""
    monkeypatch.setattr(redis_events, "KEEP_EVENTS", 100)
    events = RedisEvents(redis_url, timeout_s=5)
    await asyncio.gather(*(events.publish(_sample(f"e{number}")) for number in range(1000)))
    await events.close()
    with redis_server.admin() as client:
        assert 100 <= client.xlen(STREAM) < 400
        assert 0 < client.ttl("{ussd:events}:seen:e1") <= redis_events.SEEN_FOR_S


async def test_two_prefixes_are_two_feeds(redis_url: str, redis_server: RedisServer) -> None:
    """Installations that share a Redis do not see each other's events."""
    first, second = (RedisEvents(redis_url, timeout_s=5, prefix=prefix) for prefix in ("one", "two"))
    await first.publish(_sample("e1"))
    await second.publish(_sample("e1"))
    with redis_server.admin() as client:
        assert client.xlen("{one}:feed") == client.xlen("{two}:feed") == 1
    await first.close()
    await second.close()


async def test_an_event_that_was_not_appended_can_be_published_again(
    redis_url: str, redis_server: RedisServer
) -> None:
    """When Redis refuses to append, the event does not count as published."""
    events = RedisEvents(redis_url, timeout_s=5)
    with redis_server.admin() as client:
        client.set(STREAM, "in the way")
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            await events.publish(_sample("e1"))
        client.delete(STREAM)
        await events.publish(_sample("e1"))
        assert client.xlen(STREAM) == 1
    await events.close()


async def test_a_feed_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """Without Redis, publishing fails as StoreUnavailable, so that the workflow tries again."""
    events = RedisEvents(f"unix://{tmp_path}/none.sock", timeout_s=0.1)
    with pytest.raises(StoreUnavailable):
        await events.publish(_sample("e1"))
    await events.close()
