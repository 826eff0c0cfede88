"""The routes for the bank's staff under /api/v1: decide on changes, look after operations and messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from ussd_engine.access import Principal, Scope
from ussd_engine.phone import mask
from ussd_engine.services.translations import TextRefused
from ussd_engine.web.answers import answer, request_id
from ussd_engine.web.api_models import Reading
from ussd_engine.web.doorkeeper import admit
from ussd_engine.web.problems import FieldError, Problem
from ussd_engine.web.reading import read, read_query
from ussd_engine.web.staff_models import (
    ApprovalsQuery,
    ApproveRequest,
    ChangeAnswer,
    ChangeEntry,
    ChangesAnswer,
    FieldChange,
    NoQuery,
    NotificationEntry,
    NotificationsAnswer,
    NotificationsQuery,
    OperationEntry,
    OperationsAnswer,
    OperationsQuery,
    OverrideRequest,
    PinResetRequest,
    RejectRequest,
    RetryRequest,
    StagedAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web
    from aiohttp.typedefs import Handler
    from pydantic import BaseModel

    from ussd_engine.platform.changes import StagedChange
    from ussd_engine.platform.operations import Operation
    from ussd_engine.ports import Clock
    from ussd_engine.services.approvals import Approvals
    from ussd_engine.services.callers import Callers
    from ussd_engine.services.deliveries import Deliveries
    from ussd_engine.services.pin_reset import PinResets
    from ussd_engine.services.recovery import Recovery
    from ussd_engine.services.translations import Translations

PREFIX = "/api/v1"
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
PERSONAL = "person."
"""Fields below it are of a person: only who may make or decide on a change sees them."""


@dataclass(frozen=True, slots=True)
class StaffApi:
    callers: Callers
    approvals: Approvals
    translations: Translations
    pin_resets: PinResets
    recovery: Recovery
    deliveries: Deliveries
    region: str
    clock: Clock
    max_body_bytes: int

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler."""
        yield "GET", f"{PREFIX}/approvals", self.list_changes
        yield "GET", f"{PREFIX}/approvals/{{id}}", self.show_change
        yield "POST", f"{PREFIX}/approvals/{{id}}/approve", self.approve
        yield "POST", f"{PREFIX}/approvals/{{id}}/reject", self.reject
        yield "POST", f"{PREFIX}/translations/overrides", self.propose_text
        yield "POST", f"{PREFIX}/pins/reset", self.propose_pin_reset
        yield "GET", f"{PREFIX}/operations", self.list_operations
        yield "GET", f"{PREFIX}/operations/{{id}}", self.show_operation
        yield "POST", f"{PREFIX}/operations/{{id}}/retry", self.retry
        yield "GET", f"{PREFIX}/notifications", self.list_notifications

    async def list_changes(self, request: web.Request) -> web.Response:
        await self._admit(request, Scope.VIEW)
        query = read_query(request, ApprovalsQuery)
        found = await self.approvals.waiting(query.state, query.limit, query.after)
        entries = [ChangeEntry.model_validate(change) for change in found]
        return _answer(request, ChangesAnswer(approvals=entries))

    async def show_change(self, request: web.Request) -> web.Response:
        principal = await self._admit(request, Scope.VIEW)
        read_query(request, NoQuery)
        return _answer(request, _shown(await self.approvals.get(_id(request)), principal))

    async def approve(self, request: web.Request) -> web.Response:
        principal = await self._admit(request, Scope.CHECK)
        asked = await read(request, ApproveRequest, self._reading(), self.max_body_bytes)
        decided = await self.approvals.approve(
            _id(request), asked.version, principal.name, request_id(request), asked.reason
        )
        return _answer(request, _shown(decided, principal))

    async def reject(self, request: web.Request) -> web.Response:
        principal = await self._admit(request, Scope.CHECK)
        asked = await read(request, RejectRequest, self._reading(), self.max_body_bytes)
        decided = await self.approvals.reject(
            _id(request), asked.version, principal.name, request_id(request), asked.reason
        )
        return _answer(request, _shown(decided, principal))

    async def propose_text(self, request: web.Request) -> web.Response:
        principal = await self._admit(request, Scope.MAKE)
        asked = await read(request, OverrideRequest, self._reading(), self.max_body_bytes)
        try:
            staged = await self.translations.propose(
                self.approvals,
                asked.key,
                asked.language,
                asked.text,
                maker=principal.name,
                reason=asked.reason,
                request_id=request_id(request),
            )
        except TextRefused as refused:
            detail = "The flows could not show this text; `errors` says why."
            errors = tuple(FieldError("text", "text_refused", reason) for reason in refused.reasons)
            raise Problem(422, "text_refused", detail, errors=errors) from None
        return _answer(request, StagedAnswer(change_id=staged.change_id), status=202)

    async def propose_pin_reset(self, request: web.Request) -> web.Response:
        principal = await self._admit(request, Scope.MAKE)
        asked = await read(request, PinResetRequest, self._reading(), self.max_body_bytes)
        staged = await self.pin_resets.propose(
            asked.phone_number, maker=principal.name, reason=asked.reason, request_id=request_id(request)
        )
        return _answer(request, StagedAnswer(change_id=staged.change_id), status=202)

    async def list_operations(self, request: web.Request) -> web.Response:
        await self._admit(request, Scope.VIEW)
        query = read_query(request, OperationsQuery)
        found = await self.recovery.listed((query.state,), query.limit)
        return _answer(request, OperationsAnswer(operations=[_operation(each) for each in found]))

    async def show_operation(self, request: web.Request) -> web.Response:
        await self._admit(request, Scope.VIEW)
        read_query(request, NoQuery)
        return _answer(request, _operation(await self.recovery.get(_id(request))))

    async def retry(self, request: web.Request) -> web.Response:
        principal = await self._admit(request, Scope.MAKE)
        await read(request, RetryRequest, self._reading(), self.max_body_bytes)
        operation = await self.recovery.retry(_id(request), principal.name, request_id(request))
        return _answer(request, _operation(operation), status=202)

    async def list_notifications(self, request: web.Request) -> web.Response:
        await self._admit(request, Scope.VIEW)
        query = read_query(request, NotificationsQuery)
        found = await self.deliveries.listed(query.state, query.limit, query.before)
        entries = [NotificationEntry.model_validate(message) for message in found]
        return _answer(request, NotificationsAnswer(notifications=entries))

    async def _admit(self, request: web.Request, scope: Scope) -> Principal:
        structlog.contextvars.bind_contextvars(request_id=request_id(request))
        return await admit(request, self.callers, scope)

    def _reading(self) -> Reading:
        """No field of a staff route depends on a language."""
        return Reading(self.region, (), self.clock.now().date())


def _id(request: web.Request) -> str:
    """What cannot be an id names nothing."""
    id_ = request.match_info["id"]
    if not _ID.fullmatch(id_):
        raise Problem(404, "not_found", "There is nothing at this address.")
    return id_


def _shown(change: StagedChange, principal: Principal) -> ChangeAnswer:
    entry = ChangeEntry.model_validate(change)
    trusted = bool({Scope.MAKE, Scope.CHECK} & principal.scopes)
    fields = list(difference(change.before, change.after))
    if change.entity in {
        "identities",
        "pins",
    }:  # whose it is does not change, and is what a checker has to know
        fields = [
            FieldChange(field=name, before=change.before.get(name), after=value)
            for name, value in change.after.items()
        ]
    shown = [one for one in fields if trusted or not one.field.startswith(PERSONAL)]
    return ChangeAnswer(**entry.model_dump(), hidden=len(shown) < len(fields), difference=shown)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[FieldChange]:
    """Every field of `after` that is not so in `before`, dots for what lies deeper. Nothing is as an empty list."""
    for name, value in after.items():
        former = before.get(name)
        if isinstance(value, dict):
            for one in difference(former or {}, value):
                yield FieldChange(field=f"{name}.{one.field}", before=one.before, after=one.after)
        elif (value or None) != (former or None):
            yield FieldChange(field=name, before=former, after=value)


def _operation(operation: Operation) -> OperationEntry:
    return OperationEntry(
        id=operation.id,
        kind=operation.kind,
        phone_masked=mask(operation.phone_number),
        channel=operation.channel,
        state=operation.state,
        reconciling=operation.reconciling,
        retries=operation.retries,
        code=(operation.result or {}).get("code"),
        bank_reference=operation.bank_reference,
        created_at=operation.created_at,
        finished_at=operation.finished_at,
    )


def _answer(request: web.Request, body: BaseModel, status: int = 200) -> web.Response:
    return answer(request, status, body.model_dump_json().encode())
