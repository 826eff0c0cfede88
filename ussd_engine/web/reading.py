"""A request's body to a checked model: media type, size, strict JSON, then every wrong field at once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from ussd_engine.web.api_models import Reading, Request
from ussd_engine.web.problems import FieldError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web
    from pydantic_core import ErrorDetails

BODY_TIMEOUT_S = 10.0
"""A caller who sends half a body and falls silent does not hold a connection for longer."""

AnyRequest = TypeVar("AnyRequest", bound=Request)
AnyQuery = TypeVar("AnyQuery", bound=BaseModel)

_WORDS: Mapping[str, tuple[str, str]] = {
    "missing": ("required", "is required"),
    "extra_forbidden": ("unknown_field", "is not a field of this request"),
    "model_type": ("wrong_type", "must be a JSON object"),
    "list_type": ("wrong_type", "must be a list"),
    "string_type": ("wrong_type", "must be text"),
    "string_unicode": ("format", "must be valid Unicode"),
    "string_pattern_mismatch": ("format", "is empty, too long, or holds characters that do not belong there"),
    "string_too_short": ("too_short", "must have at least {min_length} characters"),
    "string_too_long": ("too_long", "must have at most {max_length} characters"),
    "literal_error": ("format", "must be one of {expected}"),
    "int_parsing": ("wrong_type", "must be a whole number"),
    "int_type": ("wrong_type", "must be a whole number"),
    "greater_than_equal": ("range", "must be at least {ge}"),
    "less_than_equal": ("range", "must be at most {le}"),
    "too_long": ("too_long", "may be at most {max_length} long"),
}
"""Ours for the validator's own findings; those of `api_models` bring their words along."""


async def read_body(request: web.Request, limit: int) -> bytes:
    """The whole body; a longer one than `limit`, which is the application's own limit too, is 413."""
    if request.content.is_eof():  # it came with the head, as a callback does: no timer is needed
        return await request.read()
    if (request.content_length or 0) > limit:
        raise Problem(413, "body_too_large", f"The request body may have {limit} bytes.")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return (
                await request.read()
            )  # 413 once a body that did not say its length has grown over the limit
    except TimeoutError:
        raise Problem(408, "body_timeout", "The request body did not come in time.") from None


async def read(request: web.Request, model: type[AnyRequest], against: Reading, limit: int) -> AnyRequest:
    _check_media_type(request)
    data = parse_json(await read_body(request, limit))
    try:
        return model.model_validate(data, context=against)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise Problem(
            422,
            "invalid_request",
            "One or more fields are wrong; `errors` names each of them.",
            errors=tuple(_field_error(detail) for detail in details),
        ) from None


def read_query(request: web.Request, model: type[AnyQuery]) -> AnyQuery:
    """The parameters of a request that has no body, each at most once."""
    twice = {name for name in request.query if len(request.query.getall(name)) > 1}
    if twice:
        errors = tuple(FieldError(name, "repeated", "stands more than once") for name in sorted(twice))
        raise _wrong_parameters(errors)
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise _wrong_parameters(tuple(_field_error(detail) for detail in details)) from None


def _wrong_parameters(errors: tuple[FieldError, ...]) -> Problem:
    detail = "One or more parameters are wrong; `errors` names each of them."
    return Problem(422, "invalid_request", detail, errors=errors)


def _check_media_type(request: web.Request) -> None:
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
        raise Problem(415, "unsupported_media_type", "Send the body as application/json in UTF-8.")


def parse_json(body: bytes) -> Any:
    """Strict JSON (RFC 8259) in UTF-8: no NaN, no key that stands twice, no half of a surrogate pair."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Problem(
            400, "malformed_json", "The request body is not JSON, or an object repeats a key."
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values for one key a proxy might check the first and we might use the last: neither is taken."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    for key in found:
        key.encode()  # raises ValueError on half of a surrogate pair, which no answer could name
    return found


def _refuse(_constant: str) -> NoReturn:
    raise ValueError


def _field_error(detail: ErrorDetails) -> FieldError:
    field = ".".join(str(part) for part in detail["loc"]) or "body"
    code, message = _WORDS.get(detail["type"], (detail["type"], detail["msg"]))
    return FieldError(field, code, message.format_map(detail.get("ctx", {})))
