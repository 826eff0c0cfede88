"""Rules of input: keys, answers, and values that are filled before they are read."""

from __future__ import annotations

from collections.abc import Iterator

from ussd_engine.flow import assignment
from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.graph import can_go_back
from ussd_engine.flow.model import Accept, AskState, Data, MenuState
from ussd_engine.flow.source import Path_
from ussd_engine.flow.values import limits


def option_keys(context: Context) -> Iterator[Diagnostic]:
    """F401: two options with one key. F402: an option on a key that the engine owns there."""
    flow = context.flow
    back = can_go_back(flow, called=context.called)
    for name, state in flow.states.items():
        if not isinstance(state, MenuState):
            continue
        owned = {flow.keys.more: "more"}
        if state.back == "on" and flow.keys.back != "off" and name in back:
            owned[flow.keys.back] = "back"
        if state.home == "on" and flow.keys.home != "off":
            owned[flow.keys.home] = "home"
        seen: dict[str, int] = {}
        for index, key in enumerate(keys_of(state)):
            path: Path_ = ("states", name, "options", index)
            at: Path_ = (*path, "key") if state.options[index].key else path
            if key in seen:
                message = f"options {seen[key] + 1} and {index + 1} of '{name}' are both on key '{key}'"
                hint = "options without a key are numbered 1, 2, 3 ... from the top"
                yield context.source.finding(at, "F401", message, hint)
            seen.setdefault(key, index)
            if key in owned:
                message = (
                    f"option {index + 1} of '{name}' is on key '{key}', which is the {owned[key]} key here"
                )
                hint = f"choose another key, or write '{owned[key]}: off' in this state"
                yield context.source.finding(at, "F402", message, "" if owned[key] == "more" else hint)


def keys_of(state: MenuState) -> list[str]:
    """The key of each option when all are shown: as written, else counted among those without one."""
    numbers = iter(range(1, len(state.options) + 1))
    return [option.key or str(next(numbers)) for option in state.options]


def navigation_keys(context: Context) -> Iterator[Diagnostic]:
    """F405: one key for two ways of moving about."""
    keys, seen = context.flow.keys, dict[str, str]()
    for name in ("more", "back", "home"):
        key = getattr(keys, name)
        if key in seen:
            written = name if name in keys.model_fields_set else seen[key]  # the other one has its usual key
            message = f"'{seen[key]}' and '{name}' are both on key '{key}'"
            hint = "give each a key of its own; where none is written, more is 98, back 0 and home 00"
            yield context.source.finding(("keys", written), "F405", message, hint)
        elif key != "off":
            seen[key] = name


def accept_suits(context: Context) -> Iterator[Diagnostic]:
    """F403: an `accept` that does not suit the type of the value."""
    for name, state in context.flow.states.items():
        if not isinstance(state, AskState):
            continue
        data = context.flow.data.get(state.save)
        if data is not None:
            for message, hint in _accept(state.accept, data, state.save):
                yield context.source.finding(("states", name, "accept"), "F403", message, hint)


def _accept(accept: Accept, data: Data, name: str) -> Iterator[tuple[str, str]]:
    dated = [key for key in ("date", "min_age", "max_age") if getattr(accept, key) is not None]
    if dated and data.type != "date":
        yield f"'{dated[0]}' is for dates, and data '{name}' is a {data.type}", "declare it as 'type: date'"
    if data.type == "date" and accept.date is None:
        yield (
            f"data '{name}' is a date, and 'accept' does not say how it is typed",
            "'accept: {date: DDMMYYYY}'",
        )
    if data.type == "flag":
        yield f"data '{name}' is a flag, which nobody can type", "use a menu with 'set'"
    if (accept.min is not None or accept.max is not None) and data.type in {
        "choice",
        "date",
        "phone",
        "flag",
    }:
        yield f"'min' and 'max' mean nothing for a {data.type}", ""
    yield from _bounds(accept, data, name)


def _bounds(accept: Accept, data: Data, name: str) -> Iterator[tuple[str, str]]:
    if accept.min is not None and accept.max is not None and accept.min > accept.max:
        yield f"min {accept.min} is above max {accept.max}", ""
    if accept.min_age is not None and accept.max_age is not None and accept.min_age > accept.max_age:
        yield f"min_age {accept.min_age} is above max_age {accept.max_age}", ""
    if accept.date == "DDMMYY" and accept.min_age is not None and accept.min_age >= 100:  # noqa: PLR2004 - years
        yield f"min_age {accept.min_age} is never reached by a year of two digits", "use 'date: DDMMYYYY'"
    least, most = limits(data.type, data.min, data.max)
    for key, value in (("min", accept.min), ("max", accept.max)):
        if value is not None and most is not None and value > most:
            yield f"{key} {value} is above max {most} of data '{name}'", f"raise 'max' of data '{name}'"
    if accept.max is not None and least is not None and accept.max < least:
        yield f"max {accept.max} is below min {least} of data '{name}'", f"lower 'min' of data '{name}'"


def assigned(context: Context) -> Iterator[Diagnostic]:
    """F404: a value that is read where some way has not filled it."""
    for read in assignment.unfilled(context.flow, context.returned, context.actions):
        way = " > ".join(read.way)
        message = f"state '{read.state}' reads '{read.name}', which is not filled on the way {way}"
        hint = f"ask for it before, or give '{read.name}' a default"
        yield context.source.finding(read.path, "F404", message, hint)
