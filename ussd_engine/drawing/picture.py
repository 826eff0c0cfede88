"""What a drawing of a flow shows, whatever it is drawn in: a box for each state, an arrow for each edge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ussd_engine.drawing.visits import Visits
from ussd_engine.flow.graph import edge_key, edges, gotos, state_key, ways
from ussd_engine.flow.model import (
    ActionState,
    AskState,
    CallState,
    EndState,
    Flow,
    ListState,
    MenuState,
    Option,
    RouteState,
    State,
    Text,
    keys_of,
    kind_of,
)
from ussd_engine.flow.text import per_language


@dataclass(frozen=True, slots=True)
class Box:
    """A state. `note` is the list, the action, the called flow or the outcome.

    `visits` is None where nothing was counted.
    """

    name: str
    kind: str
    note: str
    text: str
    visits: int | None


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge. `label` is its name in the graph, `caption` what a person reads, `guards` when it is taken."""

    label: str
    source: str
    target: str
    caption: str
    guards: tuple[str, ...]
    visits: int | None


@dataclass(frozen=True, slots=True)
class Picture:
    flow: str
    dial: tuple[str, ...]
    start: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def picture(flow: Flow, language: str | None = None, visits: Visits | None = None) -> Picture:
    """Texts are in `language` where the flow has it, else in the flow's first."""
    spoken = language if language in flow.languages else flow.languages[0]
    return Picture(
        flow=flow.flow,
        dial=tuple(flow.dial),
        start=flow.start,
        boxes=tuple(_box(flow, name, spoken, visits) for name in flow.states),
        arrows=tuple(_arrows(flow, spoken, visits)),
    )


def _box(flow: Flow, name: str, language: str, visits: Visits | None) -> Box:
    state = flow.states[name]
    note, text = _content(state)
    return Box(
        name=name,
        kind=kind_of(state).removesuffix(" state"),
        note=note,
        text="" if text is None else _first_line(flow, text, language),
        visits=None if visits is None else visits.states.get(state_key(flow.flow, name), 0),
    )


def _content(state: State) -> tuple[str, Text | None]:
    """What the state lists, runs, calls or returns, and what it shows."""
    match state:
        case MenuState():
            return "", state.menu
        case AskState():
            return "", state.ask
        case ListState():
            return state.of, state.list
        case ActionState():
            return state.action, None
        case CallState():
            return state.call, None
        case RouteState():
            return "", None
        case EndState():
            return state.outcome or "", state.end


def _first_line(flow: Flow, text: Text, language: str) -> str:
    lines = per_language(text, flow.languages)[language].splitlines()
    first = next((line for line in lines if line.strip()), "")
    return first.replace("{{", "{").replace("}}", "}").strip()


def _arrows(flow: Flow, language: str, visits: Visits | None) -> Iterator[Arrow]:
    captions = {
        (name, label): (caption, guards)
        for name in flow.states
        for label, caption, guards in _captions(flow, name, language)
    }
    for edge in edges(flow):
        caption, guards = captions[edge.source, edge.label]
        count = None if visits is None else visits.edges.get(edge_key(flow.flow, edge.source, edge.label), 0)
        yield Arrow(edge.label, edge.source, edge.target, caption, guards, count)


def _captions(flow: Flow, name: str, language: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    state = flow.states[name]
    options = _options(flow, state, language)
    for label, goto, path, _, outcome in gotos(name, state):
        caption, guard = options.get(label, (outcome or _plain(label, state), ""))
        for way in ways(goto, label, path):
            condition = f"when {way.when}" if way.when else "" if isinstance(goto, str) else "else"
            yield way.label, caption, tuple(part for part in (guard, condition) if part)


def _options(flow: Flow, state: State, language: str) -> Mapping[str, tuple[str, str]]:
    if not isinstance(state, MenuState):
        return {}

    def shown(key: str, option: Option) -> tuple[str, str]:
        guard = f"when {option.when}" if option.when else ""
        return f"{key} {_first_line(flow, option.text, language)}", guard

    pairs = zip(keys_of(state), state.options, strict=True)
    return {f"option.{number}": shown(*pair) for number, pair in enumerate(pairs, 1)}


def _plain(label: str, state: State) -> str:
    """The trigger in words; the way of a route says no more than its condition."""
    if label == "tries" and isinstance(state, AskState) and state.tries:
        return f"{state.tries.max} wrong answers" if state.tries.max > 1 else "wrong answer"
    return "" if label == "case" else label
