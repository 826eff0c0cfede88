"""Rules of phone numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ussd_engine.phone import is_e164, mask, normalise


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("+254711000001", "KE", "+254711000001"),
        ("0711000001", "KE", "+254711000001"),
        ("711000001", "KE", "+254711000001"),
        ("254711000001", "KE", "+254711000001"),
        ("+254 (711) 000-001", "TZ", "+254711000001"),
        ("0711000001", "TZ", "+255711000001"),
        (" +254711000001 ", "KE", "+254711000001"),
    ],
)
def test_usual_forms_are_one_number(text: str, region: str, number: str) -> None:
    """However a number is written, it is one E.164 number; a national form is completed by the region."""
    assert normalise(text, region) == number


@pytest.mark.parametrize(
    "text", ["", "hello", "+", "12", "+999123456789", "0711000001 ext 9", "+25471100000111111"]
)
def test_what_is_no_number(text: str) -> None:
    """The refusal does not repeat what was written."""
    with pytest.raises(ValueError, match=r"^not a (possible )?phone number$"):
        normalise(text, "KE")


@given(st.text(alphabet="+0123456789 ()-abext٣.;*#", max_size=24))
def test_normalised_number_is_e164(text: str) -> None:
    """Whatever is accepted has the form that telcos send, and is its own normal form."""
    try:
        number = normalise(text, "KE")
    except ValueError:
        return
    assert is_e164(number)
    assert normalise(number, "TZ") == number


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("+254711000001", True),
        ("+1234567", True),
        ("+123456789012345", True),
        ("+123456", False),
        ("+1234567890123456", False),
        ("254711000001", False),
        ("+0254711000", False),
        ("+25471100000a", False),
        ("+254711000001\n", False),
        ("+٢٥٤٧١١٠٠٠٠٠", False),
        ("", False),
    ],
)
def test_form_of_e164(text: str, yes: bool) -> None:
    """A plus sign and 7 to 15 digits, the first not a zero."""
    assert is_e164(text) is yes


def test_masked_number_keeps_country_and_two_digits() -> None:
    """Operators see enough to tell two numbers apart, and not whom they belong to."""
    assert mask("+254711000001") == "+254*******01"
    assert mask("+1234567") == "+123**67"
