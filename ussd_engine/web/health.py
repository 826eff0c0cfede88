"""/healthz: the process lives. /readyz: everything that it needs answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson
import structlog

from ussd_engine.errors import UssdError
from ussd_engine.web.answers import answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web
    from aiohttp.typedefs import Handler

log = structlog.get_logger(__name__)

Check = Callable[[], Awaitable[object]]
"""Returns when the part answers, raises when it does not."""
CHECK_TIMEOUT_S = 2.0
"""Load balancers ask every few seconds and give up after about five."""


async def healthz(request: web.Request) -> web.Response:
    return answer(request, 200, b'{"status":"ok"}')


def readyz_route(checks: Mapping[str, Check]) -> Handler:
    async def readyz(request: web.Request) -> web.Response:
        found = await asyncio.gather(*(_result(name, check) for name, check in checks.items()))
        results = dict(zip(checks, found, strict=True))
        ready = set(found) <= {"ok"}
        body = {"status": "ready" if ready else "not_ready", "checks": results}
        return answer(request, 200 if ready else 503, orjson.dumps(body))

    return readyz


async def _result(name: str, check: Check) -> str:
    """The word "ok", or a code for why not: a message could name a host or a person."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except TimeoutError:
        result = "timeout"
    except UssdError as error:
        result = error.code
    except Exception as error:  # noqa: BLE001 - whatever a part raises, it is not ready
        result = type(error).__name__
    else:
        return "ok"
    log.warning("not_ready", check=name, result=result)
    return result
