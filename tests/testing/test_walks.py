"""Rules of walks: every way is walked, at random too, time passes in them, and a flow that leads nowhere is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tests.testing.flows import does, walked
from ussd_engine.flow import stored
from ussd_engine.flow_test_commands import DEFAULT_WALKS
from ussd_engine.runtime.program import CompiledFlow
from ussd_engine.runtime.stand import Stand
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.callbacks import Callbacks
from ussd_engine.testing.flow_tests import LATE, FlowTests
from ussd_engine.testing.transcript import Kind
from ussd_engine.testing.walk import RuleBroken


def test_every_edge_of_the_shipped_flows_is_walked(tests: FlowTests) -> None:
    """The ways that are found lead over every state and edge, and hold every rule, twice alike."""
    assert len(tests.missing()) > 50
    for script in tests.scripts("onboarding"):
        tests.follow("onboarding", script)
    assert tests.missing() == []
    (states, all_states), (edges, all_edges) = tests.counts()
    assert (states, edges) == (all_states, all_edges)


def test_random_walks_hold_every_rule(tests: FlowTests) -> None:
    """A sample of what `ussd test` does in full."""
    tests.walk_at_random("onboarding", 40)
    assert tests.turns > 1000


@pytest.mark.parametrize("home", ["off", "on"])
def test_dead_end_that_only_shows_when_it_runs(home: str) -> None:
    """A menu whose options are all hidden is found, in flows that no checker has seen, such as an older one let pass.

    Home is no way on either: nobody has come from anywhere yet.
    """
    flow = """
flow: sample
dial: ["*100#"]
languages: [en]
start: hello
states:
  hello:
    menu: Hello
    back: off
    home: {home}
    options:
      - {text: Leave, goto: bye, when: "session.network == 'nowhere'"}
  bye: {end: Bye}
""".replace("{home}", home)
    library = stored.loads(
        orjson.dumps(
            {"schema": stored.SCHEMA, "flows": {"sample": yaml.load(flow, yaml.BaseLoader)}, "sms": {}}
        )
    )
    with pytest.raises(RuleBroken, match=r"sample\.hello is a dead end"):
        FlowTests(library, SPECS, "KE").walk_at_random("sample", DEFAULT_WALKS)


def test_round_without_a_way_out_is_found(tmp_path: Path) -> None:
    """Each screen leads on, and none to an end, as the only way out is hidden."""
    with pytest.raises(RuleBroken, match=r"no way leads from sample\.(here|there) to an end"):
        walked(
            tmp_path,
            """
languages: [en]
start: here
states:
  here:
    menu: Here
    options:
      - {text: On, goto: there}
  there:
    menu: There
    options:
      - {text: On, goto: here}
      - {text: Leave, goto: bye, when: "session.network == 'nowhere'"}
  bye: {end: Bye}
""",
        )


TODAY_ALONE = """
languages: [en]
start: hello
states:
  hello:
    menu: Hello
    options:
      - {text: Today alone, goto: bye, when: "today == '2028-02-28'"}
      - {text: Leave, goto: bye}
  bye: {end: Bye}
"""


def test_options_hold_over_midnight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a screen offers is taken when the day has changed; an engine that looks at the new day is caught."""
    steps: list[tuple[Kind, str]] = [("wait", "130"), ("type", "2")]  # two minutes before midnight, and after
    does(tmp_path, TODAY_ALONE, *steps, clock=LATE)
    monkeypatch.setattr(Stand, "on_screen", Stand.plain)
    with pytest.raises(RuleBroken, match=r"sample\.hello refuses what it offers"):
        does(tmp_path, TODAY_ALONE, *steps, clock=LATE)


RESUMED = """
languages: [en]
resume: {resume}
resume_within_min: 2
start: hello
states:
  hello:
    menu: Hello
    options:
      - {text: On, goto: further}
  further:
    menu: Further
    options:
      - {text: Leave, goto: bye}
  bye: {end: Bye}
"""


def for_another_time(times: float) -> Callable[[Callbacks, Any, CompiledFlow], Any]:
    """An engine that keeps what was dropped for `times` as long as its flow says."""
    right = Callbacks._dropped

    def dropped(self: Callbacks, turn: Any, dialled: CompiledFlow) -> Any:
        return right(self, turn, replace(dialled, resume_within_s=dialled.resume_within_s * times))

    return dropped


@pytest.mark.parametrize("resume", ["continue", "ask"])
@pytest.mark.parametrize(
    ("times", "seconds", "rule"), [(0.5, "119", "does not go on with"), (1.5, "121", "should begin anew")]
)
def test_dropped_session_is_gone_on_with_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: str, times: float, seconds: str, rule: str
) -> None:
    """Until its time is over, and not a second longer; an engine with another limit is caught."""
    flow = RESUMED.replace("{resume}", resume)
    steps: list[tuple[Kind, str]] = [("type", "1"), ("wait", seconds), ("dial", "")]
    does(tmp_path, flow, *steps)
    monkeypatch.setattr(Callbacks, "_dropped", for_another_time(times))
    with pytest.raises(RuleBroken, match=rule):
        does(tmp_path, flow, *steps)


@pytest.mark.slow
@pytest.mark.parametrize("resume", ["continue", "ask"])
@pytest.mark.parametrize(
    ("times", "rule"), [(0.99, "does not go on with"), (1.01, "should begin anew")], ids=["early", "late"]
)
def test_walks_find_when_a_dropped_session_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: str, times: float, rule: str
) -> None:
    """An engine whose time differs by a second is caught within the default budget, without exact steps."""
    monkeypatch.setattr(Callbacks, "_dropped", for_another_time(times))
    with pytest.raises(RuleBroken, match=rule):
        walked(tmp_path, RESUMED.replace("{resume}", resume))


@pytest.mark.parametrize("walks", [25, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "flow",
    [TODAY_ALONE, *(RESUMED.replace("{resume}", resume) for resume in ("continue", "ask"))],
    ids=["today_alone", "continue", "ask"],
)
def test_walks_find_nothing_where_time_is_kept(tmp_path: Path, flow: str, walks: int) -> None:
    """Over midnight, and on either side of the time in which a dropped session is gone on with."""
    walked(tmp_path, flow, walks)
