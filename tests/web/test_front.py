"""What holds for every JSON route before its own job begins: key, media type, size, form, request id."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.conftest import KEY, problem
from ussd_engine.access import Scope
from ussd_engine.web import reading
from ussd_engine.web.api_v1 import PREFIX
from ussd_engine.web.problems import CONTENT_TYPE

if TYPE_CHECKING:
    from tests.web.conftest import Front

ROUTES = ("/subscription/check", "/subscription/register", "/account/register", "/translations/fetch")
TEXTS = "/translations/fetch"
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


# --- the key --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "header", ["", "Bearer wrong", "Bearer", f"Basic {KEY}", KEY, f"Bearer {KEY}x", "Bearer cl\u00e9"]
)
async def test_without_the_key_nothing_is_answered(front: Front, route: str, header: str) -> None:
    """Every JSON route wants the key, before it looks at anything else."""
    reply = await front.api(route, raw=b"not even JSON", Authorization=header, Content_Type="text/plain")
    assert problem(reply) == (401, "unauthorized")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("route", "scope"),
    [
        ("/subscription/check", Scope.SUBSCRIPTION),
        ("/subscription/register", Scope.SUBSCRIPTION),
        ("/account/register", Scope.ACCOUNT),
        ("/translations/fetch", Scope.TRANSLATIONS),
    ],
)
async def test_a_key_without_the_scope_of_a_route_is_forbidden(
    front: Front, route: str, scope: Scope
) -> None:
    """Whatever else the key opens, and before anything else is looked at."""
    front.callers.scopes = frozenset(Scope) - {scope}
    reply = await front.api(route, raw=b"not even JSON", Content_Type="text/plain")
    assert problem(reply) == (403, "forbidden")


async def test_the_scheme_is_read_in_any_case(front: Front) -> None:
    """The name of a scheme has no case (RFC 9110, 11.1)."""
    assert (await front.api(TEXTS, {}, Authorization=f"bearer {KEY}")).status == 200


# --- the body -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"language": "\xff"}',
        b'{"language": NaN}',
        b'{"language": -Infinity}',
        b'{"language": "en", "language": "sw"}',
        b'{"x": {"y": 1, "y": 2}}',
        b'\xef\xbb\xbf{"language": "en"}',
        b'{"\\ud800": 1}',
        b"[" * 60_000,
        b'{"x": ' + b"9" * 5000 + b"}",
    ],
    ids=repr,
)
async def test_malformed_json_is_refused(front: Front, raw: bytes) -> None:
    """What two readers could understand differently is not read at all."""
    assert problem(await front.api(TEXTS, raw=raw)) == (400, "malformed_json")


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
async def test_another_media_type_is_refused(front: Front, media_type: str) -> None:
    """A JSON route takes JSON in UTF-8."""
    reply = await front.api(TEXTS, {}, Content_Type=media_type)
    assert problem(reply) == (415, "unsupported_media_type")


async def test_parameters_of_the_media_type_are_fine(front: Front) -> None:
    """`charset=utf-8` says what holds anyway."""
    assert (await front.api(TEXTS, {}, Content_Type="Application/JSON; charset=UTF-8")).status == 200


async def test_a_body_over_the_limit_is_refused(front: Front) -> None:
    """64 KiB are read, not a byte more: announced, sent in chunks, or grown by decompression."""
    exact = b'{"flow": null}'.ljust(65536)
    assert (await front.api(TEXTS, raw=exact)).status == 200
    assert problem(await front.api(TEXTS, raw=exact + b" ")) == (413, "body_too_large")
    packed = gzip.compress(b" " * 10_000_000)
    assert problem(await front.api(TEXTS, raw=packed, Content_Encoding="gzip")) == (413, "body_too_large")


@pytest.mark.parametrize("path", [PREFIX + TEXTS, "/ussd/africastalking"])
async def test_a_body_that_announces_too_much_is_not_waited_for(front: Front, path: str) -> None:
    """A length over the limit is refused before any of the body has come."""
    answer = await spoken(front, head(path, "Content-Length: 65537"))
    assert b" 413 " in answer.partition(b"\r\n")[0]


async def test_a_body_in_chunks_is_counted(front: Front) -> None:
    """A body that does not say its length is cut off at the limit as well."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 8192

    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    reply = await front.call("POST", PREFIX + TEXTS, data=endless(), headers=headers)
    assert problem(reply) == (413, "body_too_large")


async def spoken(front: Front, *parts: bytes) -> bytes:
    """Say `parts` one after the other on a connection of our own; what comes back until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)  # so that the head is read, and its handler begun, before the body comes
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


def head(path: str, *headers: str) -> bytes:
    given = (
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {KEY}",
        "Content-Type: application/json",
    )
    return "\r\n".join([*given, "Connection: close", *headers, "", ""]).encode()


@pytest.mark.parametrize("path", [PREFIX + TEXTS, "/ussd/africastalking"])
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Encoding: gzip", "Content-Length: 5"], b"plain"),
        (["Content-Encoding: gzip", "Transfer-Encoding: chunked"], b"5\r\nplain\r\n0\r\n\r\n"),
    ],
)
async def test_a_body_that_belies_its_headers_is_refused(
    front: Front, path: str, headers: list[str], body: bytes
) -> None:
    """A false content encoding is the caller's fault, not ours."""
    answer = await spoken(front, head(path, *headers), body)
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert [entry for entry in front.logs if entry["log_level"] == "error"] == []


@pytest.mark.parametrize("path", [PREFIX + TEXTS, "/ussd/africastalking"])
@pytest.mark.parametrize("body", [b"", b"zz\r\n", b"5\r\n12345\r\n"])
async def test_a_body_that_does_not_end_is_not_waited_for(
    front: Front, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes
) -> None:
    """Half a body, or broken chunks, hold a connection for a while and not for ever."""
    monkeypatch.setattr(reading, "BODY_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(head(path, "Transfer-Encoding: chunked"))
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.write(body)
    answer = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()
    assert b" 408 " in answer


@pytest.mark.parametrize("path", [PREFIX + TEXTS, "/ussd/africastalking"])
async def test_a_caller_who_hangs_up_is_no_fault_of_ours(front: Front, path: str) -> None:
    """A body that ends early leaves nothing to answer, and no error in the log."""
    await spoken(front, head(path, "Content-Length: 500"), b"sessionId=1")
    assert [entry["event"] for entry in front.logs if entry["log_level"] == "error"] == []


# --- addresses and methods ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/nothing", f"{PREFIX}/nothing", "/ussd/unknown", "/ussd/unknown/events", "/ussd"]
)
async def test_an_unknown_address_is_a_problem(front: Front, path: str) -> None:
    """There is one form of refusal, also for what is not there."""
    assert problem(await front.call("POST", path)) == (404, "not_found")


@pytest.mark.parametrize(
    "path", [*(PREFIX + route for route in ROUTES), "/ussd/africastalking", "/ussd/africastalking/events"]
)
async def test_another_method_is_refused(front: Front, path: str) -> None:
    """A wrong method is told which one is right."""
    reply = await front.call("GET", path)
    assert problem(reply) == (405, "method_not_allowed")
    assert reply.headers["Allow"] == "POST"


# --- request ids and headers ----------------------------------------------------------------------------


async def test_a_sane_request_id_is_kept(front: Front) -> None:
    """A caller's id comes back, in the header and in a problem."""
    assert (await front.api(TEXTS, {}, X_Request_Id="req-7.a")).headers["X-Request-Id"] == "req-7.a"
    assert (await front.api(TEXTS, raw=b"{", X_Request_Id="req-8")).json["request_id"] == "req-8"


async def test_what_a_service_logs_names_the_request(front: Front) -> None:
    """Every line that is written on the way of a request carries its id, and no other request's."""
    await front.api(ROUTES[0], {"phone_number": "+254700000001"}, X_Request_Id="req-1")
    await front.api(ROUTES[0], {"phone_number": "+254700000001"}, X_Request_Id="req-2")
    assert front.subscriptions.log_context == {"request_id": "req-2"}


@pytest.mark.parametrize("given_id", ["", "a b", "x" * 65, "254700000001", "<x>"])
async def test_any_other_request_id_is_replaced(front: Front, given_id: str) -> None:
    """What is too long, odd, or could be a phone number does not get into the log."""
    made = (await front.api(TEXTS, {}, X_Request_Id=given_id)).headers["X-Request-Id"]
    assert made != given_id
    assert len(made) == 32


async def test_an_unforeseen_error_is_found_by_its_request_id(front: Front) -> None:
    """The log names the request, the kind of error and where it rose, and nothing of what it said."""
    front.subscriptions.error = RuntimeError("Jane +254700000001")
    await front.api(ROUTES[0], {"phone_number": "+254700000001"}, X_Request_Id="req-9")
    (entry,) = front.logs
    assert (entry["request_id"], entry["error"]) == ("req-9", "RuntimeError")
    assert any("check_subscription" in frame for frame in entry["at"])


async def test_answers_carry_the_security_headers(front: Front) -> None:
    """Answers are not stored, not sniffed, not framed, and do not tell what software gave them."""
    for reply in (
        await front.api(TEXTS, {}),
        await front.api(TEXTS, raw=b"{"),
        await front.call("GET", "/healthz"),
    ):
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Server"] == "ussd-engine"
    assert (await front.dial()).headers["Server"] == "ussd-engine"


# --- whatever comes -------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        "phone_number",
        "date_of_birth",
        "first_name",
        "last_name",
        "language",
        "flow",
        "keys",
        "gender",
        "product",
    ]
)


def refused_or_answered(status: int, media_type: str) -> None:
    assert status < 500
    assert media_type == (CONTENT_TYPE if status >= 400 else "application/json")


@FUZZ
@given(route=st.sampled_from(ROUTES), raw=st.binary(max_size=300))
async def test_no_bytes_break_a_json_route(front: Front, route: str, raw: bytes) -> None:
    """Whatever bytes come, the answer is an answer or a problem, and never our fault."""
    reply = await front.api(route, raw=raw)
    refused_or_answered(reply.status, reply.headers["Content-Type"].partition(";")[0])


@FUZZ
@given(
    route=st.sampled_from(ROUTES),
    body=st.dictionaries(FIELDS | st.text(max_size=12), JSON, max_size=6) | JSON,
)
async def test_no_json_breaks_a_json_route(front: Front, route: str, body: object) -> None:
    """Whatever JSON comes, the answer is an answer or a problem, and never our fault."""
    reply = await front.api(route, body)
    refused_or_answered(reply.status, reply.headers["Content-Type"].partition(";")[0])


@FUZZ
@given(
    path=st.sampled_from(["/ussd/africastalking", "/ussd/africastalking/events"]), raw=st.binary(max_size=300)
)
async def test_no_bytes_break_a_gateway_route(front: Front, path: str, raw: bytes) -> None:
    """Whatever bytes come, a gateway gets a screen, or is told in plain text what is missing."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await front.call("POST", path, data=raw, headers=headers)
    assert reply.status in {200, 400}
    assert reply.headers["Content-Type"].startswith("text/plain")


async def test_bytes_that_are_not_http_are_not_quoted_in_a_log(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's own log does not repeat what it could not read."""
    answer = await spoken(front, b"GET / HTTP/1.1\r\nHost: x\r\npin 4929\r\n\r\n")
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert "4929" not in caplog.text
