"""From a keystroke to an edge: which options are on the screen, and what an answer means."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date
from typing import cast

from ussd_engine.charset import EXTENSION
from ussd_engine.errors import IllegalMove
from ussd_engine.flow.guards import Expression, GuardError
from ussd_engine.flow.values import misfit
from ussd_engine.phone import normalise
from ussd_engine.runtime.program import Ask, Declared, Goto, Items, Menu, Option, Scalar, Value

ValueOf = Callable[[str], Value]

_DATES = {
    "DDMMYYYY": re.compile(r"(?P<d>[0-9]{2})(?P<m>[0-9]{2})(?P<y>[0-9]{4})"),
    "DDMMYY": re.compile(r"(?P<d>[0-9]{2})(?P<m>[0-9]{2})(?P<y>[0-9]{2})"),
    "YYYYMMDD": re.compile(r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})"),
    "DD/MM/YYYY": re.compile(r"(?P<d>[0-9]{1,2})/(?P<m>[0-9]{1,2})/(?P<y>[0-9]{4})"),
    "DD-MM-YYYY": re.compile(r"(?P<d>[0-9]{1,2})-(?P<m>[0-9]{1,2})-(?P<y>[0-9]{4})"),
}
FIRST_YEAR = 1900
"""Nobody alive was born before, and a typing slip such as 0190 is caught."""
_DIGITS = re.compile(r"[0-9]+")
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_NOT_IN_A_NAME = dict.fromkeys(map(ord, EXTENSION), " ")
"""Signs of two septets: without them a name is never wider than its letters."""
_NAME_SIGNS = frozenset(" '\u2019.-")


def holds(when: Expression, value_of: ValueOf) -> bool:
    """Whether a condition holds; one that cannot be computed for these values does not.

    An author writes `int(answer) > 100`, and a subscriber types letters: that is no reason to end a session.
    """
    try:
        return bool(when(value_of))
    except GuardError:
        return False


def visible(menu: Menu, value_of: ValueOf) -> Iterator[tuple[str, Option]]:
    """The options that are shown, with their keys: as written, else counted among those without one."""
    number = 0
    for option in menu.options:
        if option.when is not None and not holds(option.when, value_of):
            continue
        if option.key is None:
            number += 1
        yield option.key or str(number), option


def choose(goto: Goto, value_of: ValueOf) -> str:
    """The edge of the first case that holds."""
    for case in goto:
        if case.when is None or holds(case.when, value_of):
            return case.edge
    raise IllegalMove("none of the cases holds")  # the checker asks for an 'else'


def read_answer(ask: Ask, text: str, today: date, value_of: ValueOf) -> Value | None:
    """The value of a typed answer, or None when it is not acceptable."""
    typed = " ".join(unicodedata.normalize("NFC", text).split())
    value = _typed(ask, typed, today)
    if value is None:
        return None
    if isinstance(value, int) and not _between(value, ask.accept.min, ask.accept.max):
        return None
    if isinstance(value, str) and not _between(len(value), ask.accept.min, ask.accept.max):
        return None
    when = ask.accept.when
    if when is not None and not holds(when, lambda name: typed if name == "answer" else value_of(name)):
        return None
    return value


def _typed(ask: Ask, typed: str, today: date) -> Value | None:
    declared = ask.save
    match declared.type:
        case "name":
            return typed if _is_name(typed) and _fits(typed, declared) else None
        case "text":
            return typed if typed.isprintable() and _fits(typed, declared) else None
        case "digits" | "pin":
            return typed if _DIGITS.fullmatch(typed) and _fits(typed, declared) else None
        case "number":
            number = int(typed) if _NUMBER.fullmatch(typed) else None
            return number if number is not None and _between(number, declared.min, declared.max) else None
        case "choice":
            return next((one for one in declared.of if one.casefold() == typed.casefold()), None)
        case "date":
            return _date(ask, typed, today)
        case "phone":
            try:
                return normalise(typed, declared.region)
            except ValueError:
                return None
        case _:
            return None


def _is_name(text: str) -> bool:
    kinds = [unicodedata.category(character)[0] for character in text if character not in _NAME_SIGNS]
    return "L" in kinds and set(kinds) <= {"L", "M"}


def _fits(text: str, declared: Declared) -> bool:
    return _between(len(text), declared.min, declared.max)


def _between(number: int, least: int | None, most: int | None) -> bool:
    return (least is None or number >= least) and (most is None or number <= most)


def _date(ask: Ask, typed: str, today: date) -> str | None:
    """ISO 8601, or None for no such day, a day before 1900, or an age outside the bounds."""
    found = _DATES[ask.accept.date_format or "DDMMYYYY"].fullmatch(typed)
    if found is None:
        return None
    day, month, year = (int(found.group(part)) for part in "dmy")
    if len(found.group("y")) == 2:  # noqa: PLR2004 - of two digits: the latest such day that is not ahead
        year += today.year // 100 * 100
        year -= 100 if (year, month, day) > (today.year, today.month, today.day) else 0
    try:
        value = date(year, month, day)
    except ValueError:
        return None
    least, most = ask.accept.min_age, ask.accept.max_age
    if year < FIRST_YEAR or ((least is not None or most is not None) and value > today):
        return None
    age = today.year - year - ((today.month, today.day) < (month, day))
    return value.isoformat() if _between(age, least, most) or (least is None and most is None) else None


def fit(declared: Declared, value: object) -> Value:
    """A value from outside (an action, an expression) as `declared` holds it: never wider than the screens allow.

    Names and texts lose control characters and what is beyond `max`; the rest is taken whole or not at all, as a
    part of a number is another number. An empty text fits everywhere: a called flow may give back what it has not
    filled. A list loses what is beyond its `max`. Raises IllegalMove for a value that does not fit.
    """
    if declared.type == "list":
        return _fit_items(declared, value)
    if declared.type in {"name", "text"} and isinstance(value, str):
        value = _cleaned(value if declared.type == "text" else value.translate(_NOT_IN_A_NAME), declared.max)
    reason = misfit(value, declared.type, declared.min, declared.max, declared.of)
    if reason or not isinstance(value, str | int):
        raise IllegalMove(f"a value for '{declared.name}' is not a {declared.type} that it can hold")
    return value


def _fit_items(declared: Declared, value: object) -> Items:
    if not isinstance(value, list | tuple):
        raise IllegalMove(f"a value for '{declared.name}' is no list")
    try:
        return tuple(
            {name: cast("Scalar", fit(field, item[name])) for name, field in declared.item.items()}
            for item in value[: declared.max]
        )
    except (KeyError, TypeError):
        fields = ", ".join(declared.item)
        raise IllegalMove(f"an item for '{declared.name}' has not the fields {fields}") from None


def _cleaned(text: str, most: int | None) -> str:
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean[:most].rstrip()
