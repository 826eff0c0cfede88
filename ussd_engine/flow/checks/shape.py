"""Rules of shape: every state is reached, every way ends, and nothing turns in a circle without a screen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.exhaustive import one_holds
from ussd_engine.flow.graph import Edge, edges, outgoing, silent
from ussd_engine.flow.model import AskState, CallState, EndState, Flow, ListState, MenuState
from ussd_engine.flow.source import Source

_Ways = Mapping[str, Iterable[str]]


def reachable(context: Context) -> Iterator[Diagnostic]:
    """F301: a state that no way leads to."""
    flow = context.flow
    reached = _reached(_targets(context.edges), {flow.start, flow.home or flow.start})
    if not reached <= flow.states.keys():
        return  # a way leads to no state: which ones are cut off is said when it is mended
    for name in flow.states:
        if name not in reached:
            message = f"no way leads to state '{name}' of '{flow.flow}'"
            hint = "let a 'goto' lead to it, or take it out"
            yield context.source.finding(("states", name), "F301", message, hint, key=True)


def ends_somewhere(context: Context) -> Iterator[Diagnostic]:
    """F302: a state from which no way leads to an end: whoever comes there can only hang up."""
    flow = context.flow
    if any(edge.target not in flow.states for edge in context.edges):
        return
    ending = {
        name
        for name, state in flow.states.items()
        if isinstance(state, EndState)
        or (isinstance(state, CallState) and _can_end(state.call, context.flows))
    }
    backwards: dict[str, list[str]] = {}
    for edge in context.edges:
        backwards.setdefault(edge.target, []).append(edge.source)
    alive = _reached(backwards, ending)
    for name in flow.states:
        if name not in alive:
            message = f"no way leads from state '{name}' of '{flow.flow}' to an end"
            yield context.source.finding(("states", name), "F302", message, "add an 'end' state", key=True)


def _can_end(name: str, flows: Mapping[str, Flow]) -> bool:
    """Whether a called flow, or one that it calls, may end the session itself. What is not known may."""
    seen, waiting = set[str](), [name]
    while waiting:
        flow = flows.get(waiting.pop())
        if flow is None:
            return True
        if flow.flow in seen:
            continue
        seen.add(flow.flow)
        for state in flow.states.values():
            if isinstance(state, EndState) and state.outcome is None:
                return True
            if isinstance(state, CallState):
                waiting.append(state.call)
    return False


def menus_offer(context: Context) -> Iterator[Diagnostic]:
    """F305: a menu that may have no option, and that back may not lead out of either."""
    flow = context.flow
    choices = {name: data.of for name, data in flow.data.items() if data.of} | {"language": flow.languages}
    for name, state in flow.states.items():
        if not isinstance(state, MenuState):
            continue
        conditions = [option.when for option in state.options if option.when is not None]
        if len(conditions) < len(state.options) or one_holds(conditions, choices):
            continue
        if not _back_surely_leads_out(context, name, state):
            message = f"every option of menu '{name}' has a condition, and where none holds nobody can go on"
            hint = "add an option without 'when'"
            yield context.source.finding(("states", name, "options"), "F305", message, hint, key=True)


def _back_surely_leads_out(context: Context, name: str, state: MenuState) -> bool:
    """Whether a screen always lies behind a menu: it is come to by choices and answers alone."""
    flow = context.flow
    if "off" in {state.back, flow.keys.back} or name in {flow.start, flow.home}:
        return False
    return all(
        isinstance(before := flow.states[edge.source], MenuState | AskState | ListState)
        and not silent(before, edge)
        and edge.label != "tries"
        for edge in context.edges
        if edge.target == name and edge.source != name
    )


def silent_loops(context: Context) -> Iterator[Diagnostic]:
    """F303: states that lead back to themselves and show nothing on the way."""
    flow = context.flow
    steps = _targets(edge for edge in context.edges if _shows_nothing(flow, edge, context.silent))
    for circle in _circles(steps):
        message = f"the states {_way(circle)} lead on to each other without ever showing a screen"
        hint = "let one of them lead to a menu or an end"
        yield context.source.finding(("states", circle[0]), "F303", message, hint, key=True)


def silent_recursion(
    flows: Mapping[str, Flow], sources: Mapping[str, Source], silent_flows: Collection[str]
) -> Iterator[Diagnostic]:
    """F304: flows that call each other without a screen between."""
    calls = {name: dict(_called_silently(flow, silent_flows)) for name, flow in flows.items()}
    for circle in _circles(calls):
        after = circle[1] if len(circle) > 1 else circle[0]
        message = f"the flows {_way(circle)} call each other without ever showing a screen"
        path = ("states", calls[circle[0]][after], "call")
        yield sources[circle[0]].finding(path, "F304", message, "show a screen before the call")


def _called_silently(flow: Flow, silent_flows: Collection[str]) -> Iterator[tuple[str, str]]:
    """What a flow calls before it has shown anything, each with the state that does."""
    for name in _before_a_screen(flow, silent_flows):
        state = flow.states.get(name)
        if isinstance(state, CallState):
            yield state.call, name


def _before_a_screen(flow: Flow, silent_flows: Collection[str]) -> set[str]:
    """Where a flow can come to from its start while it shows nothing."""
    steps = _targets(edge for edge in edges(flow) if _shows_nothing(flow, edge, silent_flows))
    return _reached(steps, {flow.start})


def _shows_nothing(flow: Flow, edge: Edge, silent_flows: Collection[str]) -> bool:
    state = flow.states[edge.source]
    return state.call in silent_flows if isinstance(state, CallState) else silent(state, edge)


def silent_flows(flows: Mapping[str, Flow]) -> frozenset[str]:
    """The flows that can come back to their caller without having shown anything: a fixed point from below."""
    known = frozenset[str]()
    while True:
        found = frozenset(name for name, flow in flows.items() if _comes_back(flow, known))
        if found == known:
            return known
        known = found


def _comes_back(flow: Flow, known: Collection[str]) -> bool:
    ends = {name for name, state in flow.states.items() if isinstance(state, EndState) and state.outcome}
    return bool(ends) and not ends.isdisjoint(_before_a_screen(flow, known))


def _targets(all_edges: Iterable[Edge]) -> dict[str, list[str]]:
    return {source: [edge.target for edge in out] for source, out in outgoing(all_edges).items()}


def _reached(ways: _Ways, starts: Iterable[str]) -> set[str]:
    seen, waiting = set[str](), list(starts)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(ways.get(name, ()))
    return seen


def _circles(ways: _Ways) -> Iterator[list[str]]:
    """One circle through each group of states that lead to each other, the first-named state first."""
    told = set[str]()
    for start in ways:
        if start in told:
            continue
        before: dict[str, str] = {}
        waiting = [start]
        while waiting and start not in before:
            name = waiting.pop(0)
            for target in ways.get(name, ()):
                if target not in before:
                    before[target] = name
                    waiting.append(target)
        if start in before:
            circle = [start]
            while before[circle[-1]] != start:
                circle.append(before[circle[-1]])
            circle = [start, *reversed(circle[1:])]
            told.update(circle)
            yield circle


def _way(circle: list[str]) -> str:
    return " > ".join(f"'{name}'" for name in (*circle, circle[0]))
