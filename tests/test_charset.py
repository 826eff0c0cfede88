"""Rules of what a text costs on the air (3GPP TS 23.038)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ussd_engine.charset import BASIC, EXTENSION, cost, is_gsm7, parts, septets, units


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
    ("text", "count"), [("", 0), ("abc", 3), ("中", 1), ("😀", 2), ("a😀b", 4), ("👍🏽", 4)]
)
def test_units_of_ucs2(text: str, count: int) -> None:
    """A character is one unit of 16 bits, or two beyond the basic plane."""
    assert units(text) == count


@given(st.text())
def test_units_are_those_of_utf16(text: str) -> None:
    """Handsets read UCS-2 as UTF-16."""
    assert units(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2


@given(st.text(alphabet=BASIC + EXTENSION))
def test_septets_are_counted_character_by_character(text: str) -> None:
    """The cost of a text is the sum of its characters'."""
    assert is_gsm7(text)
    assert septets(text) == sum(2 if character in EXTENSION else 1 for character in text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("a" * 159 + "€", 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("中" * 70, 1),
        ("中" * 71, 2),
        ("中" * 134, 2),
        ("中" * 135, 3),
        ("😀" * 35, 1),
        ("中" * 66 + "😀" + "中" * 66, 3),
    ],
)
def test_parts_of_an_sms(text: str, count: int) -> None:
    """160 septets or 70 units alone, 153 or 67 in each part, and no character is torn apart between two."""
    assert parts(text) == count


@given(st.text(alphabet=BASIC + EXTENSION) | st.text())
def test_parts_hold_the_text(text: str) -> None:
    """A text that is one part fits into one, and one of several fills all of them but a torn character each."""
    part, single = (153, 160) if is_gsm7(text) else (67, 70)
    count = parts(text)
    assert cost(text) <= single if count == 1 else single < cost(text) <= count * part
    assert count == 1 or cost(text) > (count - 1) * (part - 1)
