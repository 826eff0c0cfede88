"""Where the home key works. It needs a screen that was left behind, and out of called flows it leads home as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ussd_engine.flow.graph import Edge, edges, outgoing, silent
from ussd_engine.flow.model import AskState, CallState, EndState, Flow, ListState, MenuState

Place = tuple[str, bool]
"""A state, and whether the session is away from its first screen there: one was left behind."""


@dataclass(frozen=True, slots=True)
class Called:
    """What becomes of a session that enters a flow: away or not at its return, and whether it may go home instead."""

    returns: frozenset[bool] = frozenset()
    leads_home: bool = False


Calls = Mapping[Place, Called]
"""By the flow that is called, and whether the session is away when it is."""


def calls(flows: Mapping[str, Flow]) -> Calls:
    """Of every flow that is called. A fixed point from below, as flows may call each other."""
    callers: dict[str, set[str]] = {}
    for name, flow in flows.items():
        for state in flow.states.values():
            if isinstance(state, CallState) and state.call in flows:
                callers.setdefault(state.call, set()).add(name)
    known = {(name, away): Called() for name in callers for away in (False, True)}
    waiting = dict.fromkeys(known)  # each place once
    while waiting:
        place, _ = waiting.popitem()
        found = _called(flows[place[0]], known, away=place[1])
        if found != known[place]:
            known[place] = found
            again = callers[place[0]] & callers.keys()
            waiting.update(dict.fromkeys((name, away) for name in again for away in (False, True)))
    return known


def _called(flow: Flow, known: Calls, *, away: bool) -> Called:
    out = outgoing([edge for edge in edges(flow) if edge.target in flow.states])
    reached, waiting = set[Place](), [(flow.start, away)]
    while waiting:
        place = waiting.pop()
        if place[0] in flow.states and place not in reached:
            reached.add(place)
            waiting.extend(
                (edge.target, after)
                for edge in out.get(place[0], ())
                for after in away_after(flow, edge, known, away=place[1])
            )
            if any(comes_back_to(flow, place[0], out.get(place[0], ()))):
                waiting.append((place[0], True))
    returns = frozenset(
        is_away
        for name, is_away in reached
        if isinstance(state := flow.states[name], EndState) and state.outcome
    )
    return Called(returns, any(works(flow, place, known) for place in reached))


def away_after(flow: Flow, edge: Edge, known: Calls, *, away: bool) -> Iterator[bool]:
    """Whether the session is away where an edge leads, from a state where it is or is not."""
    state = flow.states[edge.source]
    if isinstance(state, CallState):
        yield from known.get((state.call, away), Called()).returns
    else:
        yield away or not (silent(state, edge) or edge.target == edge.source)


def comes_back_to(flow: Flow, name: str, out: list[Edge] | tuple[()]) -> Iterator[Edge]:
    """The choices of a screen after which the back key leads to it: the session is away there then."""
    if not isinstance(flow.states[name], MenuState | AskState | ListState) or flow.keys.back == "off":
        return
    for edge in out:
        after = flow.states[edge.target]
        if (
            edge.label not in {"tries", "empty"}
            and edge.target != name
            and isinstance(after, MenuState | AskState | ListState)
            and after.back == "on"
        ):
            yield edge


def works(flow: Flow, place: Place, known: Calls) -> bool:
    """Whether the home key works in a state, or in what it calls."""
    name, away = place
    state = flow.states[name]
    if isinstance(state, CallState):
        return known.get((state.call, away), Called()).leads_home
    on_screen = isinstance(state, MenuState | AskState | ListState) and state.home == "on"
    return away and on_screen and flow.keys.home != "off"
