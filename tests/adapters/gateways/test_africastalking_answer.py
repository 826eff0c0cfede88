"""The answer to a callback: what Africa's Talking accepts as a menu or a last screen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.gateways.africastalking import HOP_HEADER, MAX_LABEL_CHARS, AfricasTalking
from ussd_engine.runtime.screen import Screen

gateway = AfricasTalking("at")


@pytest.mark.parametrize(("end", "prefix"), [(False, b"CON "), (True, b"END ")])
def test_screen_goes_on_or_ends(*, end: bool, prefix: bytes) -> None:
    """A menu starts with CON and a last screen with END; the text follows byte for byte."""
    answer = gateway.answer(Screen("Sample bank\n1. Go on\n2. Finish", end, "sample.home"))
    assert answer.status == 200
    assert answer.body == prefix + b"Sample bank\n1. Go on\n2. Finish"
    assert answer.headers == {"Content-Type": "text/plain; charset=utf-8", HOP_HEADER: "sample.home"}


@pytest.mark.parametrize("text", ["", " 1", "\ufeff1", "CON 1", "Z\u00f6e \u20ac"])
def test_nothing_stands_before_the_prefix(text: str) -> None:
    """The gateway ends a session whose answer starts with anything else, a byte-order mark included."""
    assert gateway.answer(Screen(text, end=False, label="x")).body == b"CON " + text.encode()


def test_text_that_cannot_be_encoded_still_makes_a_screen() -> None:
    """Half a surrogate pair in stored data costs one character, not the subscriber's menu."""
    assert gateway.answer(Screen("a\ud800b", end=True, label="x")).body == b"END a?b"


@pytest.mark.parametrize(
    ("label", "sent"),
    [
        ("onboarding.enter_pin", "onboarding.enter_pin"),
        ("a|b", "a_b"),
        ("a\r\nSet-Cookie: x", "a__Set-Cookie: x"),
        ("caf\u00e9", "caf_"),
        ("x" * 120, "x" * MAX_LABEL_CHARS),
    ],
)
def test_label_is_fit_for_a_header(label: str, sent: str) -> None:
    """A label can neither forge a header nor break the list of labels that the end report joins with bars."""
    assert gateway.answer(Screen("1", end=False, label=label)).headers[HOP_HEADER] == sent


def test_screen_without_a_label_has_no_label_header() -> None:
    """The header is optional, and an empty one says nothing."""
    assert HOP_HEADER not in gateway.answer(Screen("1", end=False, label=" ")).headers


@given(st.text(max_size=150))
def test_any_label_makes_a_safe_header(label: str) -> None:
    """Whatever a state is called, the header is at most 99 printable ASCII characters without a bar."""
    sent = gateway.answer(Screen("1", end=False, label=label)).headers.get(HOP_HEADER, "")
    assert len(sent) <= 99
    assert sent.isascii()
    assert sent.isprintable()
    assert "|" not in sent
