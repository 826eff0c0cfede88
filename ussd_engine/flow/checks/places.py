"""Every place of a flow where an expression stands, with what takes its value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ussd_engine.flow.checks.kinds import kind_of_data
from ussd_engine.flow.graph import gotos, ways
from ussd_engine.flow.model import ActionState, AskState, CallState, Data, Flow, MenuState, State
from ussd_engine.flow.source import Path_
from ussd_engine.flow.vocabulary import ActionSpec, Input, Kind


@dataclass(frozen=True, slots=True)
class Place:
    """An expression and the kind that it must have. A value goes into what `takes` it, a condition into nothing.

    `of_answer`: it may read `answer`, which was just typed.
    """

    path: Path_
    source: str
    kind: Kind
    takes: Data | Input | None = None
    of_answer: bool = False


def places(flow: Flow, flows: Mapping[str, Flow], actions: Mapping[str, ActionSpec]) -> Iterator[Place]:
    """All of them, except values for a name that there is not, which has its own rule."""
    own = _holders(flow)
    for name, state in flow.states.items():
        base: Path_ = ("states", name)
        yield from _conditions(name, state)
        match state:
            case MenuState():
                for index, option in enumerate(state.options):
                    yield from _values((*base, "options", index, "set"), option.set, own)
            case ActionState() if state.action in actions:
                yield from _values((*base, "with"), state.inputs, actions[state.action].inputs)
            case CallState() if state.call in flows:
                yield from _values((*base, "with"), state.inputs, _holders(flows[state.call]))
            case _:
                pass


def _conditions(name: str, state: State) -> Iterator[Place]:
    for _, goto, path, _, _ in gotos(name, state):
        for way in ways(goto, "", path):
            if way.when is not None:
                yield Place((*way.path[:-1], "when"), way.when, "bool")
    if isinstance(state, MenuState):
        for index, option in enumerate(state.options):
            if option.when is not None:
                yield Place(("states", name, "options", index, "when"), option.when, "bool")
    if isinstance(state, AskState) and state.accept.when is not None:
        yield Place(("states", name, "accept", "when"), state.accept.when, "bool", of_answer=True)


def _values(path: Path_, sources: Mapping[str, str], takers: Mapping[str, Data | Input]) -> Iterator[Place]:
    for name, source in sources.items():
        if name in takers:
            takes = takers[name]
            kind = takes.kind if isinstance(takes, Input) else kind_of_data(takes)
            yield Place((*path, name), source, kind, takes)


def _holders(flow: Flow) -> dict[str, Data]:
    """What can be set in a flow: its data, and the language of the session, which must be one of its own."""
    return {**flow.data, "language": Data(type="choice", of=flow.languages)}
