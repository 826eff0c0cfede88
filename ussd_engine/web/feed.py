"""GET /api/v1/events: the operators' live feed, a WebSocket with a JSON text frame per event.

The first frame says where the listener begins, or names a gap. Whoever is cut off, for whatever reason, comes
again with the last id as `after` and misses nothing. What is wrong before the upgrade is a problem; later it is
a close code.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from ussd_engine.access import Scope
from ussd_engine.errors import DatabaseUnavailable, ListenerTooSlow, StoreUnavailable
from ussd_engine.logs import describe
from ussd_engine.ports import FeedEvent, FeedStart
from ussd_engine.web.answers import REQUEST_ID_HEADER, request_id
from ussd_engine.web.api_models import EventFrame, GapFrame, StartFrame
from ussd_engine.web.doorkeeper import admit
from ussd_engine.web.problems import RETRY_AFTER_S, Problem
from ussd_engine.web.security import SECURITY_HEADERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine
    from typing import Any

    from ussd_engine.ports import Events
    from ussd_engine.services.callers import Callers

log = structlog.get_logger(__name__)

PATH = "/api/v1/events"
HEARTBEAT_S = 20.0
"""Between two pings: proxies end a connection that is idle for a minute, some after half of one."""
ADMITTED_FOR_S = 20.0
"""How long a key that was revoked may go on listening: as often a listener's key is looked up again."""
SEND_WITHIN_S = 10.0
"""For one frame; whoever takes longer has stopped reading."""
CLOSE_WITHIN_S = 5.0
"""For the answer to a close frame. Well below the time that a stop of the service has for everything."""
MAX_MESSAGE_BYTES = 1024
"""Of a client, which has nothing to say."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ends: the close code (RFC 6455 7.4) and the reason, for whoever reads it."""

    code: int
    reason: str


TOO_SLOW = Ending(4008, "too slow: come again after the last id")
REFUSED = Ending(4401, "the key opens this feed no longer")
UNAVAILABLE = Ending(WSCloseCode.TRY_AGAIN_LATER, "the feed is interrupted: come again after the last id")
STOPPING = Ending(WSCloseCode.GOING_AWAY, "the service stops: come again after the last id")
NOT_A_LISTENER = Ending(WSCloseCode.UNSUPPORTED_DATA, "this feed takes no messages")
FAILED = Ending(WSCloseCode.INTERNAL_ERROR, "something went wrong here: come again after the last id")
GONE = Ending(WSCloseCode.OK, "")
"""The client has closed, or its connection is lost; there is nobody left to tell."""


class Feed:
    """The route, for who may view. `listeners` is the most at once."""

    def __init__(self, events: Events, callers: Callers, *, listeners: int) -> None:
        self._events = events
        self._callers = callers
        self._most = listeners
        self._listening = 0
        self._stopping = asyncio.Event()

    async def listen(self, request: web.Request) -> web.StreamResponse:
        structlog.contextvars.bind_contextvars(request_id=request_id(request))
        await admit(request, self._callers, Scope.VIEW)
        socket = _socket(request)
        if self._listening >= self._most or self._stopping.is_set():
            raise Problem(
                503,
                "too_many_listeners",
                "No more listeners can be served here; try again later.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self._listening += 1
        try:
            await self._serve(request, socket)
        finally:
            self._listening -= 1
        return socket

    async def stop(self, _app: web.Application) -> None:
        """On shutdown: every listener is told to go, and nobody waits for those that do not listen."""
        self._stopping.set()

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        after = request.query.get("after")
        async with aclosing(self._events.follow(after)) as items:
            first = await anext(items)  # what fails here is still a problem
            await socket.prepare(request)
            log.info("listener_joined", listeners=self._listening)
            ending = await _first_of(
                _tell(socket, after, first, items),
                _client_ends(socket),
                self._service_stops(),
                self._refused_later(request),
            )
        await _close(request, socket, ending)
        log.info("listener_left", code=int(ending.code))

    async def _service_stops(self) -> Ending:
        await self._stopping.wait()
        return STOPPING

    async def _refused_later(self, request: web.Request) -> Ending:
        """A key expires, or is revoked, or its holder is disabled, while the feed is open."""
        while True:
            await asyncio.sleep(ADMITTED_FOR_S)
            try:
                await admit(request, self._callers, Scope.VIEW)
            except Problem:
                return REFUSED
            except DatabaseUnavailable as error:  # then nobody can be revoked either
                log.warning("listener_not_asked_again", **describe(error))


def _socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_S, timeout=CLOSE_WITHIN_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False
    )
    if not socket.can_prepare(request):
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        raise Problem(426, "upgrade_required", "This address speaks WebSocket (RFC 6455).", headers=headers)
    socket.headers.update({**SECURITY_HEADERS, REQUEST_ID_HEADER: request_id(request)})
    return socket


async def _first_of(*ways: Coroutine[Any, Any, Ending]) -> Ending:
    """How the first of them ends; the others are given up."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task.result() for task in tasks if task.done())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _tell(
    socket: web.WebSocketResponse,
    after: str | None,
    first: FeedStart | FeedEvent,
    items: AsyncGenerator[FeedStart | FeedEvent, None],
) -> Ending:
    try:
        await _send(socket, _frame(first, after))
        async for item in items:
            await _send(socket, _frame(item, after))
    except (ListenerTooSlow, TimeoutError):
        return TOO_SLOW
    except StoreUnavailable:
        return UNAVAILABLE
    except ConnectionError:
        return GONE
    except Exception as error:  # noqa: BLE001 - after the upgrade no other answer can be given
        log.error("listener_failed", **describe(error))  # noqa: TRY400 - the message may be personal
    return FAILED


async def _send(socket: web.WebSocketResponse, frame: bytes) -> None:
    async with asyncio.timeout(SEND_WITHIN_S):
        await socket.send_frame(frame, WSMsgType.TEXT)


def _frame(item: FeedStart | FeedEvent, after: str | None) -> bytes:
    frame: EventFrame | StartFrame | GapFrame
    match item:
        case FeedEvent(position, event):
            frame = EventFrame(
                id=position,
                event_id=event.event_id,
                kind=event.kind,
                at=event.at,
                phone=event.phone_masked,
                detail=dict(event.detail),
            )
        case FeedStart(position, gap):
            frame = GapFrame(id=position, after=after) if gap and after else StartFrame(id=position)
    return frame.model_dump_json().encode()


async def _client_ends(socket: web.WebSocketResponse) -> Ending:
    message = await socket.receive()
    return NOT_A_LISTENER if message.type in {WSMsgType.TEXT, WSMsgType.BINARY} else GONE


async def _close(request: web.Request, socket: web.WebSocketResponse, ending: Ending) -> None:
    """Say why, and wait a little for the answer; what a client has not read by then it will never read."""
    # drain=False: after a send that was given up, aiohttp's drain raises CancelledError by itself
    await socket.close(code=ending.code, message=ending.reason.encode(), drain=False)
    if request.transport is not None and request.transport.get_write_buffer_size():
        log.info("listener_does_not_read")
        request.transport.abort()
