"""Rules of input: keys, answers, and values that are filled before they are read."""

from __future__ import annotations

from collections.abc import Iterator

from ussd_engine.flow import assignment
from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.graph import can_go_back
from ussd_engine.flow.model import Accept, AskState, Data, MenuState
from ussd_engine.flow.source import Path_


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
    if accept.min is not None and accept.max is not None and accept.min > accept.max:
        yield f"min {accept.min} is above max {accept.max}", ""
    if accept.min_age is not None and accept.max_age is not None and accept.min_age > accept.max_age:
        yield f"min_age {accept.min_age} is above max_age {accept.max_age}", ""
    if data.max is not None and accept.max is not None and accept.max > data.max:
        yield f"max {accept.max} is above the {data.max} that data '{name}' is declared with", ""


def assigned(context: Context) -> Iterator[Diagnostic]:
    """F404: a value that is read where some way has not filled it."""
    for read in assignment.unfilled(context.flow, context.flows, context.actions):
        way = " > ".join(read.way)
        message = f"state '{read.state}' reads '{read.name}', which is not filled on the way {way}"
        hint = f"ask for it before, or give '{read.name}' a default"
        yield context.source.finding(read.path, "F404", message, hint)
