"""Rules of how values stand in a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ussd_engine.charset import is_gsm7
from ussd_engine.flow.formats import written
from ussd_engine.flow.text import BadPlaceholder, Slot, fill, pieces


@pytest.mark.parametrize(
    ("value", "form", "language", "text"),
    [
        ("a", None, "en", "a"),
        (0, None, "en", "0"),
        (-5, None, "en", "-5"),
        (True, None, "en", "true"),
        (False, None, "en", "false"),
        (1234567, "grouped", "en", "1,234,567"),
        (-1234, "grouped", "fr", "-1 234"),
        (999, "grouped", "sw", "999"),
        (1234567, "money", "en", "12,345.67"),
        (1234567, "money", "fr", "12 345,67"),
        (-5, "money", "en", "-0.05"),
        (0, "money", "en", "0.00"),
        ("1990-12-31", "date", "en", "31/12/1990"),
        ("", "date", "en", ""),
        ("+254711000001", "masked", "en", "+254*******01"),
        ("1000000000033", "masked", "en", "*********0033"),
        ("033", "masked", "en", "033"),
        ("KE-000017", "masked", "en", "*****0017"),
        ("+ab", "masked", "en", "+ab"),
        ("", "masked", "en", ""),
    ],
)
def test_values_as_they_are_shown(
    value: str | int | bool, form: str | None, language: str, text: str
) -> None:
    """A flag is shown as in conditions; money counts hundredths; of a number that is masked the end is left."""
    assert written(value, form, language) == text


@given(st.integers(-(10**18), 10**18), st.sampled_from(["money", "grouped"]), st.sampled_from(["en", "fr"]))
def test_forms_of_numbers_say_the_number(value: int, form: str, language: str) -> None:
    """No digit is lost or made up, and no sign of a form forces UCS-2."""
    text = written(value, form, language)
    assert is_gsm7(text)
    digits = text.replace(",", "").replace(".", "").replace(" ", "")
    assert int(digits) == value


def test_template_is_filled_once() -> None:
    """Braces in a value are no placeholders."""
    text = fill(pieces("Hello {name}, {{x}}"), lambda slot: f"{{{slot.name}}}")
    assert text == "Hello {name}, {x}"


def test_form_of_a_placeholder() -> None:
    """It follows the name, with a colon between and nothing else."""
    assert pieces("{balance:money}") == (Slot("balance", "money"),)
    for wrong in ("{balance:}", "{balance: money}", "{:money}", "{balance:money:x}", "{balance!r}"):
        with pytest.raises(BadPlaceholder):
            pieces(wrong)
