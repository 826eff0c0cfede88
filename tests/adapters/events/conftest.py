"""Both feeds, made as a test needs them. Every test runs on asyncio's own loop and on uvloop, which serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from adapters.events.fanout import INBOX
from adapters.events.memory import MemoryEvents
from adapters.events.redis import RedisEvents

Make = Callable[..., MemoryEvents | RedisEvents]
MakeRedis = Callable[..., RedisEvents]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def make_redis(redis_url: str) -> AsyncIterator[MakeRedis]:
    """Workers on one Redis; all are closed in the end."""
    made: list[RedisEvents] = []

    def make(
        url: str = redis_url, timeout_s: float = 5, keep_events: int = 10_000, inbox: int = INBOX
    ) -> RedisEvents:
        made.append(RedisEvents(url, timeout_s=timeout_s, keep_events=keep_events, inbox=inbox))
        return made[-1]

    yield make
    for events in made:
        await events.close()


@pytest.fixture(params=["memory", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "memory":
        return MemoryEvents
    make_redis: MakeRedis = request.getfixturevalue("make_redis")
    return make_redis
