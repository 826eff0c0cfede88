"""Every refusal as application/problem+json (RFC 9457), and the one place that catches what goes wrong.

`type` is "about:blank", so `title` is the status in words; a program looks at `code`, which is stable.
Details are fixed words: none repeats what was sent, and a wrong and an absent date of birth read the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ussd_engine.errors import (
    AccountRejected,
    AlreadySubscribed,
    BadPosition,
    BankUnavailable,
    Busy,
    CustomerExists,
    CustomerNotFound,
    DatabaseUnavailable,
    IdempotencyKeyReused,
    IdentityNotVerified,
    NotAllowed,
    Refusal,
    StoreUnavailable,
    UssdError,
)
from ussd_engine.logs import describe
from ussd_engine.services.approvals import (
    ChangeConflict,
    ChangeDecided,
    ChangeExpired,
    ChangeNotFound,
    ChangeStale,
    SelfApproval,
)
from ussd_engine.services.pin_reset import PinNotFound
from ussd_engine.services.recovery import OperationFinished, OperationNotFound
from ussd_engine.web.answers import answer, request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
"""Long enough for a bank that restarts a connection, short enough for a person who waits."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: `field` is its path in the body ("keys.0"), or "body" for the whole of it."""

    field: str
    code: str
    message: str


class Problem(Exception):
    """An answer that is a refusal; raised anywhere below `guard`."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}


_BUSINESS: Mapping[type[UssdError], tuple[int, str]] = {
    CustomerNotFound: (404, "The bank has no customer with this phone number."),
    IdentityNotVerified: (403, "The date of birth could not be verified with the bank."),
    AlreadySubscribed: (
        409,
        "The customer is subscribed already, or a registration waits for the bank's staff to decide.",
    ),
    CustomerExists: (
        409,
        "The bank has a customer with this phone number already; register the subscription.",
    ),
    AccountRejected: (422, "The bank refused to open the account."),
    NotAllowed: (403, "The policy of the USSD role does not allow this, or no more of it today."),
    IdempotencyKeyReused: (422, "This Idempotency-Key came with another body before; use a new key."),
    BadPosition: (400, "`after` takes the id of an event of this feed, such as 1735689600000-0."),
    BankUnavailable: (
        503,
        "The core banking system does not answer. Nothing was changed; try again later.",
    ),
    Busy: (503, "Another request for this phone number is worked on. Nothing was changed; try again later."),
    DatabaseUnavailable: (503, "A part of this service does not answer; try again."),
    StoreUnavailable: (503, "A part of this service does not answer; try again."),
}

_STAFF: Mapping[type[UssdError], int] = {
    ChangeNotFound: 404,
    ChangeDecided: 409,
    ChangeStale: 409,
    ChangeExpired: 409,
    ChangeConflict: 409,
    SelfApproval: 403,
    PinNotFound: 404,
    OperationNotFound: 404,
    OperationFinished: 409,
}
"""What staff hear in the error's own words: they name who decided, and what to decide first."""

_HTTP: Mapping[int, tuple[str, str]] = {
    404: ("not_found", "There is nothing at this address."),
    405: (
        "method_not_allowed",
        "This address does not take this method; the Allow header names those it takes.",
    ),
    413: ("body_too_large", "The request body is larger than this service reads."),
}


def unreadable_body() -> Problem:
    return Problem(
        400, "malformed_body", "The request body ended early or is not encoded as its headers say."
    )


def internal_error() -> Problem:
    return Problem(500, "internal_error", "Something went wrong here; the request id finds it in the log.")


def render(problem: Problem, request: web.Request) -> web.Response:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id(request),
    }
    if problem.errors:
        body["errors"] = [asdict(error) for error in problem.errors]
    return answer(
        request, problem.status, orjson.dumps(body), content_type=CONTENT_TYPE, headers=problem.headers
    )


def guarded(handler: Handler) -> Handler:
    """A handler of which whatever it raises becomes a problem. No middleware: callbacks go without one."""

    async def guard(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            return answer_to(error, request)

    return guard


def answer_to(error: Exception, request: web.Request) -> web.Response:
    """What was raised as a problem; nothing of it shows through."""
    match error:
        case Problem():
            problem = error
        case UssdError():
            problem = _of_domain(error, request)
        case web.HTTPException():
            problem = _of_http(error)
        case web.RequestPayloadError() | HttpProcessingError():
            problem = unreadable_body()
        case _:
            problem = _unforeseen(error, request)
    return render(problem, request)


def unmatched(router: web.UrlDispatcher) -> Handler:
    """For every request that no other route takes: a method that its address does not know, or no address."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        allowed = {
            route.method
            for resource in router.resources()
            if isinstance(resource, web.PlainResource) and resource.canonical == request.rel_url.raw_path
            for route in resource
        }
        if allowed:
            raise web.HTTPMethodNotAllowed(request.method, allowed)
        raise web.HTTPNotFound

    return guarded(refuse)


def _of_domain(error: UssdError, request: web.Request) -> Problem:
    if type(error) in _STAFF:
        return Problem(_STAFF[type(error)], error.code, f"{str(error)[0].upper()}{str(error)[1:]}.")
    status, detail = _BUSINESS.get(type(error), (422, "A rule of this service refuses the request."))
    if type(error) not in _BUSINESS and not isinstance(error, Refusal):
        return _unforeseen(error, request)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return Problem(status, error.code, detail, headers={"Retry-After": str(RETRY_AFTER_S)})
    return Problem(status, error.code, detail)


def _of_http(error: web.HTTPException) -> Problem:
    """What the router and the server raise: 404, 405, 413."""
    code, detail = _HTTP.get(error.status, ("http_error", "The request cannot be answered."))
    allow = error.headers.get("Allow")
    return Problem(error.status, code, detail, headers={"Allow": allow} if allow else None)


def _unforeseen(error: Exception, request: web.Request) -> Problem:
    if request.transport is None:
        log.info("client_gone", request_id=request_id(request))
    else:
        log.error("request_failed", request_id=request_id(request), **describe(error))
    return internal_error()
