"""Whether a declaration can hold a value: asked of defaults and constants, and of what a turn brings in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import date

from ussd_engine.flow.text import unprintable
from ussd_engine.phone import is_e164

LONGEST: Mapping[str, int] = {"name": 40, "text": 80, "digits": 20, "pin": 6, "list": 20}
"""Characters of a typed value whose declaration sets no `max`, and items of a list."""
SHORTEST: Mapping[str, int] = {"name": 1, "text": 1, "digits": 1, "pin": 4}
LARGEST = 10**18 - 1
"""A number of 18 digits, as many as can be typed: it fits the 64 bits of conditions and of the stored form."""
_DIGITS = re.compile(r"[0-9]+")


def limits(type_: str, least: int | None, most: int | None) -> tuple[int | None, int | None]:
    """`min` and `max` of a declaration, with those of its type where it sets none."""
    return (
        SHORTEST.get(type_) if least is None else least,
        LONGEST.get(type_) if most is None else most,
    )


def misfit(value: object, type_: str, least: int | None, most: int | None, of: Collection[str]) -> str:
    """Why data of this type cannot hold a value, in words that go on after "a value that"; "" when it can.

    `least` and `most` bound a number, and `most` the characters of all else. An empty text fits wherever text
    does: a called flow may give back what it has not filled.
    """
    if type_ == "number":
        return _misfit_number(value, least, most)
    if type_ == "flag":
        return "" if type(value) is bool else "is no flag"
    if not isinstance(value, str):
        return f"is no {type_}"
    if most is not None and len(value) > most:
        return f"is longer than {most} characters"
    return _misfit_text(value, type_, of) if value else ""


def _misfit_number(value: object, least: int | None, most: int | None) -> str:
    if type(value) is not int:
        return "is no number"
    if abs(value) > LARGEST:
        return "has more than 18 digits"
    if least is not None and value < least:
        return f"is below min {least}"
    if most is not None and value > most:
        return f"is above max {most}"
    return ""


def _misfit_text(value: str, type_: str, of: Collection[str]) -> str:
    match type_:
        case "name" | "text":
            sign = unprintable(value)
            return f"holds {sign}, which no phone shows" if sign else ""
        case "digits" | "pin":
            return "" if _DIGITS.fullmatch(value) else "is not all digits"
        case "choice":
            return "" if value in of else "is not one of its choices"
        case "date":
            return "" if _is_iso_date(value) else "is no date such as 1990-12-31"
        case _:  # a phone number
            return "" if is_e164(value) else "is no phone number such as +254711000001"


def _is_iso_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
