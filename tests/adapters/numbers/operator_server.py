"""A mobile operator on loopback, with the shapes of CAMARA, that misbehaves as a test asks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiohttp import encode_basic_auth, web

CLIENT = ("sample-client", "sample-secret")
BASIC = encode_basic_auth(*CLIENT)


@dataclass
class Operator:
    """`answer` overrides what the checks say: a status and a body, or an exception of the network's kind."""

    tokens: list[str] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    expires_in: Any = 3600
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    answer: tuple[int, bytes] | None = None
    hangs: bool = False
    cuts: bool = False
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if request.headers["Authorization"] != BASIC or form["grant_type"] != "client_credentials":
            return web.json_response({"error": "invalid_client"}, status=401)
        token = f"token-{len(self.tokens)}"
        self.tokens.append(token)
        self.valid.add(token)
        return web.json_response({"access_token": token, "expires_in": self.expires_in})

    async def check(self, request: web.Request) -> web.StreamResponse:
        if self.hangs:
            await asyncio.sleep(30)
        if self.cuts:
            assert request.transport
            request.transport.close()
            return web.Response()
        if request.headers["Authorization"].removeprefix("Bearer ") not in self.valid:
            return web.json_response({"status": 401, "code": "UNAUTHENTICATED", "message": "no"}, status=401)
        body = await request.json()
        self.asked.append((request.path, body))
        self.headers.append(request.headers)
        if self.answer:
            return web.Response(status=self.answer[0], body=self.answer[1], content_type="application/json")
        if "maxAge" in body:
            swapped = body["phoneNumber"].endswith("11") and body["maxAge"] >= 1
            return web.json_response({"swapped": swapped})
        recycled = body["phoneNumber"].endswith("12") and body["specifiedDate"] < "2026-06-01"
        return web.json_response({"phoneNumberRecycled": recycled})

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/token", self.token)
        app.router.add_post("/sim-swap/v2/check", self.check)
        app.router.add_post("/number-recycling/v0.2/check", self.check)
        return app
