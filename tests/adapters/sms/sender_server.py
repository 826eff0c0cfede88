"""A local server that behaves as Africa's Talking does, and misbehaves where a test says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


def taken(number: str, code: int = 102, message_id: object = "ATXid_sample") -> dict[str, Any]:
    """An answer for one receiver; `status` says Success whatever is only queued, as the real one does."""
    entry = {
        "cost": "KES 0.8000",
        "messageId": message_id,
        "number": number,
        "status": "Success",
        "statusCode": code,
    }
    return {"SMSMessageData": {"Message": "Sent to 1/1 Total Cost: KES 0.8000", "Recipients": [entry]}}


@dataclass
class SenderServer:
    """`requests` holds headers and form of each; `reply` answers instead of the usual acceptance."""

    requests: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    reply: Reply | None = None
    url: str = ""
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/version1/messaging", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, places: TracebackType | None
    ) -> None:
        self._ended.set()
        await self._runner.cleanup()

    def answers(self, status: int, *, text: str | None = None, body: object = None, **headers: str) -> None:
        """From now on this, whatever is asked."""

        async def reply(_request: web.Request) -> web.StreamResponse:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            if text is not None:
                return web.Response(status=status, text=text, headers=sent)
            return web.json_response(body, status=status, headers=sent)

        self.reply = reply

    def falls_silent(self) -> None:
        async def reply(_request: web.Request) -> web.StreamResponse:
            await self._ended.wait()
            return web.Response()

        self.reply = reply

    def hangs_up(self) -> None:
        """After the whole request has come, and before any byte of an answer."""

        async def reply(request: web.Request) -> web.StreamResponse:
            assert request.transport
            request.transport.abort()
            return web.Response()

        self.reply = reply

    def hangs_up_within_the_answer(self) -> None:
        async def reply(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(status=201, headers={"Content-Length": "300"})
            await response.prepare(request)
            await response.write(b'{"SMSMessageData":')
            assert request.transport
            request.transport.close()
            return response

        self.reply = reply

    async def _take(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append((dict(request.headers), form))
        if self.reply:
            return await self.reply(request)
        return web.json_response(taken(form["to"], message_id=f"ATXid_{len(self.requests)}"), status=201)
