"""The report that Africa's Talking sends to the events URL after a session."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.gateways.africastalking import MAX_COST_CHARS, MAX_ERROR_CHARS, MAX_HOPS, AfricasTalking
from ussd_engine.errors import BadCallback
from ussd_engine.ports import EndReport

FORM = "application/x-www-form-urlencoded"
FIELDS = {
    "date": "2026-09-28 12:00:00",
    "sessionId": "sample-session-a",
    "serviceCode": "*384*000#",
    "networkCode": "99999",
    "phoneNumber": "+254700000001",
    "status": "Success",
    "cost": "KES 0.00",
    "durationInMillis": "12000",
    "hopsCount": "3",
    "hopsMetadata": "sample.start|sample.pin|sample.end",
    "input": "1*4711",
    "lastAppResponse": "END Your PIN 4711 is set.",
}
REQUIRED = ("sessionId", "serviceCode", "phoneNumber", "status")

gateway = AfricasTalking("at")


def encode(**changes: str) -> bytes:
    return urlencode(FIELDS | changes).encode()


def report(**changes: str) -> EndReport:
    return gateway.parse_event(encode(**changes), FORM)


def refused_field(body: bytes) -> str | None:
    try:
        gateway.parse_event(body, FORM)
    except BadCallback as error:
        return error.field
    return None


def test_successful_session() -> None:
    """A report tells who, how, how long and through which states, exactly as the gateway counted."""
    wire = (
        b"date=2026-09-28+12%3A00%3A00&sessionId=sample-session-a&serviceCode=%2A384%2A000%23&networkCode=99999"
        b"&phoneNumber=%2B254700000001&status=Success&cost=KES+0.00&durationInMillis=12000&hopsCount=3"
        b"&hopsMetadata=sample.start%7Csample.pin%7Csample.end&input=1%2A2&lastAppResponse=END+Done."
    )
    assert gateway.parse_event(wire, FORM) == EndReport(
        gateway="at",
        session_id="sample-session-a",
        phone_number="+254700000001",
        service_code="*384*000#",
        network="99999",
        status="success",
        duration_ms=12000,
        hops=3,
        hop_labels=("sample.start", "sample.pin", "sample.end"),
        cost="KES 0.00",
        error=None,
    )


def test_failed_session_names_its_cause() -> None:
    """When our answer was bad or late, the gateway's message says why."""
    failed = report(status="Failed", errorMessage="Sample application timeout")
    assert (failed.status, failed.error) == ("failed", "Sample application timeout")


def test_what_was_typed_and_shown_is_not_kept() -> None:
    """The transcript and the last screen hold PINs: no field and no debug output of a report has them."""
    kept = report(errorMessage="bad body: 4711")
    assert "4711" not in repr(kept)
    assert "4711" not in str([getattr(kept, name) for name in EndReport.__slots__ if name != "error"])


@pytest.mark.parametrize("field", ["input", "lastAppResponse"])
@pytest.mark.parametrize("value", [b"%ZZ", b"\xff", b"1&input=2&lastAppResponse=3"])
def test_what_nobody_reads_cannot_fail_a_report(field: str, value: bytes) -> None:
    """The gateway repeats the exact bad body that failed a session; its report is read all the same."""
    wire = encode() + f"&{field}=".encode() + value
    assert gateway.parse_event(wire, FORM).status == "success"


@pytest.mark.parametrize("field", REQUIRED)
def test_required_field_is_named_when_it_is_missing(field: str) -> None:
    """A report about no session, no caller or no ending is none."""
    wire = urlencode({name: value for name, value in FIELDS.items() if name != field}).encode()
    with pytest.raises(BadCallback) as caught:
        gateway.parse_event(wire, FORM)
    assert caught.value.field == field


def test_everything_else_may_be_absent_or_empty() -> None:
    """A report with the bare minimum and one with empty optional fields say the same."""
    bare = gateway.parse_event(urlencode({name: FIELDS[name] for name in REQUIRED}).encode(), FORM)
    empty = report(**dict.fromkeys([*(FIELDS.keys() - {*REQUIRED}), "errorMessage"], ""))
    assert bare == empty
    assert (bare.network, bare.duration_ms, bare.hops, bare.hop_labels) == ("", None, None, ())
    assert (bare.cost, bare.error) == (None, None)


def test_undocumented_retry_count_is_ignored() -> None:
    """A field that nobody documents changes nothing."""
    assert report(retryCount="2") == report()


@pytest.mark.parametrize("number", ["", "12.5", "-1", "1e3", "1_000", "\u0661", "9" * 13, "x"])
def test_bad_numbers_are_unknown(number: str) -> None:
    """A count that is no plain number is not guessed at, and does not fail the report."""
    odd = report(durationInMillis=number, hopsCount=number)
    assert (odd.duration_ms, odd.hops) == (None, None)


@pytest.mark.parametrize(
    ("cost", "kept"),
    [
        ("KES 0.10", "KES 0.10"),
        ("0.10", "0.10"),
        ("", None),
        ("1\n2", None),
        ("1" * (MAX_COST_CHARS + 1), None),
    ],
)
def test_cost_comes_with_or_without_a_currency(cost: str, kept: str | None) -> None:
    """A cost is kept as it was sent when it can be one."""
    assert report(cost=cost).cost == kept


@pytest.mark.parametrize(
    ("status", "kept"), [("Success", "success"), ("INCOMPLETE", "incomplete"), ("failed", "failed")]
)
def test_status_in_any_case(status: str, kept: str) -> None:
    """The three endings are known in upper and lower case."""
    assert report(status=status).status == kept


@pytest.mark.parametrize("status", ["", "Done", "Success "])
def test_unknown_status_is_refused(status: str) -> None:
    """An ending that is not documented is not taken for another one."""
    with pytest.raises(BadCallback) as caught:
        report(status=status)
    assert caught.value.field == "status"


def test_labels_that_are_not_ours_are_left_out() -> None:
    """Anybody who knows the URL can send a report, so only what can be one of our labels is kept."""
    labels = "a.b|||c\u00e9|" + "x" * 100 + "|d.e\n|f.g"
    assert report(hopsMetadata=labels).hop_labels == ("a.b", "f.g")
    assert len(report(hopsMetadata="a|" * (MAX_HOPS + 5)).hop_labels) == MAX_HOPS


def test_error_message_is_cut_and_printable() -> None:
    """A message may echo a whole screen: a bounded first part is kept, on one line."""
    assert report(errorMessage="bad\r\nbody").error == "bad  body"
    assert report(errorMessage="x" * 1000).error == "x" * MAX_ERROR_CHARS
    assert report(errorMessage=" \n").error is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_report_or_a_refusal(body: bytes) -> None:
    """Whatever a stranger posts, the adapter answers with a report or BadCallback and nothing else."""
    assert refused_field(body) in {None, *FIELDS, "body"}


@given(
    st.sampled_from([*FIELDS, "errorMessage"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
)
def test_any_value_makes_a_report_or_a_refusal(field: str, value: str) -> None:
    """The same holds for one odd value in a report that is otherwise good."""
    assert refused_field(encode(**{field: value})) in {None, field}
