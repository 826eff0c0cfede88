"""The whole web front on a loopback port, and a real HTTP client that holds every answer to the OpenAPI text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import jsonschema_rs
import pytest
import structlog
from aiohttp import ClientSession, web

from adapters.events.memory import MemoryEvents
from adapters.gateways.africastalking import AfricasTalking
from tests.web.parts import (
    BrokenGateway,
    FakeAccounts,
    FakeCallbacks,
    FakeCallers,
    FakeIdempotencyKeys,
    FakeSubscriptions,
    FakeTranslations,
    FixedClock,
)
from ussd_engine.ports import Gateway
from ussd_engine.web.api_v1 import PREFIX, Api
from ussd_engine.web.app import build_app, runner
from ussd_engine.web.feed import Feed
from ussd_engine.web.openapi import document
from ussd_engine.web.staff_api import StaffApi

KEY = "sample-key-for-tests-only"
DOCUMENT = document()
PERSONAL = ("2547", "0700", "Jane", "Sample", "1990-01-15", "1995-06-30", "12345678", KEY)
"""What the tests send; none of it may stand in a log line."""


@dataclass
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Front:
    """The running front: `post` talks to it, the fakes behind it are at hand."""

    callers: FakeCallers = field(default_factory=lambda: FakeCallers(KEY))
    subscriptions: FakeSubscriptions = field(default_factory=FakeSubscriptions)
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    idempotency: FakeIdempotencyKeys = field(default_factory=FakeIdempotencyKeys)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    callbacks: FakeCallbacks = field(default_factory=FakeCallbacks)
    failing: dict[str, Exception] = field(default_factory=dict)
    logs: list[Any] = field(default_factory=list)
    client: ClientSession = field(init=False)
    port: int = 0

    async def call(self, method: str, path: str, **options: Any) -> Reply:
        async with self.client.request(method, f"http://127.0.0.1:{self.port}{path}", **options) as response:
            reply = Reply(response.status, response.headers, await response.read())
        documented(method, path, reply)
        return reply

    async def api(self, path: str, body: object = None, *, raw: bytes | None = None, **headers: str) -> Reply:
        """POST to a JSON route with a valid key; `headers` are named with underscores, and "" removes one."""
        sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = json.dumps(body).encode() if raw is None else raw
        kept = {name: value for name, value in sent.items() if value}
        skipped = {"Content-Type"} - set(kept)
        return await self.call("POST", PREFIX + path, data=data, headers=kept, skip_auto_headers=skipped)

    async def dial(self, path: str = "/ussd/africastalking", *, without: str = "", **fields: str) -> Reply:
        """POST a callback of Africa's Talking, without one of its fields if so asked."""
        form = {
            "sessionId": "ATUid_sample",
            "phoneNumber": "+254700000009",
            "networkCode": "63902",
            "serviceCode": "*384*100#",
            "text": "",
        }
        form |= fields
        return await self.call("POST", path, data={k: v for k, v in form.items() if k != without})

    async def check_store(self) -> None:
        if error := self.failing.get("store"):
            raise error

    async def check_database(self) -> None:
        if error := self.failing.get("database"):
            raise error


def documented(method: str, path: str, reply: Reply) -> None:
    """Hold an answer of a documented route to the schema that the document gives for its status."""
    operation = DOCUMENT["paths"].get(path.removeprefix(PREFIX), {}).get(method.lower())
    if operation is None:
        return
    answer = operation["responses"][str(reply.status)]
    media_type = reply.headers["Content-Type"].partition(";")[0]
    schema = {**answer["content"][media_type]["schema"], "components": DOCUMENT["components"]}
    jsonschema_rs.validator_for(schema).validate(reply.json)


def problem(reply: Reply) -> tuple[int, str]:
    """Status and code of a problem, which has the form of RFC 9457."""
    assert reply.headers["Content-Type"] == "application/problem+json"
    body = reply.json
    assert body["type"] == "about:blank"
    assert body["status"] == reply.status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == reply.headers["X-Request-Id"]
    return reply.status, body["code"]


def wrong_fields(reply: Reply) -> dict[str, str]:
    assert problem(reply) == (422, "invalid_request")
    return {error["field"]: error["code"] for error in reply.json["errors"]}


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    front = Front()
    api = Api(
        callers=cast("Any", front.callers),
        region="KE",
        max_body_bytes=65536,
        answer_deadline_s=25.0,
        clock=FixedClock(),
        # the fakes have the methods that the routes call, and no more
        subscriptions=cast("Any", front.subscriptions),
        accounts=cast("Any", front.accounts),
        idempotency=cast("Any", front.idempotency),
        translations=cast("Any", FakeTranslations()),
    )
    gateways: dict[str, Gateway] = {
        "africastalking": AfricasTalking("africastalking"),
        "broken": BrokenGateway(),
    }
    checks = {"store": front.check_store, "database": front.check_database}
    staff = StaffApi(
        callers=cast("Any", front.callers),
        approvals=cast("Any", None),  # the routes of staff are tested with the real services
        translations=cast("Any", None),
        pin_resets=cast("Any", None),
        recovery=cast("Any", None),
        deliveries=cast("Any", None),
        region="KE",
        clock=FixedClock(),
        max_body_bytes=65536,
    )
    app = build_app(
        api=api,
        staff=staff,
        gateways=gateways,
        callbacks=cast("Any", front.callbacks),
        events=Feed(front.events, cast("Any", front.callers), listeners=1),
        checks=checks,
    )
    running = runner(app)
    await running.setup()
    await web.TCPSite(running, "127.0.0.1", 0).start()
    front.port = running.addresses[0][1]
    with structlog.testing.capture_logs() as front.logs:
        async with ClientSession() as front.client:
            yield front
    await running.cleanup()
    written = repr(front.logs)
    assert [word for word in PERSONAL if word in written] == []
