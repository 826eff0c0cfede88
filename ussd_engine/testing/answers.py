"""What a subscriber can type on a screen: every way on that it offers, and junk."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from ussd_engine.runtime import route
from ussd_engine.runtime.program import Ask, List, Menu

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ussd_engine.runtime.program import Node

JUNK = (
    "",
    " ",
    "*",
    "#",
    "**",
    "1*1",
    "00000000",
    "31022001",
    "x" * 400,
    "9" * 160,
    "😀",
    "مرحبا",
    "\u202eabc",
    "a\x00b",
    "\r\n",
    "{first_name}",
    "%s%n",
    "'; --",
    "-1",
    "1e3",
    "٣",
)
"""Empty, blank, the keys of the code itself, very long, emoji, right-to-left, control characters, and what other
programs would take for their own."""
NO_ANSWER = "?" * 200
"""Longer than any network takes: no question accepts it."""
_FORMATS = {
    "DDMMYYYY": "%d%m%Y",
    "DDMMYY": "%d%m%y",
    "YYYYMMDD": "%Y%m%d",
    "DD/MM/YYYY": "%d/%m/%Y",
    "DD-MM-YYYY": "%d-%m-%Y",
}
_DAYS_OF_A_YEAR = 365.25
_LONGEST = 160


def keys(node: Node, value_of: route.ValueOf, items: int) -> tuple[str, ...]:
    """The keys of the options that a menu shows, or of a list's items; none for a question."""
    match node:
        case Menu():
            return tuple(key for key, _ in route.visible(node, value_of))
        case List():
            return tuple(str(number) for number in range(1, items + 1))
        case _:
            return ()


def accepted(ask: Ask, today: date, value_of: route.ValueOf, known: tuple[str, ...] = ()) -> list[str]:
    """Answers that the question takes: of all kinds that its type and bounds let in, and of those `known` for it.

    A secret is only one of the known where there is no other: theirs may stand in other things too.
    """

    def taken(texts: Iterable[str]) -> list[str]:
        return [
            text for text in dict.fromkeys(texts) if route.read_answer(ask, text, today, value_of) is not None
        ]

    found = taken(_candidates(ask, today))
    return found if found and ask.save.secret else list(dict.fromkeys([*found, *taken(known)]))


def _candidates(ask: Ask, today: date) -> Iterator[str]:
    declared, accept = ask.save, ask.accept
    least = max((bound for bound in (accept.min, declared.min) if bound is not None), default=0)
    most = min((bound for bound in (accept.max, declared.max) if bound is not None), default=_LONGEST)
    match declared.type:
        case "name":
            yield from (word[:most].strip() for word in ("Jane", "N'Golo Kante", "Ŵanjikũ", "x" * most))
        case "text":
            yield from (word[:most].strip() for word in ("A note", "€uro", "y" * most))
        case "digits" | "pin":
            yield from (
                _digits(width, secret=declared.secret) for width in dict.fromkeys((max(least, 1), most))
            )
        case "number":
            most = min(most, 10**9) if most != _LONGEST else max(least, 999_999)
            yield from map(str, dict.fromkeys((least, (least + most) // 2, most)))
        case "choice":
            yield from declared.of
        case "phone":
            yield from ("+254711000002", "0711000003")
        case "date":
            yield from _dates(ask, today)


def _digits(width: int, *, secret: bool) -> str:
    """Secrets are other digits than anything else that is typed, so that one that shows itself is known."""
    return (("8362957140" if secret else "7294150386") * (width // 10 + 1))[:width]


def _dates(ask: Ask, today: date) -> Iterator[str]:
    """Of an age well within the bounds, and on the very days where the bounds are; from today on too."""
    form = _FORMATS[ask.accept.date_format or "DDMMYYYY"]
    least, most = ask.accept.min_age or 0, min(ask.accept.max_age or 100, 100)
    days = [round((least + most) / 2 * _DAYS_OF_A_YEAR)]
    days += [(today - _years_before(today, age)).days for age in (least, most)]
    for before in dict.fromkeys((*days, days[1] + 1, days[2] - 1, 0, -1, -366)):
        yield (today - timedelta(days=before)).strftime(form)


def _years_before(today: date, years: int) -> date:
    """The last day on which somebody was born who is that old today."""
    try:
        return today.replace(year=today.year - years)
    except ValueError:  # born on a 29 February that is none
        return today.replace(year=today.year - years, day=28)
