"""The OpenAPI 3.1 documents, made from the very models that read and write the bodies.

One is of the routes for programs and one of those for the bank's staff.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from ussd_engine.web.answers import REQUEST_ID_HEADER, answer
from ussd_engine.web.api_models import (
    AccountAnswer,
    AccountRequest,
    CheckRequest,
    EventFrame,
    GapFrame,
    PendingAnswer,
    ProblemBody,
    RegisteredAnswer,
    Request,
    StartFrame,
    SubscriptionAnswer,
    SubscriptionRequest,
    TranslationsAnswer,
    TranslationsRequest,
)
from ussd_engine.web.api_v1 import IDEMPOTENCY_HEADER, PREFIX
from ussd_engine.web.feed import PATH as FEED_PATH
from ussd_engine.web.problems import CONTENT_TYPE
from ussd_engine.web.staff_api import PREFIX as STAFF_PREFIX
from ussd_engine.web.staff_models import (
    ApprovalsQuery,
    ApproveRequest,
    ChangeAnswer,
    ChangesAnswer,
    NoQuery,
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
    from collections.abc import Mapping

    from aiohttp import web
    from aiohttp.typedefs import Handler
    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Operation:
    """One route below the prefix of its document. `request` is the body of a POST, `query` what a GET takes."""

    path: str
    operation_id: str
    summary: str
    answers: Mapping[int, type[BaseModel]]
    problems: Mapping[int, str]
    request: type[Request] | None = None
    query: type[BaseModel] | None = None

    @property
    def method(self) -> str:
        return "post" if self.request else "get"

    @property
    def registers(self) -> bool:
        return self.path.endswith("/register")


_ANY_PROBLEM: Mapping[int, str] = {
    400: "`malformed_json`, `malformed_body`: the body cannot be read",
    401: "`unauthorized`: no valid API key",
    403: "`forbidden`: the API key lacks the scope of this route",
    408: "`body_timeout`: the body did not come in time",
    413: "`body_too_large`",
    415: "`unsupported_media_type`: not application/json in UTF-8",
    422: "`invalid_request`: `errors` names every wrong field",
    500: "`internal_error`",
}
_UNAVAILABLE = (
    "`cbs_unavailable`: the core banking system does not answer; nothing was changed. `busy`: another"
    " request for this phone number is worked on. `database_unavailable`, `no_answer_in_time`: a part of this"
    " service does not answer"
)
_FAILED = f"{_UNAVAILABLE}; the same Idempotency-Key may try again"
_BAD_KEY = f"{_ANY_PROBLEM[400]}, or `invalid_idempotency_key`"
_DENIED = f"{_ANY_PROBLEM[403]}, or `not_allowed` by the policy of the USSD role"
_REUSED = f"{_ANY_PROBLEM[422]}, or `idempotency_key_reused`"

_OPERATIONS = (
    Operation(
        "/subscription/check",
        "checkSubscription",
        "Is this phone number subscribed, and does the bank know it?",
        {200: SubscriptionAnswer},
        {403: _DENIED, 503: _UNAVAILABLE},
        request=CheckRequest,
    ),
    Operation(
        "/subscription/register",
        "registerSubscription",
        "Register an existing customer of the bank, staged for approval.",
        {201: RegisteredAnswer, 202: PendingAnswer},
        {
            400: _BAD_KEY,
            403: f"{_DENIED}, or `identity_not_verified`",
            404: "`customer_not_found`",
            409: "`already_subscribed`",
            422: _REUSED,
            503: _FAILED,
        },
        request=SubscriptionRequest,
    ),
    Operation(
        "/account/register",
        "registerAccount",
        "Open an account for a customer whom the bank does not know yet.",
        {201: AccountAnswer, 202: PendingAnswer},
        {
            400: _BAD_KEY,
            403: f"{_DENIED}, or no further opening today",
            409: "`customer_exists`",
            422: f"{_REUSED}, or `rejected` by the bank",
            503: _FAILED,
        },
        request=AccountRequest,
    ),
    Operation(
        "/translations/fetch",
        "fetchTranslations",
        "The texts of the flows in one language.",
        {200: TranslationsAnswer},
        {422: f"{_ANY_PROBLEM[422]}, or `unknown_flow`"},
        request=TranslationsRequest,
    ),
)

_AWAY = "`database_unavailable`: a part of this service does not answer"
_ID_PROBLEM = "`not_found`, or `{what}_not_found`"
_DECISIONS: Mapping[int, str] = {
    403: f"{_ANY_PROBLEM[403]}, or `self_approval`: who asked for a change does not decide on it",
    404: _ID_PROBLEM.format(what="change"),
    409: "`change_decided`, `change_stale`, `change_expired`, `change_conflict`: nothing was changed",
    503: _AWAY,
}

_STAFF_OPERATIONS = (
    Operation(
        "/approvals",
        "listApprovals",
        "Changes that wait for a decision, or were decided on.",
        {200: ChangesAnswer},
        {503: _AWAY},
        query=ApprovalsQuery,
    ),
    Operation(
        "/approvals/{id}",
        "showApproval",
        "One change with its difference.",
        {200: ChangeAnswer},
        {404: _ID_PROBLEM.format(what="change"), 503: _AWAY},
        query=NoQuery,
    ),
    Operation(
        "/approvals/{id}/approve",
        "approve",
        "Apply the change, in the version that was read.",
        {200: ChangeAnswer},
        _DECISIONS,
        request=ApproveRequest,
    ),
    Operation(
        "/approvals/{id}/reject",
        "reject",
        "Refuse the change, in the version that was read; it is kept with the reason.",
        {200: ChangeAnswer},
        _DECISIONS,
        request=RejectRequest,
    ),
    Operation(
        "/translations/overrides",
        "proposeText",
        "Ask for other words in a text of the flows, staged for approval.",
        {202: StagedAnswer},
        {
            409: "`change_conflict`: a change of this text waits already",
            422: f"{_ANY_PROBLEM[422]}, or `text_refused`: `errors` says why the flows could not show it",
            503: _AWAY,
        },
        request=OverrideRequest,
    ),
    Operation(
        "/pins/reset",
        "proposePinReset",
        "Ask that a forgotten PIN is taken away, staged for approval; the subscriber then chooses another one.",
        {202: StagedAnswer},
        {
            404: "`pin_not_found`: nobody with a PIN is subscribed by this phone number",
            409: "`change_conflict`: a reset of this PIN waits already",
            503: _AWAY,
        },
        request=PinResetRequest,
    ),
    Operation(
        "/operations",
        "listOperations",
        "Registrations, openings and first PINs by their state, among them those in doubt.",
        {200: OperationsAnswer},
        {503: _AWAY},
        query=OperationsQuery,
    ),
    Operation(
        "/operations/{id}",
        "showOperation",
        "One registration, opening or first PIN.",
        {200: OperationEntry},
        {404: _ID_PROBLEM.format(what="operation"), 503: _AWAY},
        query=NoQuery,
    ),
    Operation(
        "/operations/{id}/retry",
        "retryOperation",
        "Take an unfinished operation up again; an opening is asked for at the bank before anything else.",
        {202: OperationEntry},
        {404: _ID_PROBLEM.format(what="operation"), 409: "`operation_finished`", 503: _AWAY},
        request=RetryRequest,
    ),
    Operation(
        "/notifications",
        "listNotifications",
        "SMS to subscribers and what became of them.",
        {200: NotificationsAnswer},
        {503: _AWAY},
        query=NotificationsQuery,
    ),
)

_FRAMES = (StartFrame, GapFrame, EventFrame)
_FEED_PROBLEMS: Mapping[int, str] = {
    400: "`bad_position`: `after` is no id of this feed",
    401: _ANY_PROBLEM[401],
    426: "`upgrade_required`: not a WebSocket handshake",
    500: _ANY_PROBLEM[500],
    503: "`too_many_listeners`, or `store_unavailable`: the feed is interrupted; try again later",
}
_FEED = """\
A WebSocket. Every text frame from the server is one JSON object: first a StartFrame, or a GapFrame when the feed
no longer has all that came after `after`; then an EventFrame per event, each once and in order. Whoever is cut off
comes again with the last `id` as `after`.

Close codes: 1001 the service stops; 1003 the client sent a message, and none is taken; 1011 a fault in the
service; 1013 the feed is interrupted; 4008 the client reads more slowly than events come;
4401 the key has expired or was revoked, or its operator was disabled.
"""

_HEADERS: Mapping[str, Mapping[str, Any]] = {
    "RequestId": {
        "name": REQUEST_ID_HEADER,
        "in": "header",
        "description": "Names the request in logs and answers; made when it is absent or of another form.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    },
    "IdempotencyKey": {
        "name": IDEMPOTENCY_HEADER,
        "in": "header",
        "description": "The same key and body have the same answer and no second effect.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
}


def document() -> dict[str, Any]:
    """Of the routes for programs."""
    return _document("USSD engine", PREFIX, _OPERATIONS)


def staff_document() -> dict[str, Any]:
    """Of the routes for the bank's staff."""
    described = _document("USSD engine, for staff", STAFF_PREFIX, _STAFF_OPERATIONS)
    described["paths"][FEED_PATH.removeprefix(STAFF_PREFIX)] = {"get": _feed()}
    return described


def _document(title: str, prefix: str, operations: tuple[Operation, ...]) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": "1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": prefix}],
        "security": [{"apiKey": []}],
        "paths": {operation.path: {operation.method: _operation(operation)} for operation in operations},
        "components": {
            "schemas": _schemas(operations),
            "parameters": _HEADERS,
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
    }


def route(described: dict[str, Any]) -> Handler:
    body = orjson.dumps(described)

    async def openapi(request: web.Request) -> web.Response:
        return answer(request, 200, body)

    return openapi


def _operation(operation: Operation) -> dict[str, Any]:
    headers = ["RequestId", "IdempotencyKey"] if operation.registers else ["RequestId"]
    parameters: list[dict[str, Any]] = [{"$ref": f"#/components/parameters/{name}"} for name in headers]
    if "{id}" in operation.path:
        id_ = {"type": "string", "pattern": "^[0-9A-Za-z-]{1,64}$"}
        parameters.append({"name": "id", "in": "path", "required": True, "schema": id_})
    taken = _ANY_PROBLEM.keys() - ({400, 408, 413, 415} if operation.query else set())
    problems = {status: _ANY_PROBLEM[status] for status in taken} | dict(operation.problems)
    answers = {str(status): _answer(model) for status, model in operation.answers.items()}
    described: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "parameters": parameters + _query_parameters(operation.query),
        "responses": answers | {str(status): _problem(problems[status]) for status in sorted(problems)},
    }
    if operation.request:
        content = {"schema": _ref(operation.request), "example": operation.request.example}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _query_parameters(query: type[BaseModel] | None) -> list[dict[str, Any]]:
    properties = query.model_json_schema()["properties"] if query and query.model_fields else {}
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]


def _feed() -> dict[str, Any]:
    after = {
        "name": "after",
        "in": "query",
        "description": "The last id that was read, or 0-0 for all that is kept. Without it: from now on.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,20}-[0-9]{1,20}$"},
    }
    frames = {
        "description": "The WebSocket is open; the schema is that of its text frames.",
        "content": {"application/json": {"schema": {"oneOf": [_ref(frame) for frame in _FRAMES]}}},
    }
    return {
        "operationId": "followEvents",
        "summary": "The operators' live feed: what happens, as it happens.",
        "description": _FEED,
        "parameters": [{"$ref": "#/components/parameters/RequestId"}, after],
        "responses": {"101": frames}
        | {str(status): _problem(words) for status, words in _FEED_PROBLEMS.items()},
    }


def _answer(model: type[BaseModel]) -> dict[str, Any]:
    return {
        "description": model.__doc__ or model.__name__,
        "content": {"application/json": {"schema": _ref(model)}},
    }


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {CONTENT_TYPE: {"schema": _ref(ProblemBody)}}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _schemas(operations: tuple[Operation, ...]) -> Any:
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemBody, "validation"): None}
    models |= dict.fromkeys((frame, "serialization") for frame in _FRAMES if operations is _STAFF_OPERATIONS)
    for operation in operations:
        if operation.request:
            models[operation.request, "validation"] = None
        models |= dict.fromkeys((model, "serialization") for model in operation.answers.values())
    _, schemas = models_json_schema(list(models), ref_template="#/components/schemas/{model}")
    return schemas["$defs"]
