"""Rules of structure: declarations that go together, service codes that are one flow's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ussd_engine.charset import EXTENSION
from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.checks.kinds import is_secret, misfit_of
from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.model import MAX_ITEMS, Data, Flow
from ussd_engine.flow.source import Path_, Source
from ussd_engine.flow.text import unprintable
from ussd_engine.flow.values import LONGEST, SHORTEST, limits

LONGEST_VALUE = 160
"""Characters, as many as a page holds: a bank may give more than can be typed at once."""


def same_service_code(flows: Mapping[str, Flow], sources: Mapping[str, Source]) -> Iterator[Diagnostic]:
    seen: dict[str, str] = {}
    for name, flow in flows.items():
        for index, code in enumerate(flow.dial):
            if code in seen:
                message = f"service code '{code}' is dialled for flow '{seen[code]}' already"
                yield sources[name].finding(("dial", index), "F107", message, "give each code to one flow")
            seen.setdefault(code, name)


def resumes_what_is_dialled(context: Context) -> Iterator[Diagnostic]:
    """F115: a 'resume' in a flow that nobody dials: what is gone on with is the session, from its dial."""
    flow = context.flow
    if not flow.dial and flow.model_fields_set & {"resume", "resume_within_min"}:
        key = "resume" if "resume" in flow.model_fields_set else "resume_within_min"
        message = f"flow '{flow.flow}' has '{key}', and no service code"
        yield context.source.finding(
            (key,),
            "F115",
            message,
            "write it in the flow that is dialled; it holds for what that one calls",
            key=True,
        )


def data_declarations(context: Context) -> Iterator[Diagnostic]:
    """F108: a declaration whose parts do not go together."""
    for name, data in context.flow.data.items():
        for message, hint in _declaration(name, data, context.flow):
            yield context.source.finding(("data", name), "F108", f"data '{name}' {message}", hint, key=True)


def _declaration(name: str, data: Data, flow: Flow | None) -> Iterator[tuple[str, str]]:
    if name in {"session", "today", "answer"}:
        yield "has a name that the engine uses itself", "choose another name"
    if data.type == "choice" and not data.of:
        yield "is a choice of nothing", "list what it may be: 'of: [a, b]'"
    if data.type != "choice" and data.of is not None:
        yield f"has 'of', which a {data.type} does not take", "'of' belongs to 'type: choice'"
    for value in data.of or ():
        if sign := unprintable(value):
            yield f"may be a text that holds {sign}, which no phone shows", "take it out of 'of'"
    if data.region is not None and data.type != "phone":
        yield f"has 'region', which a {data.type} does not take", "'region' belongs to 'type: phone'"
    if data.type == "list":
        yield from _list(data)
    elif data.item is not None:
        yield f"has 'item', which a {data.type} does not take", "'item' belongs to 'type: list'"
    yield from _range(data)
    if data.type in {"choice", "date", "phone", "flag"} and (data.max is not None or data.min is not None):
        yield f"has min or max, which a {data.type} does not take", ""
    if data.default is not None and data.type != "list" and (reason := misfit_of(data, data.default)):
        yield f"has a default that {reason}", ""
    if data.type == "name" and (sign := next((c for c in str(data.default) if c in EXTENSION), "")):
        yield f"has a default that holds '{sign}', which no name does", "write it without, or declare a text"
    if is_secret(data) and data.default is not None:
        yield "is secret and has a default, which stands in a file for all to read", "take the default away"
    if (
        flow
        and name == "language"
        and (data.type != "choice" or not set(data.of or ()) <= set(flow.languages))
    ):
        yield (
            "is the language of the session",
            "declare it as a choice of the flow's languages, or not at all",
        )


def _list(data: Data) -> Iterator[tuple[str, str]]:
    if data.item is None:
        yield "is a list of nothing", "say what each item has: 'item: {number: {type: digits, max: 16}}'"
    if data.secret or data.default is not None or data.min is not None:
        yield (
            "is a list, which takes no 'secret', 'default' or 'min'",
            "a list is filled by an action, and shown",
        )
    if data.max is not None and not 1 <= data.max <= MAX_ITEMS:
        yield f"has max {data.max}", f"a list has 1 to {MAX_ITEMS} items"
    for name, field in (data.item or {}).items():
        plain = Data(**field.model_dump())
        for message, hint in _declaration(name, plain, None):
            yield f"has a field '{name}' that {message}", hint


def _range(data: Data) -> Iterator[tuple[str, str]]:
    least, most = limits(data.type, data.min, data.max)
    if data.type in LONGEST and data.type != "list" and most is not None and not 1 <= most <= LONGEST_VALUE:
        yield f"has max {most}", f"a value has 1 to {LONGEST_VALUE} characters"
    elif least is not None and most is not None and least > most:
        usual = f"{SHORTEST.get(data.type)} to {LONGEST.get(data.type)}"
        hint = f"a {data.type} has {usual} characters where it does not say otherwise"
        yield f"has min {least} above max {most}", hint if None in {data.min, data.max} else ""


def stands_twice(context: Context) -> Iterator[Diagnostic]:
    """F110: a list that names one thing twice. Choices are typed in any case, so 'red' and 'Red' are one."""
    flow = context.flow
    lists: dict[Path_, list[str]] = {
        ("languages",): flow.languages,
        ("inputs",): flow.inputs,
        ("outputs",): flow.outputs,
        **{("data", name, "of"): data.of for name, data in flow.data.items() if data.of},
    }
    for path, values in lists.items():
        known = [value.casefold() for value in values]
        for index, value in enumerate(known):
            if value in known[:index]:
                message = f"'{values[index]}' stands twice in '{path[-1]}'"
                yield context.source.finding((*path, index), "F110", message, "take one of them away")
