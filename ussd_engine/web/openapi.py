"""The OpenAPI 3.1 document, made from the very models that read and write the bodies."""

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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web
    from aiohttp.typedefs import Handler
    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class _Operation:
    path: str
    operation_id: str
    summary: str
    request: type[Request]
    answers: Mapping[int, type[BaseModel]]
    problems: Mapping[int, str]

    @property
    def registers(self) -> bool:
        return self.path.endswith("/register")


_ANY_PROBLEM: Mapping[int, str] = {
    400: "`malformed_json`, `malformed_body`: the body cannot be read",
    401: "`unauthorized`: no valid API key",
    408: "`body_timeout`: the body did not come in time",
    413: "`body_too_large`",
    415: "`unsupported_media_type`: not application/json in UTF-8",
    422: "`invalid_request`: `errors` names every wrong field",
    500: "`internal_error`",
}
_UNAVAILABLE = (
    "`cbs_unavailable`: the core banking system does not answer; nothing was changed. `database_unavailable`,"
    " `no_answer_in_time`: a part of this service does not answer"
)
_FAILED = f"{_UNAVAILABLE}; the same Idempotency-Key may try again"
_BAD_KEY = f"{_ANY_PROBLEM[400]}, or `invalid_idempotency_key`"
_REUSED = f"{_ANY_PROBLEM[422]}, or `idempotency_key_reused`"

_OPERATIONS = (
    _Operation(
        "/subscription/check",
        "checkSubscription",
        "Is this phone number subscribed, and does the bank know it?",
        CheckRequest,
        {200: SubscriptionAnswer},
        {503: _UNAVAILABLE},
    ),
    _Operation(
        "/subscription/register",
        "registerSubscription",
        "Register an existing customer of the bank, staged for approval.",
        SubscriptionRequest,
        {201: RegisteredAnswer, 202: PendingAnswer},
        {
            400: _BAD_KEY,
            403: "`identity_not_verified`",
            404: "`customer_not_found`",
            409: "`already_subscribed`",
            422: _REUSED,
            503: _FAILED,
        },
    ),
    _Operation(
        "/account/register",
        "registerAccount",
        "Open an account for a customer whom the bank does not know yet.",
        AccountRequest,
        {201: AccountAnswer, 202: PendingAnswer},
        {
            400: _BAD_KEY,
            409: "`customer_exists`",
            422: f"{_REUSED}, or `rejected` by the bank",
            503: _FAILED,
        },
    ),
    _Operation(
        "/translations/fetch",
        "fetchTranslations",
        "The texts of the flows in one language.",
        TranslationsRequest,
        {200: TranslationsAnswer},
        {422: f"{_ANY_PROBLEM[422]}, or `unknown_flow`"},
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
service; 1013 the feed is interrupted; 4008 the client reads more slowly than events come.
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
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "USSD engine",
            "version": "1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": PREFIX}],
        "security": [{"apiKey": []}],
        "paths": {
            **{operation.path: {"post": _operation(operation)} for operation in _OPERATIONS},
            FEED_PATH: {"servers": [{"url": "/"}], "get": _feed()},
        },
        "components": {
            "schemas": _schemas(),
            "parameters": _HEADERS,
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
    }


def route() -> Handler:
    body = orjson.dumps(document())

    async def openapi(request: web.Request) -> web.Response:
        return answer(request, 200, body)

    return openapi


def _operation(operation: _Operation) -> dict[str, Any]:
    headers = ["RequestId", "IdempotencyKey"] if operation.registers else ["RequestId"]
    answers = {str(status): _answer(model) for status, model in operation.answers.items()}
    problems = {**_ANY_PROBLEM, **operation.problems}
    return {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in headers],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _ref(operation.request), "example": operation.request.example}
            },
        },
        "responses": answers | {str(status): _problem(problems[status]) for status in sorted(problems)},
    }


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


def _schemas() -> Any:
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemBody, "validation"): None}
    models |= dict.fromkeys((frame, "serialization") for frame in _FRAMES)
    for operation in _OPERATIONS:
        models[operation.request, "validation"] = None
        models |= dict.fromkeys((model, "serialization") for model in operation.answers.values())
    _, schemas = models_json_schema(list(models), ref_template="#/components/schemas/{model}")
    return schemas["$defs"]
