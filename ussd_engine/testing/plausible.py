"""Values that an action could have given back: such that the flows take them, and a person knows them for samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ussd_engine.runtime.program import Action, CompiledFlow, Declared

if TYPE_CHECKING:
    from ussd_engine.flow.vocabulary import Kind
    from ussd_engine.runtime.program import Program, Scalar, Value

ITEMS = 3
NUMBER = "1000000000017"
AMOUNT = 1500
UNKNOWN = "xx"
"""A language that no flow has: a bank may know of more than the flows do."""


def plausible(
    program: Program, action: str, outputs: Mapping[str, Kind], language: str
) -> Mapping[str, Value]:
    """A value for each output that a flow keeps, as wide as the flows allow."""
    kept = kept_of(program, action)
    return {
        name: language if kept[name].name == "language" else _value(kept[name])
        for name in outputs
        if name in kept
    }


def kept_of(program: Program, action: str) -> Mapping[str, Declared]:
    """What flows keep of an action wherever it runs, by its outputs."""
    return kept_by(
        (flow, node)
        for flow in program.flows.values()
        for node in flow.nodes.values()
        if isinstance(node, Action) and node.action == action
    )


def kept_by(states: Iterable[tuple[CompiledFlow, Action]]) -> Mapping[str, Declared]:
    """What these states keep of their action, by its outputs: such that a value that fits suits all of them.

    An action declares kinds alone, so the flows say how wide a value is.
    """
    found = defaultdict[str, list[Declared]](list)
    for flow, node in states:
        for name, output in node.save.items():
            found[output].append(_language(flow) if name == "language" else flow.data[name])
    return {output: _narrowed(declarations) for output, declarations in found.items()}


def _language(flow: CompiledFlow) -> Declared:
    return Declared("language", "choice", False, None, None, (*flow.languages, UNKNOWN), "", "")


def _narrowed(declarations: Sequence[Declared]) -> Declared:
    """What fits all. Where nothing does, the first: then one of the flows breaks, and that is found."""
    first = next((one for one in declarations if not _takes_anything(one)), declarations[0])
    alike = [one for one in declarations if one.type == first.type]
    if first.name == "language":
        return replace(first, of=tuple(dict.fromkeys(choice for one in alike for choice in one.of)))
    least = max((one.min for one in alike if one.min is not None), default=None)
    most = min((one.max for one in alike if one.max is not None), default=None)
    of = tuple(choice for choice in first.of if all(choice in one.of for one in alike))
    if (least is not None and most is not None and least > most) or (first.of and not of):
        return first
    fields = dict.fromkeys(field for one in alike for field in one.item)
    item = {field: _narrowed([one.item[field] for one in alike if field in one.item]) for field in fields}
    return replace(first, min=least, max=most, of=of, item=item)


def _takes_anything(declared: Declared) -> bool:
    """Words are cut to what they hold, and a language that a flow does not have is passed over."""
    return declared.type in {"name", "text"} or declared.name == "language"


def extremes(declared: Declared) -> tuple[Value, ...]:
    """What conditions are made on, from end to end: each choice, the least and the most, nothing at all."""
    match declared.type:
        case "list":
            return tuple(_items(declared, size) for size in (2, 0, 1))
        case "number":
            return tuple(dict.fromkeys(_within(number, declared) for number in _ends(declared)))
        case "flag":
            return (True, False)
        case "choice":
            return declared.of
        case _:
            return (_scalar(declared, 0), "")


def _ends(declared: Declared) -> Iterator[int]:
    yield 1
    yield declared.min if declared.min is not None else 0
    yield declared.max if declared.max is not None else 100


def _value(declared: Declared) -> Value:
    return _items(declared, ITEMS) if declared.type == "list" else _scalar(declared, 0)


def _items(declared: Declared, size: int) -> Value:
    return tuple(
        {name: _scalar(field, number) for name, field in declared.item.items()} for number in range(size)
    )


def _scalar(declared: Declared, number: int) -> Scalar:
    """The `number` tells the items of a list apart."""
    match declared.type:
        case "flag":
            return True
        case "number":
            return _within(AMOUNT + number, declared)
        case "choice":
            return declared.of[number % len(declared.of)]
        case "date":
            return f"1990-01-{15 + number}"
        case "phone":
            return f"+25471100000{2 + number}"
        case "digits" | "pin":
            return _digits(declared, number)
        case "name":
            return "Sample" if "last" in declared.name else "Jane"
        case _:
            known = "account" in declared.name or "number" in declared.name
            return str(int(NUMBER) + number) if known else f"Sample {number + 1}" if number else "Sample"


def _digits(declared: Declared, number: int) -> str:
    text = str(int(NUMBER) + number)
    most = declared.max
    return text[-most:] if most is not None and most < len(text) else text.zfill(declared.min or 0)


def _within(value: int, declared: Declared) -> int:
    value = value if declared.max is None else min(value, declared.max)
    return value if declared.min is None else max(value, declared.min)
