"""Strategies of values: what an action may give back for a declaration, in any script, at any width."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from ussd_engine.flow.values import LARGEST

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from ussd_engine.runtime.program import Declared, Items, Scalar, Value

LETTERS = "abcXYZ ÄñéΩ'-.\u2019жЖع中𐐀"
"""Of names: GSM-7 and not, one unit and two."""
SIGNS = LETTERS + "0123@$_{}[]~|€\\^😀\u202e\u200d#*"
DIGITS = "0123456789"


def given_back(declared: Declared) -> SearchStrategy[Value]:
    """Any value that a well-behaved action gives for the declaration: the runtime keeps it, cleaned and cut."""
    if declared.type != "list":
        return _scalar(declared)
    item = st.fixed_dictionaries({name: _scalar(field) for name, field in declared.item.items()})
    return st.lists(item, max_size=declared.max).map(_as_items)


def _as_items(items: list[dict[str, Scalar]]) -> Items:
    return tuple(items)


def _scalar(declared: Declared) -> SearchStrategy[Scalar]:
    least, most = declared.min, declared.max
    match declared.type:
        case "number":
            return st.integers(-LARGEST if least is None else least, LARGEST if most is None else most)
        case "name":
            return st.text(LETTERS, max_size=most)
        case "text":
            return st.text(SIGNS, max_size=most)
        case "choice":
            return st.sampled_from(declared.of)
        case "date":
            return st.dates(date(1900, 1, 1), date(2100, 12, 31)).map(date.isoformat)
        case "phone":
            return st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
        case "flag":
            return st.booleans()
        case _:
            return st.text(DIGITS, max_size=most)
