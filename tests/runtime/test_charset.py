"""Rules of what a text costs on the air (3GPP TS 23.038)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ussd_engine.runtime.charset import BASIC, EXTENSION, is_gsm7, septets, units


def test_default_alphabet_has_127_characters() -> None:
    """Section 6.2.1: 128 codes, one of which is the escape to the extension table of 10 characters."""
    assert len(set(BASIC)) == len(BASIC) == 127
    assert len(set(EXTENSION)) == len(EXTENSION) == 10
    assert not set(BASIC) & set(EXTENSION)


@pytest.mark.parametrize("character", BASIC)
def test_character_of_the_default_alphabet_is_one_septet(character: str) -> None:
    """Every character of the default alphabet costs one septet."""
    assert is_gsm7(character)
    assert septets(character) == 1


@pytest.mark.parametrize("character", EXTENSION)
def test_character_of_the_extension_table_is_two_septets(character: str) -> None:
    """An escape and a code."""
    assert is_gsm7(character)
    assert septets(character) == 2


@pytest.mark.parametrize("character", "`ç\u2019\t\u00a0á—Ж中\x00\x1b😀")
def test_other_characters_force_ucs2(character: str) -> None:
    """The backtick, small c with cedilla, curly quotes, tab and the escape itself are not in GSM-7."""
    assert not is_gsm7(f"Hello {character}")


@pytest.mark.parametrize(
    ("text", "cost"), [("", 0), ("abc", 3), ("中", 1), ("😀", 2), ("a😀b", 4), ("👍🏽", 4)]
)
def test_units_of_ucs2(text: str, cost: int) -> None:
    """A character is one unit of 16 bits, or two beyond the basic plane."""
    assert units(text) == cost


@given(st.text())
def test_units_are_those_of_utf16(text: str) -> None:
    """Handsets read UCS-2 as UTF-16."""
    assert units(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2


@given(st.text(alphabet=BASIC + EXTENSION))
def test_septets_are_counted_character_by_character(text: str) -> None:
    """The cost of a text is the sum of its characters'."""
    assert is_gsm7(text)
    assert septets(text) == sum(2 if character in EXTENSION else 1 for character in text)
