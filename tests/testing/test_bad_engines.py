"""What the flow tests catch: engines that are bad, each in one way."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis.internal.conjecture import engine

from tests.testing.bad_engines import (
    BAD_ENGINES,
    another_work_each_time,
    another_work_for_each_callback,
    one_work_for_a_session,
)
from tests.testing.flows import does
from ussd_engine.flow_test_commands import DEFAULT_WALKS
from ussd_engine.runtime import screens
from ussd_engine.runtime.happenings import Result
from ussd_engine.services import callbacks
from ussd_engine.services.action_specs import SPECS
from ussd_engine.testing.flow_tests import FlowTests
from ussd_engine.testing.transcript import Kind, dumps, loads
from ussd_engine.testing.walk import RuleBroken

SHRINKING_S = 60
"""Enough for a dozen steps; Hypothesis would take five minutes for the shortest."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patched", "name", "bad", "rule"), BAD_ENGINES, ids=[bad.__name__ for _, _, bad, _ in BAD_ENGINES]
)
def test_bad_engine_is_caught(
    tests: FlowTests,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    patched: Any,
    name: str,
    bad: Any,
    rule: str,
) -> None:
    """Each within the walks that are made when nobody says how many; what it prints leads there again."""
    networks = {"narrow": replace(tests.library.networks["default"], page_septets=60)}
    narrow = replace(tests.library, networks={**tests.library.networks, **networks})
    monkeypatch.setattr(patched, name, bad(getattr(patched, name)))
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", SHRINKING_S)
    with pytest.raises(RuleBroken, match=rule) as caught:
        FlowTests(narrow, SPECS, "KE").walk_at_random("onboarding", DEFAULT_WALKS)
    assert len(caught.value.transcript.steps) <= 12
    file = tmp_path / "found.yaml"
    file.write_text(dumps(caught.value.transcript))
    assert loads(file) == caught.value.transcript


KNOWS_A_PIN = """
languages: [en]
start: ask_pin
data: {pin: {type: pin}}
states:
  ask_pin: {ask: PIN, save: pin, goto: verify}
  verify:
    action: pin.verify
    with: {phone: session.phone, pin: pin}
    outcomes:
      verified: bye
      wrong: ask_pin
      locked: bye
      not_set: bye
      pending: bye
      unavailable: bye
      not_allowed: bye
  bye: {end: Bye}
"""


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (another_work_each_time, "more than once for one input"),
        (another_work_for_each_callback, "more than once for one input"),
        (one_work_for_a_session, "of another input has been taken up again"),
    ],
)
def test_action_runs_once_for_its_input_whenever_the_process_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: Any, rule: str
) -> None:
    """After an action has run and before its result is kept, it is taken up under its own id; else it is told."""
    steps: list[tuple[Kind, str]] = [
        ("crash_late", "8362"),
        ("crash", "8362"),
        ("type", "8363"),
        ("twice", "8364"),
    ]
    does(tmp_path, KNOWS_A_PIN, *steps, gives="wrong")
    monkeypatch.setattr(callbacks, "_workflow_id", bad(callbacks._workflow_id))
    with pytest.raises(RuleBroken, match=rule):
        does(tmp_path, KNOWS_A_PIN, ("crash_late", "8362"), ("type", "8363"), gives="wrong")


def test_work_that_inputs_share_is_caught_on_every_way(
    tests: FlowTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the ways through the shipped flows runs an action twice in a session, as a PIN is asked for once more."""
    monkeypatch.setattr(callbacks, "_workflow_id", one_work_for_a_session(callbacks._workflow_id))
    bad = FlowTests(tests.library, SPECS, "KE")

    def every_way() -> None:
        for script in bad.scripts("onboarding"):
            bad.follow("onboarding", script)

    with pytest.raises(RuleBroken, match="of another input has been taken up again"):
        every_way()


def test_screens_that_differ_for_the_same_inputs_are_told(
    tests: FlowTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that counts its pages somewhere shows another one the second time."""
    numbers = count()
    right = screens._drawn
    monkeypatch.setattr(
        screens, "_drawn", lambda self, node: tuple(f"{page}{next(numbers)}" for page in right(self, node))
    )
    with pytest.raises(RuleBroken, match="the same inputs have given other screens"):
        tests.follow("onboarding", (Result("new_customer"),))
