"""Answers in JSON, with the request's id and the security headers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

from aiohttp import web

from ussd_engine.web.security import SECURITY_HEADERS

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = web.RequestKey("request_id", str)
_SANE = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9._-]{1,64}")
"""With a letter in it: digits alone could be a phone number, and the id stands in the log."""


def request_id(request: web.Request) -> str:
    """The caller's id when it is fit for a log, else one made here; the same for the whole request."""
    known = request.get(_REQUEST_ID)
    if known is None:
        given = request.headers.get(REQUEST_ID_HEADER, "")
        known = request[_REQUEST_ID] = given if _SANE.fullmatch(given) else uuid4().hex
    return known


def answer(
    request: web.Request,
    status: int,
    body: bytes,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    return web.Response(
        status=status,
        body=body,
        content_type=content_type,
        headers={**SECURITY_HEADERS, REQUEST_ID_HEADER: request_id(request), **(headers or {})},
    )
