"""The four JSON routes under /api/v1/ussd: key, body, service, answer.

A registration that is not finished within the deadline is answered 202 and goes on by itself; the same
Idempotency-Key asks for its outcome later.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import structlog

from ussd_engine.access import Principal, Scope
from ussd_engine.errors import BankUnavailable
from ussd_engine.services.accounts import OpenAccountRequest
from ussd_engine.services.deadline import TooLate, within
from ussd_engine.services.operations import OperationPending
from ussd_engine.services.subscription import RegisterSubscription
from ussd_engine.web.answers import answer, request_id
from ussd_engine.web.api_models import (
    AccountAnswer,
    AccountRequest,
    CheckRequest,
    PendingAnswer,
    Reading,
    RegisteredAnswer,
    SubscriptionAnswer,
    SubscriptionRequest,
    TranslationsAnswer,
    TranslationsRequest,
)
from ussd_engine.web.doorkeeper import admit
from ussd_engine.web.problems import Problem
from ussd_engine.web.reading import read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from aiohttp import web
    from pydantic import BaseModel

    from ussd_engine.ports import Clock
    from ussd_engine.services.accounts import Accounts
    from ussd_engine.services.callers import Callers
    from ussd_engine.services.idempotency import IdempotencyKeys
    from ussd_engine.services.subscription import Subscriptions
    from ussd_engine.services.translations import Translations
    from ussd_engine.web.reading import AnyRequest

T = TypeVar("T")

PREFIX = "/api/v1/ussd"
SPARE_S = 1.0
"""Beyond the deadline that the services are given themselves."""
IDEMPOTENCY_HEADER = "Idempotency-Key"
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Api:
    """`region` completes national phone numbers."""

    callers: Callers
    region: str
    max_body_bytes: int
    answer_deadline_s: float
    clock: Clock
    subscriptions: Subscriptions
    accounts: Accounts
    idempotency: IdempotencyKeys
    translations: Translations

    async def check_subscription(self, request: web.Request) -> web.Response:
        asked, _ = await self._read(request, CheckRequest, Scope.SUBSCRIPTION)
        found = await self._in_time(self.subscriptions.check(asked.phone_number))
        return _answer(
            request,
            200,
            SubscriptionAnswer(
                status=found.status,
                subscribed=found.subscribed,
                exists_on_cbs=found.exists_on_cbs,
                language=found.language,
                customer_id=found.customer_id,
                user_id=found.user_id,
            ),
        )

    async def register_subscription(self, request: web.Request) -> web.Response:
        asked, caller = await self._read(request, SubscriptionRequest, Scope.SUBSCRIPTION)
        wanted = RegisterSubscription(
            phone_number=asked.phone_number,
            date_of_birth=asked.date_of_birth,
            language=asked.language or self.translations.default_language,
            channel="api",
            maker=caller.name,
        )
        async with self._attempt(request, caller, "subscription/register", asked) as workflow_id:
            work = self.subscriptions.register(workflow_id, wanted, wait_s=self.answer_deadline_s)
            done = await self._in_time(work)
        if isinstance(done, OperationPending):
            return _answer(request, 202, PendingAnswer(operation_id=done.operation_id))
        registered = RegisteredAnswer(
            customer_id=done.customer_id, user_id=done.user_id, change_id=done.change_id
        )
        return _answer(request, 201, registered)

    async def register_account(self, request: web.Request) -> web.Response:
        asked, caller = await self._read(request, AccountRequest, Scope.ACCOUNT)
        wanted = OpenAccountRequest(
            phone_number=asked.phone_number,
            first_name=asked.first_name,
            last_name=asked.last_name,
            date_of_birth=asked.date_of_birth,
            language=asked.language or self.translations.default_language,
            national_id=asked.national_id,
            gender=asked.gender,
            product=asked.product,
            channel="api",
            maker=caller.name,
        )
        async with self._attempt(request, caller, "account/register", asked) as workflow_id:
            work = self.accounts.register(workflow_id, wanted, wait_s=self.answer_deadline_s)
            done = await self._in_time(work)
        if isinstance(done, OperationPending):
            return _answer(request, 202, PendingAnswer(operation_id=done.operation_id))
        opened = AccountAnswer(
            account_number=done.account_number, customer_id=done.customer_id, change_id=done.change_id
        )
        return _answer(request, 201, opened)

    async def fetch_translations(self, request: web.Request) -> web.Response:
        asked, _ = await self._read(request, TranslationsRequest, Scope.TRANSLATIONS)
        found = await self.translations.fetch(asked.language, asked.flow, asked.keys, asked.version)
        texts = found.translations
        return _answer(
            request,
            200,
            TranslationsAnswer(
                language=found.language,
                version=found.version,
                fallback=found.fallback,
                not_modified=texts is None,
                translations=None if texts is None else dict(texts),
            ),
        )

    async def _read(
        self, request: web.Request, model: type[AnyRequest], scope: Scope
    ) -> tuple[AnyRequest, Principal]:
        """The key is checked before anything is read; a request without it costs us nothing."""
        structlog.contextvars.bind_contextvars(request_id=request_id(request))
        caller = await admit(request, self.callers, scope)
        against = Reading(self.region, self.translations.languages, self.clock.now().date())
        return await read(request, model, against, self.max_body_bytes), caller

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        """A service keeps the deadline by itself; this holds when it cannot, such as before a locked database."""
        try:
            return await within(self.answer_deadline_s + SPARE_S, work)
        except TooLate:
            detail = "A part of this service is stuck. Ask again with the same Idempotency-Key."
            raise Problem(503, "no_answer_in_time", detail, headers={"Retry-After": "5"}) from None

    @asynccontextmanager
    async def _attempt(
        self, request: web.Request, caller: Principal, route: str, asked: BaseModel
    ) -> AsyncIterator[str]:
        """The workflow id of this request. One that changed nothing frees its key for another try."""
        keys = request.headers.getall(IDEMPOTENCY_HEADER, [])
        if not keys:
            yield f"api-{uuid4().hex}"
            return
        if len(keys) > 1 or not _IDEMPOTENCY_KEY.fullmatch(keys[0]):
            detail = f"Send one {IDEMPOTENCY_HEADER} of 1 to 255 visible ASCII characters."
            raise Problem(400, "invalid_idempotency_key", detail)
        workflow_id = await self.idempotency.workflow_id(caller.name, route, keys[0], _fingerprint(asked))
        try:
            yield workflow_id
        except BankUnavailable:
            await self.idempotency.try_again(workflow_id)
            raise


def _fingerprint(asked: BaseModel) -> bytes:
    """The meaning of a body: the same for another layout, order or spelling of the phone number."""
    return hashlib.sha256(asked.model_dump_json().encode()).digest()


def _answer(request: web.Request, status: int, body: BaseModel) -> web.Response:
    return answer(request, status, body.model_dump_json().encode())
