"""Workers that serve the feed over real HTTP. Every test runs on asyncio's own loop and on uvloop, which serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog
import uvloop
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from adapters.events.memory import MemoryEvents
from tests.web.parts import FakeCallers
from ussd_engine.web.feed import PATH, Feed
from ussd_engine.web.problems import guarded

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ussd_engine.ports import Events

KEY = "sample-key-for-tests-only"


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class Worker:
    """One process of the service, as far as its feed goes; `events` is what it publishes to."""

    events: Events
    client: ClientSession
    listeners: int = 10
    port: int = 0
    callers: FakeCallers = field(default_factory=lambda: FakeCallers(KEY))
    _runner: web.AppRunner = field(init=False)

    async def start(self) -> None:
        app = web.Application()
        feed = Feed(self.events, cast("Any", self.callers), listeners=self.listeners)
        app.router.add_get(PATH, guarded(feed.listen))
        app.on_shutdown.append(feed.stop)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def listen(self, after: str | None = None) -> AbstractAsyncContextManager[ClientWebSocketResponse]:
        params = {} if after is None else {"after": after}
        return self.client.ws_connect(self.url + PATH, params=params)

    async def refusal(self, after: str | None = None, **headers: str) -> tuple[int, str]:
        """Status and code of the problem that answers a handshake."""
        handshake = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "c2FtcGxlLWtleS0xNi1ieQ==",
        }
        params = {} if after is None else {"after": after}
        async with self.client.get(
            self.url + PATH, params=params, headers={**handshake, **headers}
        ) as response:
            assert response.content_type == "application/problem+json"
            return response.status, (await response.json())["code"]


async def frame(socket: ClientWebSocketResponse) -> Any:
    """The next frame, which must be text."""
    message = await socket.receive()
    assert message.type is WSMsgType.TEXT, (message, socket.close_code)
    return message.json()


async def ended(socket: ClientWebSocketResponse) -> int | None:
    """Read to the end; the close code."""
    async for message in socket:
        assert message.type is WSMsgType.TEXT
    return socket.close_code


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


@pytest.fixture
async def worker(client: ClientSession) -> AsyncIterator[Worker]:
    """A worker with a feed in memory."""
    worker = Worker(MemoryEvents(keep_events=100), client)
    await worker.start()
    with structlog.testing.capture_logs() as logs:
        yield worker
    await worker.stop()
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
