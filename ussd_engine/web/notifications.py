"""`GET /api/v1/notifications`: the messages to subscribers, for staff. Neither texts nor whole phone numbers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ussd_engine.services.deliveries import Standing
from ussd_engine.web.answers import answer
from ussd_engine.web.problems import FieldError, Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web
    from aiohttp.typedefs import Handler

    from ussd_engine.services.deliveries import Deliveries

PATH = "/api/v1/notifications"
_MESSAGES = {
    "extra_forbidden": "is not a parameter of this request",
    "literal_error": "must be one of queued, sent, delivered, failed",
}


class NotificationsQuery(BaseModel):
    """`before`: go on behind the message with this id."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    state: Standing | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    before: Annotated[str, Field(max_length=36)] | None = None


class NotificationEntry(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: str
    operation_id: str | None
    change_id: str | None
    event: str
    language: str
    phone_masked: str
    parts: int
    state: str
    attempts: int
    delivery: str | None
    failure: str | None
    created_at: datetime
    finished_at: datetime | None
    reported_at: datetime | None


class NotificationsAnswer(BaseModel):
    notifications: list[NotificationEntry]


def notifications_route(
    deliveries: Deliveries, authenticate: Callable[[web.Request], Awaitable[object]]
) -> Handler:
    """`authenticate` raises what refuses the caller, before anything is looked at."""

    async def list_notifications(request: web.Request) -> web.StreamResponse:
        await authenticate(request)
        query = _query(request)
        found = await deliveries.listed(query.state, query.limit, query.before)
        entries = [NotificationEntry.model_validate(entry) for entry in found]
        return answer(request, 200, NotificationsAnswer(notifications=entries).model_dump_json().encode())

    return list_notifications


def _query(request: web.Request) -> NotificationsQuery:
    twice = {name for name in request.query if len(request.query.getall(name)) > 1}
    if twice:
        errors = tuple(FieldError(name, "repeated", "stands more than once") for name in sorted(twice))
        raise _invalid(errors)
    try:
        return NotificationsQuery.model_validate(dict(request.query))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise _invalid(
            tuple(
                FieldError(
                    str(detail["loc"][0]), detail["type"], _MESSAGES.get(detail["type"], detail["msg"])
                )
                for detail in details
            )
        ) from None


def _invalid(errors: tuple[FieldError, ...]) -> Problem:
    detail = "One or more parameters are wrong; `errors` names each of them."
    return Problem(422, "invalid_request", detail, errors=errors)
