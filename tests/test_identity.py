"""Identities: one form each, however they are written, and nothing that stands for nobody."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ussd_engine.identity import KINDS, Kind, normalise, stored_value
from ussd_engine.sealing import KeyRing

KEYS = KeyRing.of(b"i" * 32, {"k1": b"s" * 32})

SAME: list[tuple[Kind, str, str]] = [
    ("phone", "0700 000 123", "+254700000123"),
    ("alternate_phone", "+254 700-000-123", "+254700000123"),
    ("wallet", "254700000123", "+254700000123"),
    ("national_id", " 12.345-678 ", "12345678"),
    ("national_id", "ab 12/34", "AB1234"),
    ("national_id", "\uff11\uff12\uff13\uff14", "1234"),
    ("passport", "ak 0123457", "AK0123457"),
    ("customer_number", " 000123\n", "000123"),
    ("bank_ref", "Ref-1a", "Ref-1a"),
    ("email", " Jane.Sample@Example.COM ", "jane.sample@example.com"),
    ("email", "jane@bücher.example", "jane@xn--bcher-kva.example"),
]
NOBODY: list[tuple[Kind, str]] = [
    ("phone", "12"),
    ("phone", "MPESA"),
    ("national_id", "N/A"),
    ("national_id", "none"),
    ("national_id", "0000000"),
    ("national_id", "99-999-999"),
    ("national_id", "12"),
    ("passport", "x" * 40),
    ("customer_number", "two words"),
    ("bank_ref", ""),
    ("email", "jane"),
    ("email", "jane@localhost"),
    ("email", "a@b@c.example"),
    ("email", "jane@" + "x" * 70 + ".example"),
]


@pytest.mark.parametrize(("kind", "written", "form"), SAME)
def test_one_identity_has_one_form(kind: Kind, written: str, form: str) -> None:
    """Spaces, dots, case and the national form of a number make no other identity."""
    assert normalise(kind, written, "KE") == form


@pytest.mark.parametrize(("kind", "written"), NOBODY)
def test_what_identifies_nobody_is_refused_without_being_quoted(kind: Kind, written: str) -> None:
    """A placeholder in a bank's record must not make all its customers one; the words do not repeat what was there."""
    with pytest.raises(ValueError, match=r"\w+ \w+") as refused:
        normalise(kind, written, "KE")
    assert not written or written not in str(refused.value)


def test_the_case_of_a_banks_own_id_is_kept() -> None:
    """To some banks a1 and A1 are two customers."""
    assert normalise("customer_number", "a1", "") != normalise("customer_number", "A1", "")


@given(st.sampled_from(KINDS), st.text(max_size=80))
def test_any_text_has_a_form_or_is_refused(kind: Kind, text: str) -> None:
    """Whatever a bank's record holds: no other error, and the form of a form is itself."""
    with contextlib.suppress(ValueError):
        form = normalise(kind, text, "KE")
        assert normalise(kind, form, "KE") == form


def test_documents_are_stored_as_digests() -> None:
    """Who reads the database finds phone numbers and the bank's ids, and no national id, passport or address."""
    shown = {kind for kind in KINDS if stored_value(KEYS, kind, "A1234") == "A1234"}
    assert shown == {"phone", "alternate_phone", "wallet", "bank_ref", "customer_number"}
    assert stored_value(KEYS, "national_id", "A1234") != stored_value(KEYS, "passport", "A1234")
