"""The four JSON routes: what they answer, and what they refuse in which words."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import pytest

from tests.web.conftest import KEY, problem, wrong_fields
from ussd_engine.errors import (
    AccountRejected,
    AlreadySubscribed,
    BankUnavailable,
    CustomerExists,
    CustomerNotFound,
    IdentityNotVerified,
    NotAllowed,
    Refusal,
    SessionCorrupt,
    StoreUnavailable,
)
from ussd_engine.services.operations import OperationPending
from ussd_engine.services.subscription import SubscriptionStatus
from ussd_engine.web.api_v1 import PREFIX

if TYPE_CHECKING:
    from tests.web.conftest import Front

CHECK, SUBSCRIBE = "/subscription/check", "/subscription/register"
OPEN, TEXTS = "/account/register", "/translations/fetch"
SUBSCRIBER = {"phone_number": "+254700000001", "date_of_birth": "1990-01-15"}
NEWCOMER = {
    "phone_number": "+254700000123",
    "first_name": "Jane",
    "last_name": "Sample",
    "date_of_birth": "1995-06-30",
}


# --- answers --------------------------------------------------------------------------------------------


async def test_check_answers_the_status(front: Front) -> None:
    """A check tells whether the number is subscribed and whether the bank knows it."""
    reply = await front.api(CHECK, {"phone_number": "+254700000001"})
    assert reply.status == 200
    assert reply.json == {
        "status": "subscribed",
        "subscribed": True,
        "exists_on_cbs": True,
        "language": "sw",
        "customer_id": "c-1",
        "user_id": "u-1",
    }


async def test_check_answers_nulls_for_a_new_customer(front: Front) -> None:
    """What is not known is null, never absent."""
    front.subscriptions.status = SubscriptionStatus("new_customer", False, None, None, None)
    body = (await front.api(CHECK, {"phone_number": "+254700000123"})).json
    assert body["subscribed"] is False
    assert (body["language"], body["customer_id"], body["user_id"]) == (None, None, None)


@pytest.mark.parametrize(
    "written", ["0700000001", "+254 700 000 001", "254700000001", "(0700) 000-001", "000254700000001"]
)
async def test_phone_numbers_are_taken_in_any_usual_form(front: Front, written: str) -> None:
    """However a number is written, the services see its one E.164 form."""
    assert (await front.api(CHECK, {"phone_number": written})).status == 200
    assert front.subscriptions.asked == ["+254700000001"]


async def test_register_subscription(front: Front) -> None:
    """A registration is staged; the service gets the checked values and the deadline."""
    reply = await front.api(SUBSCRIBE, {**SUBSCRIBER, "language": "sw"})
    assert (reply.status, reply.json) == (
        201,
        {"status": "staged", "customer_id": "c-1", "user_id": "u-1", "change_id": "ch-1"},
    )
    (_, request, wait_s) = front.subscriptions.requests[0]
    assert (request.phone_number, request.date_of_birth) == ("+254700000001", date(1990, 1, 15))
    assert (request.language, request.channel, wait_s) == ("sw", "api", 25.0)


async def test_register_account(front: Front) -> None:
    """An opening answers the account number; absent fields are absent, the language is the default one."""
    reply = await front.api(OPEN, {**NEWCOMER, "gender": None})
    assert (reply.status, reply.json) == (
        201,
        {"status": "opened", "account_number": "0100000001", "customer_id": "c-1", "change_id": "ch-1"},
    )
    (_, request, _) = front.accounts.requests[0]
    assert (request.language, request.national_id, request.gender, request.product) == (
        "en",
        None,
        None,
        None,
    )


async def test_an_outcome_not_known_yet_is_pending(front: Front) -> None:
    """What is not finished within the deadline is accepted, with the id of the operation."""
    front.subscriptions.outcome = front.accounts.outcome = OperationPending("op-1")
    for path, body in ((SUBSCRIBE, SUBSCRIBER), (OPEN, NEWCOMER)):
        reply = await front.api(path, body)
        assert (reply.status, reply.json) == (202, {"status": "pending", "operation_id": "op-1"})


async def test_translations(front: Front) -> None:
    """Texts come in the language asked for; another language falls back, and says so."""
    assert (await front.api(TEXTS, {"language": "sw"})).json == {
        "language": "sw",
        "version": "v1",
        "fallback": False,
        "not_modified": False,
        "translations": {"onboarding.welcome": "Karibu"},
    }
    known = (await front.api(TEXTS, {"language": "sw", "version": "v1"})).json
    assert (known["not_modified"], known["translations"]) == (True, None)
    assert (await front.api(TEXTS, {"language": "fr-CH"})).json["fallback"] is True
    assert (await front.api(TEXTS, {"keys": ["x"]})).json["translations"] == {}
    assert problem(await front.api(TEXTS, {"flow": "none"})) == (422, "unknown_flow")


# --- refusals of the business ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "error", "status", "code"),
    [
        (SUBSCRIBE, SUBSCRIBER, CustomerNotFound("x"), 404, "customer_not_found"),
        (SUBSCRIBE, SUBSCRIBER, IdentityNotVerified("x"), 403, "identity_not_verified"),
        (SUBSCRIBE, SUBSCRIBER, AlreadySubscribed("x"), 409, "already_subscribed"),
        (CHECK, {"phone_number": "+254700000001"}, NotAllowed("x"), 403, "not_allowed"),
        (SUBSCRIBE, SUBSCRIBER, NotAllowed("x"), 403, "not_allowed"),
        (OPEN, NEWCOMER, NotAllowed("x"), 403, "not_allowed"),
        (OPEN, NEWCOMER, CustomerExists("x"), 409, "customer_exists"),
        (OPEN, NEWCOMER, AccountRejected("x"), 422, "rejected"),
        (OPEN, NEWCOMER, Refusal("x"), 422, "refused"),
        (CHECK, {"phone_number": "+254700000001"}, BankUnavailable("x"), 503, "cbs_unavailable"),
        (SUBSCRIBE, SUBSCRIBER, BankUnavailable("x"), 503, "cbs_unavailable"),
        (OPEN, NEWCOMER, BankUnavailable("x"), 503, "cbs_unavailable"),
        (OPEN, NEWCOMER, StoreUnavailable("x"), 503, "store_unavailable"),
        (OPEN, NEWCOMER, SessionCorrupt("+254700000123"), 500, "internal_error"),
        (OPEN, NEWCOMER, RuntimeError("Jane +254700000123"), 500, "internal_error"),
        (OPEN, NEWCOMER, TimeoutError(), 500, "internal_error"),
    ],
)
async def test_what_a_service_raises_has_its_status_and_code(
    front: Front, path: str, body: object, error: Exception, status: int, code: str
) -> None:
    """Each refusal has one status and one code, and the words of an exception never leave the house."""
    front.subscriptions.error = front.accounts.error = error
    reply = await front.api(path, body)
    assert problem(reply) == (status, code)
    assert "Jane" not in reply.json["detail"]
    assert ("Retry-After" in reply.headers) == (status == 503)
    assert [entry["event"] for entry in front.logs] == (["request_failed"] if status == 500 else [])


async def test_a_wrong_and_an_absent_date_of_birth_read_the_same(front: Front) -> None:
    """Nobody learns from the answer whether the bank has a date of birth."""
    replies = []
    for words in ("does not match", "the bank has none"):
        front.subscriptions.error = IdentityNotVerified(words)
        body = (await front.api(SUBSCRIBE, SUBSCRIBER)).json
        replies.append({key: value for key, value in body.items() if key != "request_id"})
    assert replies[0] == replies[1]


# --- wrong fields ---------------------------------------------------------------------------------------


async def test_every_wrong_field_is_named_at_once(front: Front) -> None:
    """A caller mends a request in one go: wrong, missing and unknown fields all are named."""
    reply = await front.api(
        OPEN, {"phone_number": 700, "first_name": "", "date_of_birth": "30.06.1995", "nick": "J"}
    )
    assert wrong_fields(reply) == {
        "phone_number": "wrong_type",
        "first_name": "too_short",
        "last_name": "required",
        "date_of_birth": "date_format",
        "nick": "unknown_field",
    }
    assert front.accounts.requests == []


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("phone_number", "", "too_short"),
        ("phone_number", "12", "phone_number"),
        ("phone_number", "+1-800-FLOWERS", "phone_number"),
        ("phone_number", "+254700000001 ext. 5", "phone_number"),
        ("phone_number", "+" + "2" * 40, "too_long"),
        ("phone_number", None, "wrong_type"),
        ("phone_number", "\ud800", "format"),
        ("date_of_birth", "2026-07-01", "date_range"),
        ("date_of_birth", "1899-12-31", "date_range"),
        ("date_of_birth", "1995-02-30", "date_format"),
        ("date_of_birth", "19950630", "date_format"),
        ("date_of_birth", "1995-06-30T00:00:00", "date_format"),
        ("date_of_birth", "\u0661995-06-30", "date_format"),
        ("date_of_birth", 804470400, "wrong_type"),
        ("first_name", "J" * 51, "too_long"),
        ("first_name", "Jane\n", "ok"),
        ("first_name", "Ja\nne", "name"),
        ("first_name", "J\u0000", "name"),
        ("first_name", "Jane2", "name"),
        ("first_name", "-", "name"),
        ("first_name", "<b>", "name"),
        ("first_name", "Jane\u200b", "name"),
        ("first_name", "   ", "too_short"),
        ("first_name", "Ng'ang'a", "ok"),
        ("first_name", "Ama\u0301", "ok"),
        ("first_name", "\u12a0\u1260\u1260", "ok"),
        ("last_name", "van der Sample-Jr.", "ok"),
        ("language", "fr", "language"),
        ("language", "EN", "language"),
        ("language", "e", "too_short"),
        ("national_id", "A" * 33, "format"),
        ("national_id", "12 34", "format"),
        ("national_id", "12345678", "ok"),
        ("gender", "female", "ok"),
        ("gender", "f/m", "format"),
        ("product", "savings-01", "ok"),
        ("product", ["savings"], "wrong_type"),
        ("product", "savings\n", "format"),
    ],
)
async def test_each_field_has_its_rule(front: Front, field: str, value: object, code: str) -> None:
    """A field that breaks its rule is named with a code, and nothing is begun."""
    reply = await front.api(OPEN, {**NEWCOMER, field: value})
    if code == "ok":
        assert reply.status == 201
    else:
        assert wrong_fields(reply) == {field: code}
        assert front.accounts.requests == []


async def test_names_are_kept_in_one_form(front: Front) -> None:
    """A name is trimmed and composed, so that one person has one spelling."""
    await front.api(OPEN, {**NEWCOMER, "first_name": "  Ame\u0301lie "})
    assert front.accounts.requests[0][1].first_name == "Am\u00e9lie"


async def test_messages_never_repeat_a_value(front: Front) -> None:
    """What was sent in a wrong field may be somebody's secret put in the wrong place."""
    wrong = {
        "phone_number": "hunter2",
        "date_of_birth": "hunter2",
        "language": "hunter2",
        "product": "hunter2 ",
    }
    reply = await front.api(OPEN, {**NEWCOMER, **wrong, "first_name": "hunter2", "national_id": "hunter2 "})
    assert len(reply.json["errors"]) == 6
    assert b"hunter2" not in reply.body


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ([], {"body": "wrong_type"}),
        ("text", {"body": "wrong_type"}),
        (None, {"body": "wrong_type"}),
        ({"keys": ["a", 5]}, {"keys.1": "wrong_type"}),
        ({"keys": "a"}, {"keys": "wrong_type"}),
        ({"keys": ["a"] * 501}, {"keys": "too_long"}),
        ({"flow": "../x"}, {"flow": "format"}),
        ({"language": "english"}, {"language": "format"}),
    ],
)
async def test_wrong_shapes_are_named(front: Front, body: object, fields: dict[str, str]) -> None:
    """A finding names its place, also within a list and for the body as a whole."""
    assert wrong_fields(await front.api(TEXTS, body)) == fields


# --- idempotency ----------------------------------------------------------------------------------------


async def test_the_same_key_and_body_are_the_same_workflow(front: Front) -> None:
    """A repeated request meets the workflow of the first, however the body is laid out or the number written."""
    await front.api(OPEN, NEWCOMER, Idempotency_Key="k-1")
    again = {**dict(reversed(NEWCOMER.items())), "phone_number": "0700 000 123"}
    await front.api(OPEN, again, Idempotency_Key="k-1")
    assert [request[0] for request in front.accounts.requests] == ["api:account/register:k-1"] * 2


async def test_the_same_key_with_another_body_is_refused(front: Front) -> None:
    """A key stands for one request only."""
    await front.api(SUBSCRIBE, SUBSCRIBER, Idempotency_Key="k-1")
    other = {**SUBSCRIBER, "date_of_birth": "1990-01-16"}
    reply = await front.api(SUBSCRIBE, other, Idempotency_Key="k-1")
    assert problem(reply) == (422, "idempotency_key_reused")
    assert len(front.subscriptions.requests) == 1


async def test_a_key_is_its_callers_own(front: Front) -> None:
    """Two programs with the same Idempotency-Key are two requests, whatever each of them asks."""
    for name, number in (("key:one", "0722000001"), ("key:two", "0722000002")):
        front.callers.name = name
        body = {**NEWCOMER, "phone_number": number}
        assert (await front.api(OPEN, body, Idempotency_Key="k-1")).status == 201
    one, two = [workflow_id for workflow_id, _, _ in front.accounts.requests]
    assert one != two


@pytest.mark.parametrize(("error", "freed"), [(BankUnavailable("x"), 1), (CustomerExists("x"), 0)])
async def test_a_key_is_freed_when_nothing_was_changed(front: Front, error: Exception, freed: int) -> None:
    """A caller whom a silent bank sent away may come back with the same key; a refusal stands."""
    front.accounts.error = error
    await front.api(OPEN, NEWCOMER, Idempotency_Key="k-1")
    assert len(front.idempotency.freed) == freed


async def test_without_a_key_every_request_is_its_own(front: Front) -> None:
    """Two requests without a key are two workflows."""
    for _ in range(2):
        await front.api(SUBSCRIBE, SUBSCRIBER)
    assert len({request[0] for request in front.subscriptions.requests}) == 2


@pytest.mark.parametrize("key", ["k 1", "k" * 256, "cl\u00e9", "\t"])
async def test_a_key_of_another_form_is_refused(front: Front, key: str) -> None:
    """A key that could be cut or changed on the way is refused, not guessed at."""
    reply = await front.api(OPEN, NEWCOMER, Idempotency_Key=key)
    assert problem(reply) == (400, "invalid_idempotency_key")
    assert front.accounts.requests == []


async def test_two_keys_are_refused(front: Front) -> None:
    """Of two keys neither is the one that was meant."""
    headers = [
        ("Authorization", f"Bearer {KEY}"),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", "k-1"),
        ("Idempotency-Key", "k-2"),
    ]
    reply = await front.call("POST", PREFIX + OPEN, data=json.dumps(NEWCOMER), headers=headers)
    assert problem(reply) == (400, "invalid_idempotency_key")
