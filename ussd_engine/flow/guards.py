"""Conditions and values in CEL, type-checked when the flow is read and cheap to run in a turn.

CEL is Google's Common Expression Language: no loops, no side effects, and `matches` is RE2, so no expression of
an author can hang a turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from ussd_engine.errors import UssdError
from ussd_engine.flow.vocabulary import Kind, ListOf

_TYPES: Mapping[str, cel.Type] = {"string": cel.Type.STRING, "int": cel.Type.INT, "bool": cel.Type.BOOL}
COMPILED_AT_MOST = 100_000
"""Expressions kept compiled: the same ones stand in many flows, and each costs some hundred microseconds."""
_STRINGS = re.compile(r"""[rRbB]{0,2}("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_PATTERN = re.compile(
    rf"matches\(\s*(?:[\w.]+\s*,\s*)?(?P<pattern>{_STRINGS.pattern})\s*\)|{_STRINGS.pattern}"
)
_NAMES = re.compile(r"(?<![\w.])([a-z_]\w*(?:\.[a-z_]\w*)?)(?!\w)(?!\s*\()")
_PROBLEM = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*?)(?: \(in container ''\))?(?:\n|$)", re.DOTALL)


class GuardError(UssdError):
    """`column` counts characters of the expression from 1."""

    code = "expression_invalid"

    def __init__(self, message: str, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. `names` are the values that it reads; a name alone needs no CEL."""

    source: str
    kind: Kind
    names: tuple[str, ...]
    compiled: cel.Expression | None = field(repr=False, compare=False)

    def __call__(self, value_of: Callable[[str], Any]) -> Any:
        """The value, of type `kind`. Raises GuardError when it cannot be computed, such as a division by zero."""
        if self.compiled is None:
            return value_of(self.names[0])
        result = self.compiled.eval(data={name: value_of(name) for name in self.names})
        if result.type() != _type_of(self.kind):  # an error is a value too, and its text looks like a string
            raise GuardError(f"'{self.source}' cannot be computed")
        return result.value()


class Compiler:
    """Compiles expressions over one set of declared names."""

    def __init__(self, names: Mapping[str, Kind]) -> None:
        self._names = names

    def compile(self, source: str, kind: Kind) -> Expression:
        """Raises GuardError, with the column, when `source` is not CEL, reads unknown names or is not a `kind`.

        So does a pattern of `matches` that stands as it is and is no regular expression. A list is given on as it
        is: no expression makes one.
        """
        alone = source.strip()
        if alone in self._names and self._names[alone] == kind:
            return Expression(source, kind, (alone,), None)
        if isinstance(kind, ListOf):
            raise GuardError(f"is not the name of a {kind}")
        names = tuple(sorted({name for name in reads(source) if name in self._names}))
        compiled = _compiled(source, tuple((name, self._names[name]) for name in names))
        if isinstance(compiled, GuardError):
            # what `reads` saw must be all that is read: values and the rule for secrets go by it
            if (undeclared(str(compiled)) or "").lstrip(".") in self._names:
                raise GuardError("writes a name in a way that cannot be followed; write it plainly")
            raise GuardError(str(compiled), compiled.column)
        if compiled.return_type() != _type_of(kind):
            found = str(compiled.return_type().name()).lower()
            raise GuardError(f"gives a value of type {found}, where {kind} is needed")
        return Expression(source, kind, names, compiled)


def _type_of(kind: Kind) -> cel.Type:
    return cel.Type.LIST if isinstance(kind, ListOf) else _TYPES[kind]


@lru_cache(COMPILED_AT_MOST)
def _compiled(source: str, names: tuple[tuple[str, Kind], ...]) -> cel.Expression | GuardError:
    """Over just these names. What is wrong is given back, so that it is kept as well."""
    try:
        compiled = _environment(names).compile(source)
        _check_patterns(source)
    except RuntimeError as error:
        return _readable(error)
    except GuardError as error:
        return error
    return compiled


@lru_cache(COMPILED_AT_MOST)
def _environment(names: tuple[tuple[str, Kind], ...]) -> Any:
    return cel.NewEnv(variables={name: _type_of(kind) for name, kind in names})


def reads(source: str) -> list[str]:
    """The names that stand in an expression, with `a.b` as one name; strings and function names do not count."""
    return _NAMES.findall(_STRINGS.sub("''", source))


def _check_patterns(source: str) -> None:
    for found in _PATTERN.finditer(source):
        pattern = found.group("pattern")
        if pattern is None:
            continue  # a string that is no pattern, whatever stands in it
        outcome = _environment(()).compile(f"''.matches({pattern})").eval(data={})
        if outcome.type() != cel.Type.BOOL:
            reason = str(outcome.value()).partition("invalid regular expression: ")[2]
            raise GuardError(f"is no regular expression: {reason or pattern}", found.start("pattern") + 1)


def undeclared(message: str) -> str | None:
    """The unknown name that a GuardError speaks of, for a did-you-mean."""
    found = re.match(r"unknown name '([\w.]+)'", message)
    return found.group(1) if found else None


def _readable(error: RuntimeError) -> GuardError:
    found = _PROBLEM.search(str(error))
    if found is None:
        return GuardError("is not an expression")
    column, problem = int(found.group(2)), found.group(3)
    name = re.match(r"undeclared reference to '([^']*)'", problem)
    if name:
        return GuardError(f"unknown name '{name.group(1)}'", column)
    if problem.startswith("found no matching overload"):
        types = re.search(r"for '_?(.*?)_?' applied to '(.*)'", problem)
        detail = (
            f"'{types.group(1).strip('_')}' does not take {types.group(2)}" if types else "types do not fit"
        )
        return GuardError(detail, column)
    return GuardError(
        problem.split("mismatched input")[0].strip().rstrip(":") or "is not an expression", column
    )
