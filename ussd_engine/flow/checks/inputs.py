"""Rules of input: keys, answers, and values that are filled before they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ussd_engine.flow import assignment
from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.checks.keys import keys_by_network, navigation
from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.model import Accept, AskState, Data, ListState, MenuState, keys_of
from ussd_engine.flow.source import Path_
from ussd_engine.flow.values import limits


def option_keys(context: Context) -> Iterator[Diagnostic]:
    """F401: two options with one key. F402: an option, or an item of a list, on a key that the engine owns there."""
    flow = context.flow
    for name, state in flow.states.items():
        if not isinstance(state, MenuState | ListState):
            continue
        owned = _owned(context, state, back=name in context.back)
        if isinstance(state, ListState):
            yield from _item_keys(context, name, state, owned)
            continue
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
                what, where = owned[key]
                message = f"option {index + 1} of '{name}' is on key '{key}', which is the {what} key {where}"
                hint = f"choose another key, or write '{what}: off' in this state"
                yield context.source.finding(at, "F402", message, "" if what == "more" else hint)


def _owned(context: Context, state: MenuState | ListState, *, back: bool) -> dict[str, tuple[str, str]]:
    """Each key that moves about on this screen, on some network: what it is, and where.

    On a list back turns its pages as well, whatever lies behind. An option of a menu keeps its key there.
    """
    moves = navigation(context, state, back=back or isinstance(state, ListState))
    keys = keys_by_network(context, context.networks)
    return {**moves, **{more: ("more", where) for (more, _, _), where in reversed(keys.items())}}


def _item_keys(
    context: Context, name: str, state: ListState, owned: Mapping[str, tuple[str, str]]
) -> Iterator[Diagnostic]:
    data = context.flow.data.get(state.of)
    if data is None or data.type != "list":
        return
    _, most = limits("list", None, data.max)
    for number in range(1, (most or 0) + 1):
        if str(number) in owned:
            what, where = owned[str(number)]
            message = f"item {number} of '{name}' is on key '{number}', which is the {what} key {where}"
            yield context.source.finding(
                ("states", name, "of"), "F402", message, f"choose another {what} key, or fewer items: 'max'"
            )


def navigation_keys(context: Context) -> Iterator[Diagnostic]:
    """F405: one key for two ways of moving about."""
    keys = context.flow.keys
    for (more, back, home), where in keys_by_network(context, context.networks).items():
        seen = dict[str, str]()
        for name, key in (("more", more), ("back", back), ("home", home)):
            if key in seen:
                written = name if name in keys.model_fields_set else seen[key]  # the other has its usual key
                message = f"'{seen[key]}' and '{name}' are both on key '{key}'"
                message += "" if where == "here" else f" {where}"
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
    if data.type in {"flag", "list"}:
        yield f"data '{name}' is a {data.type}, which nobody can type", "use a menu with 'set'"
    if (accept.min is not None or accept.max is not None) and data.type in {
        "choice",
        "date",
        "phone",
        "flag",
        "list",
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
    for read in assignment.unfilled(context.flow, context.returned, context.actions, context.calls):
        way = " > ".join(read.way)
        message = f"state '{read.state}' reads '{read.name}', which is not filled on the way {way}"
        hint = f"ask for it before, or give '{read.name}' a default"
        if assignment.leads_home(context.flow) and context.flow.home in read.way[1:]:
            hint += f"; the home key leads to '{context.flow.home}'"
        yield context.source.finding(read.path, "F404", message, hint)
