"""The route of an SMS sender's delivery reports.

Whatever can be read is answered 200: a report that belongs to no message is not the sender's fault, and sent again
it would belong to none either. Only a database that does not answer is 503, and what is no report at all 400.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web

from ussd_engine.errors import BadCallback
from ussd_engine.web.reading import read_body
from ussd_engine.web.security import SECURITY_HEADERS

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from ussd_engine.ports import ReadReport
    from ussd_engine.services.deliveries import Deliveries

log = structlog.get_logger(__name__)


def reports_route(parse: ReadReport, deliveries: Deliveries, max_body_bytes: int) -> Handler:
    async def take_report(request: web.Request) -> web.Response:
        body = await read_body(request, max_body_bytes)
        try:
            report = parse(body, request.headers.get(hdrs.CONTENT_TYPE, ""))
        except BadCallback as error:
            log.info("bad_sms_report", field=error.field)
            return web.Response(status=400, text=f"{error}\n", headers=SECURITY_HEADERS)
        await deliveries.record(report)
        return web.Response(text="OK\n", headers=SECURITY_HEADERS)

    return take_report
