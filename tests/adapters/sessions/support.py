"""What the tests of session stores share."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path


class HandClock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        self._elapsed_s += seconds


@dataclass
class Fault:
    """What the road does to the next `times` requests that hold `word`.

    drop: hang up without passing the request on. swallow: pass it on, wait for the answer, call `then`, hang
    up. hang: pass it on, and keep the answer back for good. answer: send `text` instead of passing it on.
    """

    word: bytes
    kind: Literal["drop", "swallow", "hang", "answer"]
    times: int = 1
    text: bytes = b""
    then: Callable[[], object] = lambda: None


@dataclass
class Road:
    """A road between a client and the real Redis, on which things go wrong as the test says."""

    redis_socket: Path
    faults: list[Fault] = field(default_factory=list)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    _server: asyncio.Server | None = None
    _journeys: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self, tls: ssl.SSLContext | None = None) -> int:
        """Open it on a free port of loopback, and return the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for journey in self._journeys:
            journey.cancel()
        await asyncio.gather(*self._journeys, return_exceptions=True)
        await asyncio.sleep(0.01)  # for the transports to close

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        journey = asyncio.ensure_future(self._travel(reader, writer))
        self._journeys.add(journey)
        journey.add_done_callback(self._journeys.discard)

    async def _travel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(str(self.redis_socket))
        answers = asyncio.ensure_future(_pump(there, writer))
        try:
            with suppress(ConnectionError):
                while request := await reader.read(1 << 20):
                    fault = self._fault(request)
                    if fault is None:
                        back.write(request)
                    elif fault.kind == "answer":
                        writer.write(fault.text)
                    else:
                        answers.cancel()
                        await self._end(fault, request, there, back)
                        return
        finally:
            answers.cancel()
            back.transport.abort()
            writer.transport.abort()

    async def _end(
        self, fault: Fault, request: bytes, there: asyncio.StreamReader, back: asyncio.StreamWriter
    ) -> None:
        if fault.kind == "drop":
            return
        await asyncio.sleep(0)  # the pump must be gone before the answer comes
        back.write(request)
        await there.read(1 << 20)
        fault.then()
        if fault.kind == "hang":
            self.hanging.set()
            await asyncio.Event().wait()

    def _fault(self, request: bytes) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.word in request:
                fault.times -= 1
                return fault
        return None


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(1 << 20):
            target.write(data)
