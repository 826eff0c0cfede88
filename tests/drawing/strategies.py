"""Flows of any form and with any text, for the drawings: they need not pass `ussd check`, whose rules are stricter."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from ussd_engine.drawing.visits import Visits
from ussd_engine.flow.graph import edges
from ussd_engine.flow.model import Flow

NAMES = [
    "end",
    "graph",
    "subgraph",
    "style",
    "call",
    "a",
    "b",
    "b__c",
    "default",
    "a_very_long_name_of_a_state_indeed",
]
ODD = st.text(st.sampled_from("ab 1.\"'<>&#;:[]{}()|`*_%\\-\n\té你م\u0301\u200d€"), min_size=1, max_size=60)


@cache
def flow(name: str = "graph", size: int = 7) -> st.SearchStrategy[Flow]:
    """Its parts are made once and share the names: to make them anew for each flow takes most of the time."""
    names = st.shared(
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=size, unique=True), key=("names", name, size)
    )
    target = st.builds(lambda known, number: known[number % len(known)], names, st.integers(0, size - 1))
    return _flow(name, names, _state(target))


@st.composite
def _flow(
    draw: st.DrawFn,
    name: str,
    names: st.SearchStrategy[list[str]],
    state: st.SearchStrategy[dict[str, Any]],
) -> Flow:
    states = {each: draw(state) for each in draw(names)}
    return Flow.model_validate(
        {"flow": name, "dial": ["*1#"], "languages": ["en"], "start": next(iter(states)), "states": states}
    )


def _state(target: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    case = st.builds(lambda when, goto: {"when": when, "goto": goto}, ODD, target)
    cases = st.builds(lambda head, last: [*head, {"else": last}], st.lists(case, max_size=2), target)
    goto = target | cases
    outcomes = st.dictionaries(st.sampled_from(["done", "gone", "end"]), goto, min_size=1)
    option = st.fixed_dictionaries({"text": ODD, "goto": goto}, optional={"when": ODD, "key": st.just("9")})
    tries = st.fixed_dictionaries({"max": st.integers(1, 3), "then": target})
    return st.one_of(
        st.fixed_dictionaries({"menu": ODD, "options": st.lists(option, min_size=1, max_size=4)}),
        st.fixed_dictionaries({"ask": ODD, "save": st.just("a"), "goto": goto}, optional={"tries": tries}),
        st.fixed_dictionaries(
            {
                "list": ODD,
                "of": st.just("a"),
                "item": ODD,
                "save": st.just({"a": "b"}),
                "empty": target,
                "goto": goto,
            }
        ),
        st.fixed_dictionaries({"action": st.just("bank.act"), "outcomes": outcomes}),
        st.fixed_dictionaries({"call": st.sampled_from(["graph", "other"]), "outcomes": outcomes}),
        st.fixed_dictionaries({"route": cases}),
        st.fixed_dictionaries({"end": ODD}, optional={"outcome": st.just("done")}),
    )


def visited(flows: list[Flow]) -> st.SearchStrategy[Visits | None]:
    """No counts, or those of some states and edges."""
    states = [f"{each.flow}.{name}" for each in flows for name in each.states]
    ways = [f"{each.flow}.{edge.source} {edge.label}" for each in flows for edge in edges(each)]
    counts = st.integers(0, 2000)
    return st.none() | st.builds(
        Visits,
        st.dictionaries(st.sampled_from(states), counts),
        st.dictionaries(st.sampled_from(ways), counts) if ways else st.just({}),
    )
