"""The widest that a value can stand on a screen, as text: what the declaration lets in, at its most expensive.

One text for a screen in GSM-7, and one for a screen that some character forces into UCS-2, as what is wide in the one
is not in the other. A typed name or text may be in any script, so it can always force UCS-2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ussd_engine.charset import is_gsm7, septets, units
from ussd_engine.flow.formats import written
from ussd_engine.flow.model import Data, ItemField
from ussd_engine.flow.values import LARGEST, limits

LETTER, ESCAPED = "W", "\u20ac"
"""One septet, and two: an escape and its code."""
TWO_UNITS = "\U00010400"
"""A letter (of Deseret) beyond the basic plane: names hold letters, and this is the widest kind."""
GIVEN: Mapping[str, str] = {
    "language": "W" * 3,
    "today": "2000-12-31",
    "session.phone": "+" + "9" * 15,
    "session.network": "9" * 20,
    "session.service_code": "*" * 40,
}
"""Values that every text may read: E.164 has 15 digits at most, the rest are the bounds of the gateways."""


@dataclass(frozen=True, slots=True)
class Widest:
    """As wide as any text that a value can be.

    `gsm7` is the widest that is all GSM-7, None where there is none. `ucs2` is as wide as any in UCS-2 units;
    where `forces`, where some text forces UCS-2, it does.
    """

    gsm7: str | None
    ucs2: str
    forces: bool


def widest(declared: Data | ItemField, form: str | None, language: str) -> Widest:
    """Of a value that `declared` holds, in a form that suits it."""
    least, most = limits(declared.type, declared.min, declared.max)
    match declared.type:
        case "name":
            return Widest(LETTER * (most or 0), TWO_UNITS * (most or 0), forces=True)
        case "text":
            return Widest(ESCAPED * (most or 0), TWO_UNITS * (most or 0), forces=True)
        case "choice":
            return _of(declared.of or ())
        case "number":
            ends = (-LARGEST if least is None else least, LARGEST if most is None else most)
            return _of(written(number, form, language) for number in ends)
        case "flag":
            return _of(("false",))
        case "date":
            return _of((written(GIVEN["today"], form, language),))
        case "phone":
            return _of((written(GIVEN["session.phone"], form, language),))
        case _:
            return _of((written("9" * (most or 0), form, language),))


def given(name: str, form: str | None, language: str) -> Widest:
    return _of((written(GIVEN[name], form, language),))


def _of(texts: Iterable[str]) -> Widest:
    known = list(texts)
    plain = [text for text in known if is_gsm7(text)]
    foreign = [text for text in known if not is_gsm7(text)]
    most = max(map(units, known), default=0)
    sample = max(foreign, key=units, default="")
    return Widest(
        max(plain, key=septets) if plain else None,
        sample + LETTER * (most - units(sample)),
        forces=bool(foreign),
    )
