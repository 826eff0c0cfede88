"""Strategies of values: what an action may give back for a declaration, in any script, at any width."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from ussd_engine.flow.values import LARGEST
from ussd_engine.flow.vocabulary import ListOf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import SearchStrategy

    from ussd_engine.flow.vocabulary import Kind
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


def given_back_as(kind: Kind, name: str, languages: Sequence[str]) -> SearchStrategy[Value]:
    """Any value of a kind, for an output of an action: what is too wide is cut by the flow that keeps it.

    A `language` is one of `languages`, or one that no flow has.
    """
    if isinstance(kind, ListOf):
        fields = {field: _of_kind(of, field, languages) for field, of in kind.fields}
        return st.lists(st.fixed_dictionaries(fields), max_size=30).map(_as_items)
    return _of_kind(kind, name, languages)


def _of_kind(kind: str, name: str, languages: Sequence[str]) -> SearchStrategy[Scalar]:
    if kind == "int":
        return st.integers(0, 10**6)
    if kind == "bool":
        return st.booleans()
    if name == "language":
        return st.sampled_from([*languages, "xx"])
    return st.sampled_from(["1000000017", "", "4"]) if "number" in name else st.text(SIGNS, max_size=60)


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
