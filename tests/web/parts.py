"""Small services behind the web front: each answers or raises what a test put into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from ussd_engine.access import CONFIGURED_KEY_SCOPES, Principal, Scope
from ussd_engine.errors import BadCallback, IdempotencyKeyReused
from ussd_engine.ports import Answer, Callback, EndReport
from ussd_engine.runtime.screen import Screen
from ussd_engine.services.accounts import AccountOpened, OpenAccountRequest
from ussd_engine.services.operations import OperationPending
from ussd_engine.services.subscription import (
    Registered,
    RegisterSubscription,
    SubscriptionStatus,
)
from ussd_engine.services.translations import TranslationSet, UnknownFlow

if TYPE_CHECKING:
    from collections.abc import Sequence


class FixedClock:
    """The 1st of July 2026, noon."""

    def now(self) -> datetime:
        return datetime(2026, 7, 1, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


@dataclass
class FakeCallers:
    """One key, which opens every JSON route until a test takes a scope away; `name` is whose it is."""

    key: str
    scopes: frozenset[Scope] = CONFIGURED_KEY_SCOPES
    name: str = "api"

    async def of_key(self, key: str) -> Principal | None:
        return Principal(self.name, self.scopes) if key == self.key else None


@dataclass
class FakeSubscriptions:
    status: SubscriptionStatus = field(
        default_factory=lambda: SubscriptionStatus("subscribed", True, "sw", "c-1", "u-1")
    )
    outcome: Registered | OperationPending = field(default_factory=lambda: Registered("c-1", "u-1", "ch-1"))
    error: Exception | None = None
    asked: list[str] = field(default_factory=list)
    log_context: dict[str, object] = field(default_factory=dict)
    requests: list[tuple[str, RegisterSubscription, float]] = field(default_factory=list)

    async def check(self, phone_number: str) -> SubscriptionStatus:
        self.asked.append(phone_number)
        self.log_context = structlog.contextvars.get_contextvars()
        if self.error:
            raise self.error
        return self.status

    async def register(
        self, workflow_id: str, request: RegisterSubscription, *, wait_s: float
    ) -> Registered | OperationPending:
        self.requests.append((workflow_id, request, wait_s))
        if self.error:
            raise self.error
        return self.outcome


@dataclass
class FakeAccounts:
    outcome: AccountOpened | OperationPending = field(
        default_factory=lambda: AccountOpened("0100000001", "c-1", "ch-1")
    )
    error: Exception | None = None
    requests: list[tuple[str, OpenAccountRequest, float]] = field(default_factory=list)

    async def register(
        self, workflow_id: str, request: OpenAccountRequest, *, wait_s: float
    ) -> AccountOpened | OperationPending:
        self.requests.append((workflow_id, request, wait_s))
        if self.error:
            raise self.error
        return self.outcome


@dataclass
class FakeIdempotencyKeys:
    seen: dict[tuple[str, str], bytes] = field(default_factory=dict)
    freed: list[str] = field(default_factory=list)

    async def try_again(self, workflow_id: str) -> None:
        self.freed.append(workflow_id)

    async def workflow_id(self, caller: str, route: str, key: str, fingerprint: bytes) -> str:
        if self.seen.setdefault((f"{caller} {route}", key), fingerprint) != fingerprint:
            raise IdempotencyKeyReused("another body")
        return f"{caller}:{route}:{key}"


class FakeTranslations:
    languages = ("en", "sw")
    default_language = "en"

    async def fetch(
        self, language: str | None, flow: str | None, keys: Sequence[str] | None, version: str | None
    ) -> TranslationSet:
        if flow not in {None, "onboarding"}:
            raise UnknownFlow("no such flow")
        texts = {"onboarding.welcome": "Karibu" if language == "sw" else "Welcome"}
        chosen = {key: text for key, text in texts.items() if keys is None or key in keys}
        known = language in {None, "en", "sw"}
        return TranslationSet(
            language=(language or "en") if known else "en",
            version="v1",
            fallback=not known,
            translations=None if version == "v1" else chosen,
        )


@dataclass
class FakeCallbacks:
    screen: Screen = field(default_factory=lambda: Screen("Welcome", end=False, label="onboarding.welcome"))
    error: Exception | None = None
    handled: list[Callback] = field(default_factory=list)
    reports: list[EndReport] = field(default_factory=list)

    async def handle(self, callback: Callback) -> Screen:
        self.handled.append(callback)
        if self.error:
            raise self.error
        return self.screen

    async def ended(self, report: EndReport) -> None:
        self.reports.append(report)
        if self.error:
            raise self.error


class BrokenGateway:
    """A gateway adapter with a fault of its own, which is not the caller's."""

    name = "broken"

    def parse(self, body: bytes, content_type: str) -> Callback:
        if not body:
            raise BadCallback("sessionId", "is missing")
        raise KeyError("+254700000009")

    def parse_event(self, body: bytes, content_type: str) -> EndReport:
        raise KeyError("+254700000009")

    def answer(self, screen: Screen) -> Answer:
        return Answer(200, {"Content-Type": "text/plain"}, b"END " + screen.text.encode())
