"""Rules of structure: declarations that go together, service codes that are one flow's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ussd_engine.flow.checks.context import Context, is_secret
from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.model import Data, Flow
from ussd_engine.flow.source import Source

LONGEST_ANSWER = 160
"""Characters that a subscriber can type at once on any network."""


def same_service_code(flows: Mapping[str, Flow], sources: Mapping[str, Source]) -> Iterator[Diagnostic]:
    seen: dict[str, str] = {}
    for name, flow in flows.items():
        for index, code in enumerate(flow.dial):
            if code in seen:
                message = f"service code '{code}' is dialled for flow '{seen[code]}' already"
                yield sources[name].finding(("dial", index), "F107", message, "give each code to one flow")
            seen.setdefault(code, name)


def data_declarations(context: Context) -> Iterator[Diagnostic]:
    """F108: a declaration whose parts do not go together."""
    for name, data in context.flow.data.items():
        for message, hint in _declaration(name, data, context.flow):
            yield context.source.finding(("data", name), "F108", f"data '{name}' {message}", hint, key=True)


def _declaration(name: str, data: Data, flow: Flow) -> Iterator[tuple[str, str]]:
    if name in {"session", "today", "answer"}:
        yield "has a name that the engine uses itself", "choose another name"
    if data.type == "choice" and not data.of:
        yield "is a choice of nothing", "list what it may be: 'of: [a, b]'"
    if data.type != "choice" and data.of is not None:
        yield f"has 'of', which a {data.type} does not take", "'of' belongs to 'type: choice'"
    if data.region is not None and data.type != "phone":
        yield f"has 'region', which a {data.type} does not take", "'region' belongs to 'type: phone'"
    if data.min is not None and data.max is not None and data.min > data.max:
        yield f"has min {data.min} above max {data.max}", ""
    if (
        data.type in {"name", "text", "digits", "pin"}
        and data.max is not None
        and not 1 <= data.max <= LONGEST_ANSWER
    ):
        yield f"has max {data.max}", f"a typed value has 1 to {LONGEST_ANSWER} characters"
    if data.type in {"choice", "date", "phone", "flag"} and (data.max is not None or data.min is not None):
        yield f"has min or max, which a {data.type} does not take", ""
    if data.default is not None and not _default_suits(data):
        yield f"has a default that is no {data.type}", ""
    if is_secret(data) and data.default is not None:
        yield "is secret and has a default, which stands in a file for all to read", "take the default away"
    if name == "language" and (data.type != "choice" or not set(data.of or ()) <= set(flow.languages)):
        yield (
            "is the language of the session",
            "declare it as a choice of the flow's languages, or not at all",
        )


def _default_suits(data: Data) -> bool:
    if data.type == "number":
        return type(data.default) is int
    if data.type == "flag":
        return type(data.default) is bool
    return isinstance(data.default, str) and (data.type != "choice" or data.default in (data.of or ()))
