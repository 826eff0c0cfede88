"""The session callback: the documented wire format, and the shape of a session captured at the sandbox."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.gateways import GATEWAYS
from adapters.gateways.africastalking import (
    MAX_NETWORK_CHARS,
    MAX_SESSION_ID_CHARS,
    MAX_TEXT_CHARS,
    AfricasTalking,
)
from adapters.gateways.form import MAX_BODY_BYTES, MAX_PAIRS
from ussd_engine.errors import BadCallback
from ussd_engine.ports import Callback

FORM = "application/x-www-form-urlencoded"
HEAD = b"sessionId=sample-session-a&phoneNumber=%2B254700000001&networkCode=99999&serviceCode=%2A384%2A000%23"
FIELDS = {
    "sessionId": "sample-session-a",
    "phoneNumber": "+254700000001",
    "networkCode": "99999",
    "serviceCode": "*384*000#",
    "text": "",
}
DIAL = Callback("at", "sample-session-a", "+254700000001", "*384*000#", "99999", "")

gateway = AfricasTalking("at")


def encode(**changes: str) -> bytes:
    return urlencode(FIELDS | changes).encode()


def without(field: str) -> bytes:
    return urlencode({name: value for name, value in FIELDS.items() if name != field}).encode()


def refused(body: bytes, content_type: str = FORM) -> BadCallback:
    with pytest.raises(BadCallback) as caught:
        gateway.parse(body, content_type)
    return caught.value


def refused_field(body: bytes, content_type: str) -> str | None:
    try:
        gateway.parse(body, content_type)
    except BadCallback as error:
        return error.field
    return None


@pytest.mark.parametrize(
    ("tail", "transcript"),
    [
        pytest.param(b"&text=", "", id="a plain dial"),
        pytest.param(b"&text", "", id="an empty field without its equals sign"),
        pytest.param(b"&text=1", "1", id="the first choice"),
        pytest.param(b"&text=1%2A1", "1*1", id="the same key twice"),
        pytest.param(b"&text=1*1", "1*1", id="an unescaped star"),
        pytest.param(b"&text=1%2a1", "1*1", id="lower-case hexadecimal digits"),
        pytest.param(b"&text=1%2A", "1*", id="an empty answer after a choice"),
        pytest.param(b"&text=1%2A%2A", "1**", id="a star typed by the subscriber"),
        pytest.param(b"&text=%2A%2A%2A", "***", id="nothing but stars"),
        pytest.param(b"&text=3%2A1", "3*1", id="a deep dial"),
        pytest.param(b"&text=+1+", " 1 ", id="spaces at both ends"),
        pytest.param(
            b"&text=1%2AA%2BB+%26+C%3D10%25", "1*A+B & C=10%", id="characters that the form reserves"
        ),
        pytest.param(b"&text=a=b", "a=b", id="an unescaped equals sign"),
        pytest.param(b"&text=Z%C3%B6e", "Z\u00f6e", id="escaped UTF-8"),
        pytest.param("&text=Z\u00f6e".encode(), "Z\u00f6e", id="raw UTF-8"),
        pytest.param(b"&text=1&text2=x&later=%7E", "1", id="fields that nobody knows"),
        pytest.param(b"&&te%78t=1&", "1", id="an escaped name, and empty pairs"),
    ],
)
def test_transcript_is_kept_byte_for_byte(tail: bytes, transcript: str) -> None:
    """What the subscriber typed arrives exactly as typed: nothing is stripped, split or dropped."""
    assert gateway.parse(HEAD + tail, FORM) == replace(DIAL, transcript=transcript)


def test_captured_session_of_four_steps() -> None:
    """Each callback of a session repeats its id, caller and code; its transcript grows by one answer."""
    session = "sessionId=ATUid_00112233445566778899aabbccddeeff&serviceCode=%2A384%2A5100%23"
    head = session + "&phoneNumber=%2B254711000001&networkCode=99999&text="
    steps = [gateway.parse((head + text).encode(), FORM) for text in ("", "1", "1%2A1", "1%2A1%2A2")]
    assert [step.transcript for step in steps] == ["", "1", "1*1", "1*1*2"]
    assert {replace(step, transcript="") for step in steps} == {
        Callback("at", "ATUid_00112233445566778899aabbccddeeff", "+254711000001", "*384*5100#", "99999", "")
    }


def test_caller_is_reported_as_sent() -> None:
    """A second caller in one session is told apart; judging the conflict is not the gateway's business."""
    second = gateway.parse(encode(phoneNumber="+254700000002", text="1*1"), FORM)
    assert (second.session_id, second.phone_number) == ("sample-session-a", "+254700000002")


@pytest.mark.parametrize(
    "content_type",
    ["", FORM, f"{FORM}; charset=UTF-8", f"{FORM};charset=utf-8", "Application/X-WWW-Form-URLEncoded"],
)
def test_form_content_types_are_taken(content_type: str) -> None:
    """A form is a form with or without a charset, in any case, and when the content type is missing."""
    assert gateway.parse(encode(), content_type) == DIAL


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain"]
)
def test_other_content_types_are_refused(content_type: str) -> None:
    """A body that does not claim to be a form is not guessed at."""
    assert refused(encode(), content_type).field == "Content-Type"


@pytest.mark.parametrize("field", ["sessionId", "phoneNumber", "serviceCode", "text"])
def test_required_field_is_named_when_it_is_missing(field: str) -> None:
    """A request without one of the required keys is no callback, and the refusal names the key."""
    error = refused(without(field))
    assert (error.field, error.reason) == (field, "is missing")


@pytest.mark.parametrize("field", [*FIELDS])
def test_field_that_stands_twice_is_refused(field: str) -> None:
    """Of two values for one field neither is picked, even when they are equal."""
    assert refused(encode(text="1") + f"&{field}=1".encode()).field == field


def test_unknown_field_may_stand_twice() -> None:
    """What nobody reads cannot contradict itself."""
    assert gateway.parse(encode() + b"&x=1&x=2", FORM) == DIAL


@pytest.mark.parametrize("code", ["99999", "63902", "12345", "unheard-of", ""])
def test_network_codes_are_an_open_set(code: str) -> None:
    """A network code that we do not know never fails a callback."""
    assert gateway.parse(encode(networkCode=code), FORM).network == code


def test_network_may_be_absent() -> None:
    """A callback without a network code is one from an unnamed network."""
    assert gateway.parse(without("networkCode"), FORM).network == ""


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(HEAD + b"&text=%ZZ", "text", id="no hexadecimal digits"),
        pytest.param(HEAD + b"&text=1%2", "text", id="cut short"),
        pytest.param(HEAD + b"&text=%", "text", id="nothing after the percent sign"),
        pytest.param(HEAD + b"&text=% 2A", "text", id="a space between"),
        pytest.param(HEAD + b"&text=%FF", "text", id="an escaped byte that is no UTF-8"),
        pytest.param(HEAD + b"&text=\xff", "text", id="a raw byte that is no UTF-8"),
        pytest.param(HEAD + b"&text=%ED%A0%80", "text", id="a surrogate"),
        pytest.param(HEAD + b"&text=%C0%80", "text", id="an overlong NUL"),
        pytest.param(HEAD + b"&text=&unexpected=%ZZ", "body", id="a broken escape in an unknown field"),
        pytest.param(HEAD + b"&text=&%ZZ=1", "body", id="a broken escape in a name"),
        pytest.param(HEAD + b"&text=&unexpected=%FF", "body", id="no UTF-8 in an unknown field"),
    ],
)
def test_undecodable_bodies_are_refused(body: bytes, field: str) -> None:
    """A body that cannot be decoded for certain is not decoded at all."""
    assert refused(body).field == field


@pytest.mark.parametrize(
    "number",
    [
        "",
        "+",
        "254700000001",
        "0700000001",
        "+254 700 000001",
        "++254700000001",
        "+2547000000010000",
        "+25470000000\u0661",
        "+254700000001\n",
        "+254700000001\x00",
        "anonymous",
        "  254700000001",
        " +254700000001",
    ],
)
@pytest.mark.parametrize("accept", [True, False])
def test_phone_number_must_be_e164(number: str, *, accept: bool) -> None:
    """Only a plus sign and 7 to 15 digits is a caller; no other spelling is guessed at."""
    lenient = AfricasTalking("at", accept_unescaped_plus=accept)
    with pytest.raises(BadCallback) as caught:
        lenient.parse(encode(phoneNumber=number), FORM)
    assert caught.value.field == "phoneNumber"


def test_unescaped_plus_is_refused_with_its_cause() -> None:
    """A plus sign that came as a space is explained to whoever must mend it."""
    error = refused(encode().replace(b"%2B", b"+"))
    assert error.field == "phoneNumber"
    assert "%2B" in error.reason
    assert "accept_unescaped_plus" in error.reason


def test_unescaped_plus_is_repaired_when_configured() -> None:
    """The operator may accept a gateway that forgets to escape the plus sign."""
    lenient = AfricasTalking("at", accept_unescaped_plus=True)
    assert lenient.parse(encode().replace(b"%2B", b"+"), FORM) == DIAL
    assert lenient.parse(encode(), FORM) == DIAL


@pytest.mark.parametrize("code", ["*384*000#", "*384#", "384", "*384*000*5#", "#100#"])
def test_service_codes_are_taken_as_dialled(code: str) -> None:
    """Any string of dialling characters is a service code, and it is kept as it came."""
    assert gateway.parse(encode(serviceCode=code), FORM).service_code == code


@pytest.mark.parametrize("code", ["", "*384*\x00#", "*384 000#", "bank", "*" * 41, "*38\u0664#"])
def test_service_code_that_no_phone_can_dial_is_refused(code: str) -> None:
    """A service code holds digits, stars and hashes only."""
    assert refused(encode(serviceCode=code)).field == "serviceCode"


@pytest.mark.parametrize("character", ["\x00", "\n", "\r", "\x1b", "\x7f", "\u2028", "\u00e9"])
@pytest.mark.parametrize("field", ["sessionId", "networkCode"])
def test_ids_hold_no_control_characters(field: str, character: str) -> None:
    """An id stands in keys and logs, so a character that could forge a line is refused."""
    assert refused(encode(**{field: f"a{character}b"})).field == field


def test_session_id_is_not_empty() -> None:
    """Two sessions without an id would be one."""
    assert refused(encode(sessionId="")).field == "sessionId"


@pytest.mark.parametrize(
    ("field", "longest"),
    [("sessionId", MAX_SESSION_ID_CHARS), ("networkCode", MAX_NETWORK_CHARS), ("text", MAX_TEXT_CHARS)],
)
def test_lengths_are_bounded(field: str, longest: int) -> None:
    """Every field is taken up to its documented length and refused beyond it."""
    gateway.parse(encode(**{field: "1" * longest}), FORM)
    assert refused(encode(**{field: "1" * (longest + 1)})).field == field


def test_longest_text_of_the_widest_characters_is_taken() -> None:
    """The bound of the body never refuses a text within the bound of texts."""
    assert (
        gateway.parse(encode(text="\U0001f600" * MAX_TEXT_CHARS), FORM).transcript
        == "\U0001f600" * MAX_TEXT_CHARS
    )


def test_bodies_are_bounded() -> None:
    """Neither a huge body nor a huge number of fields is worked through."""
    assert refused(encode() + b"&x=" + b"1" * MAX_BODY_BYTES).field == "body"
    assert refused(encode() + b"&x" * MAX_PAIRS).field == "body"


def test_refusals_repeat_nothing_that_was_sent() -> None:
    """The reason of a refusal stands in a log, so it holds neither the caller nor what was typed."""
    bodies = [
        HEAD + b"&text=1%2A4711%ZZ",
        HEAD + b"&text=4711&text=4711",
        encode(phoneNumber="254700000001"),
        encode(phoneNumber=" 254700000001"),
        encode(sessionId="4711\n"),
        encode(text="4711" * MAX_TEXT_CHARS),
        encode() + b"&4711=%FF",
    ]
    said = [str(refused(body)) for body in bodies]
    assert not [text for text in said if "4711" in text or "254700" in text]


def test_transcript_is_not_in_the_repr() -> None:
    """A transcript holds every PIN that was typed, so no debug output shows it."""
    assert "4711" not in repr(gateway.parse(encode(text="1*4711"), FORM))


@given(st.binary(max_size=300), st.sampled_from([FORM, "", "application/json"]))
def test_any_bytes_are_a_callback_or_a_refusal(body: bytes, content_type: str) -> None:
    """Whatever a stranger posts, the adapter answers with a callback or BadCallback and nothing else."""
    assert refused_field(body, content_type) in {None, *FIELDS, "body", "Content-Type"}


@given(st.binary(max_size=60))
def test_any_tail_is_a_callback_or_a_refusal(tail: bytes) -> None:
    """The same holds for a request that starts as a good one."""
    assert refused_field(HEAD + b"&text=" + tail, FORM) in {None, *FIELDS, "body"}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_TEXT_CHARS))
def test_any_text_survives_the_wire(text: str) -> None:
    """Encoding and parsing give back the very text, whatever characters it holds."""
    assert gateway.parse(encode(text=text), FORM).transcript == text


def test_table_names_the_gateway() -> None:
    """A gateway is found by the kind that the configuration names, and carries its instance's name."""
    assert GATEWAYS["africastalking"]("at-ke").name == "at-ke"
