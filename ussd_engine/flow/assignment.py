"""Which values are surely filled where: a value must be filled on every way before it is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from ussd_engine.flow.graph import Edge, edges, gotos, outcomes_of, outgoing, ways
from ussd_engine.flow.guards import reads
from ussd_engine.flow.homeward import Calls, Place, away_after, comes_back_to, works
from ussd_engine.flow.model import (
    ActionState,
    AskState,
    CallState,
    EndState,
    Flow,
    ListState,
    MenuState,
    State,
)
from ussd_engine.flow.source import Path_
from ussd_engine.flow.text import BadPlaceholder, Slot, pieces, singles
from ussd_engine.flow.vocabulary import ActionSpec


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A read of `name` at `path`, and the `way` of states on which nothing fills it."""

    state: str
    name: str
    path: Path_
    way: tuple[str, ...]


def unfilled(
    flow: Flow, returned: Returned, actions: Mapping[str, ActionSpec], calls: Calls
) -> Iterator[Unfilled]:
    """Every read that some way reaches unfilled, once for each place. The way may be one by the home key."""
    steps = _with_home(flow, _edges(flow, returned, actions), calls)
    filled = _filled(flow, steps)
    for name, state in flow.states.items():
        places = [place for place in ((name, False), (name, True)) if place in filled]
        if not places:
            continue  # unreachable: nothing is ever read there
        for read, path in _reads(name, state):
            empty = [place for place in places if read not in filled[place]]
            if read in flow.data and empty:
                yield Unfilled(name, read, path, _way(flow, steps, empty[0], read))


def _initially(flow: Flow) -> frozenset[str]:
    return (
        frozenset(flow.inputs)
        | {n for n, data in flow.data.items() if data.default is not None}
        | {"language"}
    )


_Steps = Mapping[Place, list[tuple[Place, frozenset[str]]]]
"""The next places of each, with the data that the step fills."""


def leads_home(flow: Flow) -> bool:
    """Whether the home key can lead to where nothing else does with less data: to the start it always can."""
    return bool(flow.dial) and flow.home not in {None, flow.start} and flow.home in flow.states


def _with_home(flow: Flow, all_edges: list[Edge], calls: Calls) -> _Steps:
    if not leads_home(flow) or flow.home is None:
        return _steps(all_edges)
    steps: dict[Place, list[tuple[Place, frozenset[str]]]] = {}
    out = outgoing(all_edges)
    for name in flow.states:
        for away in (False, True):
            steps[name, away] = [
                ((edge.target, after), edge.sets)
                for edge in out.get(name, [])
                for after in away_after(flow, edge, calls, away=away)
            ]
            if works(flow, (name, away), calls):
                steps[name, away].append(((flow.home, False), frozenset()))
        steps[name, False] += [
            ((name, True), edge.sets) for edge in comes_back_to(flow, name, out.get(name, []))
        ]
    return steps


def _steps(all_edges: list[Edge]) -> _Steps:
    """Without the home key."""
    return {
        (source, False): [((edge.target, False), edge.sets) for edge in out]
        for source, out in outgoing(all_edges).items()
    }


def _filled(flow: Flow, steps: _Steps) -> dict[Place, frozenset[str]]:
    """For each reachable place, what is filled on every way to it: a fixed point from above."""
    start = (flow.start, False)
    filled = {start: _initially(flow)}
    waiting = deque([start])
    while waiting:
        place = waiting.popleft()
        for target, sets in steps.get(place, ()):
            arrives = filled[place] | sets
            known = filled.get(target)
            after = arrives if known is None else known & arrives
            if after != known:
                filled[target] = after
                waiting.append(target)
    return filled


Returned = Mapping[str, Mapping[str, frozenset[str]]]
"""For each flow and each of its outcomes: what is filled at every end with that outcome."""


def returns(flows: Mapping[str, Flow], actions: Mapping[str, ActionSpec]) -> Returned:
    """A fixed point from above, as flows may call each other: whoever calls a flow that changed is seen again."""
    known = {name: dict.fromkeys(outcomes_of(flow), frozenset(flow.data)) for name, flow in flows.items()}
    callers = _callers(flows)
    waiting = dict.fromkeys(flows)  # each name once
    while waiting:
        name, _ = waiting.popitem()
        returned = _returned(flows[name], known, actions)
        if returned != known[name]:
            known[name] = returned
            waiting.update(dict.fromkeys(callers.get(name, ())))
    return known


def _callers(flows: Mapping[str, Flow]) -> dict[str, list[str]]:
    callers: dict[str, list[str]] = {}
    for name, flow in flows.items():
        for state in flow.states.values():
            if isinstance(state, CallState):
                callers.setdefault(state.call, []).append(name)
    return callers


def _returned(flow: Flow, known: Returned, actions: Mapping[str, ActionSpec]) -> dict[str, frozenset[str]]:
    filled = _filled(flow, _steps(_edges(flow, known, actions)))
    result: dict[str, frozenset[str]] = {}
    for name, state in flow.states.items():
        here = filled.get((name, False))
        if isinstance(state, EndState) and state.outcome is not None and here is not None:
            result[state.outcome] = result.get(state.outcome, here) & here
    return result


def _edges(flow: Flow, known: Returned, actions: Mapping[str, ActionSpec]) -> list[Edge]:
    return [edge for edge in edges(flow, _given(flow, known, actions)) if edge.target in flow.states]


def _given(
    flow: Flow, known: Returned, actions: Mapping[str, ActionSpec]
) -> dict[tuple[str, str], frozenset[str]]:
    """For (state, outcome): the data that the action or the called flow surely fills with that outcome."""
    given: dict[tuple[str, str], frozenset[str]] = {}
    for name, state in flow.states.items():
        outcomes: Mapping[str, Collection[str]] = {}
        if isinstance(state, ActionState) and state.action in actions:
            outcomes = actions[state.action].outcomes
        elif isinstance(state, CallState):
            outcomes = known.get(state.call, {})
        if isinstance(state, ActionState | CallState):
            for outcome, outputs in outcomes.items():
                given[name, outcome] = frozenset(
                    mine for mine, theirs in state.save.items() if theirs in outputs
                )
    return given


def _reads(name: str, state: State) -> Iterator[tuple[str, Path_]]:
    base: Path_ = ("states", name)
    match state:
        case MenuState():
            yield from _in_text(state.menu, (*base, "menu"))
            for index, option in enumerate(state.options):
                at = (*base, "options", index)
                yield from _in_text(option.text, (*at, "text"))
                if option.when is not None:
                    yield from ((n, (*at, "when")) for n in reads(option.when))
                for target, value in option.set.items():
                    yield from ((n, (*at, "set", target)) for n in reads(value))
        case AskState():
            yield from _in_text(state.ask, (*base, "ask"))
            yield from _in_text(state.wrong or "", (*base, "wrong"))
        case ListState():
            yield state.of, (*base, "of")
            yield from _in_text(state.list, (*base, "list"))
        case ActionState() | CallState():
            for key, value in state.inputs.items():
                yield from ((n, (*base, "with", key)) for n in reads(value))
        case EndState():
            yield from _in_text(state.end or "", (*base, "end"))
        case _:
            pass
    for _, goto, path, sets, _ in gotos(name, state):
        for way in ways(goto, "", path):
            if way.when is not None:
                yield from ((n, (*way.path[:-1], "when")) for n in reads(way.when) if n not in sets)


def _in_text(text: str | dict[str, str], path: Path_) -> Iterator[tuple[str, Path_]]:
    for at, single in singles(text, path):
        try:
            slots = {piece.name for piece in pieces(single) if isinstance(piece, Slot)}
        except BadPlaceholder:
            continue
        yield from ((slot, at) for slot in sorted(slots))


def _way(flow: Flow, steps: _Steps, target: Place, name: str) -> tuple[str, ...]:
    """The states of the shortest way to `target` on which nothing fills `name`."""
    start = (flow.start, False)
    before: dict[Place, Place | None] = {start: None}
    waiting = deque([start])
    while waiting and target not in before:
        place = waiting.popleft()
        for after, sets in steps.get(place, ()):
            if name not in sets and after not in before:
                before[after] = place
                waiting.append(after)
    way = [target]
    while (earlier := before.get(way[-1])) is not None:
        way.append(earlier)
    return tuple(name for name, _ in groupby(state for state, _ in reversed(way)))
