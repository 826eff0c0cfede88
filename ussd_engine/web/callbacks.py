"""The two routes of a gateway. This is the hot path: one read, one parse, one answer, nothing else.

A gateway shows a subscriber nothing when it gets an error, so whatever goes wrong behind a readable callback
is a valid screen with HTTP 200. Only what is no callback at all gets 400, with the field named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from aiohttp import hdrs, web

from ussd_engine.errors import BadCallback
from ussd_engine.logs import describe
from ussd_engine.runtime.screen import Screen
from ussd_engine.web.problems import answer_to
from ussd_engine.web.reading import read_body
from ussd_engine.web.security import SECURITY_HEADERS

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from ussd_engine.ports import Gateway
    from ussd_engine.services.callbacks import Callbacks

log = structlog.get_logger(__name__)

APOLOGY = Screen("The service is not available now. Please try again later.", end=True, label="engine.error")
"""The last resort, when not even the service could make a screen: no language is known here."""
_SERVER = SECURITY_HEADERS[hdrs.SERVER]


def callback_route(gateway: Gateway, callbacks: Callbacks, max_body_bytes: int) -> Handler:
    async def callback(request: web.Request) -> web.Response:
        try:
            body = await read_body(request, max_body_bytes)
        except Exception as error:  # noqa: BLE001 - too large, too slow or cut off: no callback at all
            return answer_to(error, request)
        try:
            screen = await callbacks.handle(gateway.parse(body, request.headers.get(hdrs.CONTENT_TYPE, "")))
        except BadCallback as error:
            return _refused(error, gateway)
        except Exception as error:  # noqa: BLE001 - a subscriber waits for a screen
            log.error("callback_failed", error_id=uuid4().hex, gateway=gateway.name, **describe(error))  # noqa: TRY400 - the message may be personal
            screen = APOLOGY
        rendered = gateway.answer(screen)
        response = web.Response(status=rendered.status, headers=rendered.headers, body=rendered.body)
        response.headers[hdrs.SERVER] = _SERVER
        return response

    return callback


def events_route(gateway: Gateway, callbacks: Callbacks, max_body_bytes: int) -> Handler:
    async def event(request: web.Request) -> web.Response:
        body = await read_body(request, max_body_bytes)
        try:
            await callbacks.ended(gateway.parse_event(body, request.headers.get(hdrs.CONTENT_TYPE, "")))
        except BadCallback as error:
            return _refused(error, gateway)
        except Exception as error:  # noqa: BLE001 - a report is news, not a question: sending it again helps nobody
            log.error("event_failed", error_id=uuid4().hex, gateway=gateway.name, **describe(error))  # noqa: TRY400 - the message may be personal
        return web.Response(text="OK\n", headers=SECURITY_HEADERS)

    return event


def _refused(error: BadCallback, gateway: Gateway) -> web.Response:
    log.info("bad_callback", gateway=gateway.name, field=error.field)
    return web.Response(status=400, text=f"{error}\n", headers=SECURITY_HEADERS)
