"""Whether one of several conditions surely holds, seen from their words alone. What is not seen may hold as well."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

_NAME = r"[a-z][\w.]*"
_VALUE = rf"(?:{_NAME}|-?[0-9]+|'[^'\\]*'|\"[^\"\\]*\")"
_COMPARED = re.compile(rf"({_VALUE})\s*(==|!=|<=|>=|<|>)\s*({_VALUE})")
_FLAG = re.compile(_NAME)
_NEGATED = re.compile(r"!\s*(?:\((.*)\)|([a-z][\w.]*))", re.DOTALL)
_OPPOSITE: Mapping[str, str] = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}

Condition = tuple[str, str, str]
"""Two values with a sign between. This form can always be computed, so it holds or its opposite does."""


def one_holds(conditions: Iterable[str], choices: Mapping[str, Collection[str]]) -> bool:
    """Whether a condition stands beside its opposite, or all that one of the `choices` may be are asked for."""
    known = {found for condition in conditions if (found := _read(condition)) is not None}
    if any((left, _OPPOSITE[sign], right) in known for left, sign, right in known):
        return True
    return any(
        all((name, "==", f"'{value}'") in known for value in values)
        for name, values in choices.items()
        if values
    )


def _read(condition: str) -> Condition | None:
    plain = condition.strip()
    if found := _NEGATED.fullmatch(plain):
        inner = _read(found.group(1) or found.group(2))
        return None if inner is None else (inner[0], _OPPOSITE[inner[1]], inner[2])
    if _FLAG.fullmatch(plain):
        return plain, "==", "true"
    if found := _COMPARED.fullmatch(plain):
        left, sign, right = found.groups()
        if right == "false" and sign in {"==", "!="}:
            return left, _OPPOSITE[sign], "true"
        return left, sign, f"'{right[1:-1]}'" if right.startswith('"') else right
    return None
