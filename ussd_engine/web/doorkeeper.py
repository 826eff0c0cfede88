"""Lets a request in: whose key it brings (401), and whether that opens the route (403)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ussd_engine.web.problems import Problem

if TYPE_CHECKING:
    from aiohttp import web

    from ussd_engine.access import Principal, Scope
    from ussd_engine.services.callers import Callers

_BEARER = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)


async def admit(request: web.Request, callers: Callers, scope: Scope) -> Principal:
    """Who calls, when the route may be called with that key: before anything of the body is read."""
    principal = await authenticate(request, callers)
    require(principal, scope)
    return principal


async def authenticate(request: web.Request, callers: Callers) -> Principal:
    """The holder of the key in the Authorization header (RFC 6750). Why a key is refused is not told."""
    given = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    principal = await callers.of_key(given[1]) if given else None
    if principal is None:
        detail = "Send the API key as 'Authorization: Bearer KEY'; one that has expired or was revoked opens nothing."
        raise Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
    return principal


def require(principal: Principal, scope: Scope) -> None:
    if scope not in principal.scopes:
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'  # RFC 6750, 3.1
        detail = f"This API key is valid, and lacks the scope '{scope}' that this route asks for."
        raise Problem(403, "forbidden", detail, headers={"WWW-Authenticate": challenge})
