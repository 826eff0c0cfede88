"""Rules of lists: what is shown is a list, and what is kept of an item is a field of it."""

from __future__ import annotations

from collections.abc import Iterator

from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.diagnostic import Diagnostic, did_you_mean
from ussd_engine.flow.model import ListState
from ussd_engine.flow.source import Path_
from ussd_engine.flow.vocabulary import KIND_OF_TYPE


def items(context: Context) -> Iterator[Diagnostic]:
    """F111: a `list` state over what is no list, or that keeps what its items do not have."""
    for name, state in context.flow.states.items():
        if isinstance(state, ListState):
            yield from _of(context, ("states", name), state)


def _of(context: Context, path: Path_, state: ListState) -> Iterator[Diagnostic]:
    for saved in state.save:
        if saved not in context.flow.data and saved != "language":
            yield context.unknown_data((*path, "save", saved), saved, key=True)
    data = context.flow.data.get(state.of)
    if data is None:
        yield context.unknown_data((*path, "of"), state.of)
        return
    if data.type != "list":
        lists = [name for name, one in context.flow.data.items() if one.type == "list"]
        message = f"'{state.of}' is a {data.type}, and no list"
        hint = did_you_mean(state.of, lists) or f"declare it as '{state.of}: {{type: list, item: ...}}'"
        yield context.source.finding((*path, "of"), "F111", message, hint)
        return
    fields = data.item or {}
    for saved, field in state.save.items():
        at: Path_ = (*path, "save", saved)
        if field not in fields:
            message = f"items of '{state.of}' have no field '{field}'"
            yield context.source.finding(at, "F111", message, did_you_mean(field, fields))
        elif saved in context.flow.data and KIND_OF_TYPE[fields[field].type] != context.kinds[saved]:
            message = (
                f"field '{field}' is of kind {KIND_OF_TYPE[fields[field].type]},"
                f" and '{saved}' of kind {context.kinds[saved]}"
            )
            yield context.source.finding(at, "F208", message)
