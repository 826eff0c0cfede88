"""Values that an action could have given back: such that the flows take them, and a person knows them for samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ussd_engine.flow.vocabulary import ListOf
from ussd_engine.runtime.program import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ussd_engine.flow.vocabulary import Kind
    from ussd_engine.runtime.program import Declared, Program, Scalar, Value

ITEMS = 3
NUMBER = "1000000000017"
AMOUNT = 1500


def plausible(
    program: Program, action: str, outputs: Mapping[str, Kind], language: str
) -> Mapping[str, Value]:
    """A value for each output, as wide as the flows that keep it allow."""
    saved = _saved(program, action)
    return {
        name: language if name == "language" else _value(name, kind, saved.get(name))
        for name, kind in outputs.items()
    }


def _saved(program: Program, action: str) -> Mapping[str, Declared]:
    """What the flows keep of an action, by the names of its outputs."""
    return {
        output: flow.data[name]
        for flow in program.flows.values()
        for node in flow.nodes.values()
        if isinstance(node, Action) and node.action == action
        for name, output in node.save.items()
        if name in flow.data
    }


def _value(name: str, kind: Kind, declared: Declared | None) -> Value:
    if isinstance(kind, ListOf):
        fields = declared.item if declared else {}
        return tuple(
            {field: _scalar(field, of, fields.get(field), number) for field, of in kind.fields}
            for number in range(ITEMS)
        )
    return _scalar(name, kind, declared, 0)


def _scalar(name: str, kind: str, declared: Declared | None, number: int) -> Scalar:
    """The `number` tells the items of a list apart."""
    if kind == "bool":
        return True
    if kind == "int":
        return _within(AMOUNT + number, declared)
    match declared.type if declared else "text":
        case "choice":
            of = cast("Declared", declared).of
            return of[number % len(of)]
        case "date":
            return f"1990-01-{15 + number}"
        case "phone":
            return f"+25471100000{2 + number}"
        case "digits" | "pin":
            return _digits(declared, number)
        case "name":
            return "Sample" if "last" in name else "Jane"
        case _:
            known = "account" in name or "number" in name
            return str(int(NUMBER) + number) if known else f"Sample {number + 1}" if number else "Sample"


def _digits(declared: Declared | None, number: int) -> str:
    text = str(int(NUMBER) + number)
    least, most = (declared.min, declared.max) if declared else (None, None)
    return text[-most:] if most is not None and most < len(text) else text.zfill(least or 0)


def _within(value: int, declared: Declared | None) -> int:
    least, most = (declared.min, declared.max) if declared else (None, None)
    value = value if most is None else min(value, most)
    return value if least is None else max(value, least)
