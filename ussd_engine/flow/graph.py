"""A flow as a graph: one edge for every way from a state to the next.

The labels are the triggers of the compiled table, so the checker, the runtime and a drawing speak of the same
edges: `option.2`, `answer`, `tries`, `item`, `empty`, `on.opened`, `case.1`; a goto by cases adds the case, as in
`option.2.1`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ussd_engine.flow.model import (
    ActionState,
    AskState,
    CallState,
    Else,
    EndState,
    Flow,
    ListState,
    MenuState,
    RouteState,
    State,
    When,
)
from ussd_engine.flow.source import Path_

SCREENS = (MenuState, AskState, ListState, EndState)


@dataclass(frozen=True, slots=True)
class Edge:
    """`path` is where the target stands in the file; `sets` are the data that the edge surely fills."""

    label: str
    source: str
    target: str
    path: Path_
    sets: frozenset[str] = frozenset()


def state_key(flow: str, state: str) -> str:
    """The name of a state among all flows, as counts of visits give it."""
    return f"{flow}.{state}"


def edge_key(flow: str, source: str, label: str) -> str:
    """The name of an edge among all flows, as counts of visits give it."""
    return f"{state_key(flow, source)} {label}"


@dataclass(frozen=True, slots=True)
class Way:
    """A goto: its cases in order, each with its condition (none for `else` and for a plain target)."""

    label: str
    when: str | None
    target: str
    path: Path_


def ways(goto: str | list[When | Else], label: str, path: Path_) -> Iterator[Way]:
    if isinstance(goto, str):
        yield Way(label, None, goto, path)
        return
    for number, case in enumerate(goto, 1):
        inner = (*path, number - 1)
        if isinstance(case, When):
            yield Way(f"{label}.{number}", case.when, case.goto, (*inner, "goto"))
        else:
            yield Way(f"{label}.{number}", None, case.otherwise, (*inner, "else"))


def gotos(
    name: str, state: State
) -> Iterator[tuple[str, str | list[When | Else], Path_, frozenset[str], str]]:
    """Each goto of a state: label, goto, path, data that taking it sets, and the outcome that leads to it."""
    base: Path_ = ("states", name)
    match state:
        case MenuState():
            for number, option in enumerate(state.options, 1):
                path = (*base, "options", number - 1, "goto")
                yield f"option.{number}", option.goto, path, frozenset(option.set), ""
        case AskState():
            yield "answer", state.goto, (*base, "goto"), frozenset({state.save}), ""
            if state.tries:
                yield "tries", state.tries.then, (*base, "tries", "then"), frozenset(), ""
        case ListState():
            yield "item", state.goto, (*base, "goto"), frozenset(state.save), ""
            yield "empty", state.empty, (*base, "empty"), frozenset(), ""
        case ActionState() | CallState():
            for outcome, goto in state.outcomes.items():
                yield f"on.{outcome}", goto, (*base, "outcomes", outcome), frozenset(), outcome
        case RouteState():
            yield "case", state.route, (*base, "route"), frozenset(), ""
        case EndState():
            return


def edges(flow: Flow, given: Mapping[tuple[str, str], frozenset[str]] | None = None) -> Iterator[Edge]:
    """All edges. `given` says for (state, outcome) which data an action or a call surely fills."""
    for name, state in flow.states.items():
        for label, goto, path, sets, outcome in gotos(name, state):
            filled = sets | (given or {}).get((name, outcome), frozenset())
            for way in ways(goto, label, path):
                yield Edge(way.label, name, way.target, way.path, filled)


def outcomes_of(flow: Flow) -> set[str]:
    """Every outcome that the flow can end with."""
    return {state.outcome for state in flow.states.values() if isinstance(state, EndState) and state.outcome}


def outgoing(all_edges: Iterable[Edge]) -> dict[str, list[Edge]]:
    result: dict[str, list[Edge]] = {}
    for edge in all_edges:
        result.setdefault(edge.source, []).append(edge)
    return result


def silent(state: State, edge: Edge) -> bool:
    """Whether a way out of the state is taken without the subscriber: a list that is empty shows nothing."""
    return not isinstance(state, SCREENS) or (isinstance(state, ListState) and edge.label == "empty")


def can_go_back(flow: Flow, all_edges: Iterable[Edge], *, called: bool) -> frozenset[str]:
    """The screens on which the back key can mean something.

    A screen follows another without an action between them, or stands in a called flow, whose caller may have
    shown one. An action forgets all that was before it, and a screen does not lead back to itself.
    """
    out = outgoing(all_edges)
    found: set[str] = set()

    def screens_after(start: str) -> Iterator[str]:
        waiting, seen = [start], set[str]()
        while waiting:
            name = waiting.pop()
            state = flow.states.get(name)
            if name in seen or state is None or isinstance(state, ActionState):
                continue
            seen.add(name)
            if isinstance(state, SCREENS):
                yield name
            waiting.extend(edge.target for edge in out.get(name, []) if silent(state, edge))

    for name, state in flow.states.items():
        if isinstance(state, MenuState | AskState | ListState):
            for edge in out.get(name, []):
                found.update(target for target in screens_after(edge.target) if target != name)
        if isinstance(state, CallState):
            for edge in out.get(name, []):
                found.update(screens_after(edge.target))
    if called:
        found.update(screens_after(flow.start))
    return frozenset(found)
