"""Rules of `ussd test` and of the pytest plugin: every way is walked, and an engine that is bad is caught."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import ussd
from ussd_engine.flow.loader import load
from ussd_engine.runtime import step
from ussd_engine.runtime.program import Action
from ussd_engine.runtime.session import Mark
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.callbacks import Callbacks
from ussd_engine.testing.flow_tests import FlowTests, transcripts_in
from ussd_engine.testing.transcript import dumps, loads
from ussd_engine.testing.walk import RuleBroken

SHIPPED = Path(__file__).parents[2] / "flows"
DEFAULT_BUDGET = 600
"""Walks of `ussd test` that nobody has told how many."""


@pytest.fixture
def tests() -> FlowTests:
    return FlowTests(load(SHIPPED, SPECS), SPECS, "KE")


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


def always_new(self: Callbacks, turn: Any, session: Any) -> list[tuple[str, str]]:
    """An engine that takes every callback for a new input."""
    transcript = turn.callback.transcript
    return [] if session.ended or not transcript else [(transcript.rpartition("*")[2], transcript)]


def back_into_the_action(original: Any) -> Any:
    """An engine that remembers an action as if it were a screen: back runs it again."""

    def conclude(self: Any, outcome: str, outputs: Any) -> None:
        here = Mark(len(self.frames), self.top.state)
        assert isinstance(self.node, Action)
        original(self, outcome, outputs)
        self.history.append(here)

    return conclude


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patched", "name", "how", "rules"),
    [
        (Callbacks, "_news", lambda _: always_new, ("repeat callback", "stale callback", "came at once")),
        (step._Turn, "conclude", back_into_the_action, ("back has run an action",)),
        (step, "paginate", lambda _: lambda lines, *_: ("\n".join(lines),), ("a page of",)),
    ],
    ids=["dedupe-off", "back-repeats-an-action", "page-budget-ignored"],
)
def test_bad_engine_is_caught(
    tests: FlowTests,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    patched: Any,
    name: str,
    how: Any,
    rules: Any,
) -> None:
    """Each within the walks that are made when nobody says how many; what it prints leads there again."""
    networks = {"narrow": replace(tests.library.networks["default"], page_septets=60)}
    narrow = replace(tests.library, networks={**tests.library.networks, **networks})
    bad = FlowTests(narrow, SPECS, "KE")
    monkeypatch.setattr(patched, name, how(getattr(patched, name)))
    with pytest.raises(RuleBroken) as caught:
        bad.walk_at_random("onboarding", DEFAULT_BUDGET)
    assert any(rule in caught.value.rule for rule in rules), caught.value.rule
    assert len(caught.value.transcript.steps) <= 12
    file = tmp_path / "found.yaml"
    file.write_text(dumps(caught.value.transcript))
    assert loads(file) == caught.value.transcript


def test_dead_end_that_only_shows_when_it_runs(tmp_path: Path) -> None:
    """A menu whose options are all hidden is found: the checker sees a way on, the subscriber none."""
    (tmp_path / "sample.yaml").write_text(
        """
flow: sample
dial: ["*100#"]
languages: [en]
start: hello
states:
  hello:
    menu: Hello
    back: off
    home: off
    options:
      - {text: Leave, goto: bye, when: "session.network == 'nowhere'"}
  bye: {end: Bye}
"""
    )
    with pytest.raises(RuleBroken, match=r"sample\.hello is a dead end"):
        FlowTests(load(tmp_path, SPECS), SPECS, "KE").walk_at_random("sample", 5)


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_plugin_collects_flows_without_a_line_of_python(tmp_path: Path) -> None:
    """`pytest --ussd-flows DIR` tests each flow that is dialled, every way and at random."""
    shutil.copytree(SHIPPED, tmp_path / "flows")
    run = run_pytest(tmp_path, "--ussd-flows", "flows", "--ussd-walks", "3")
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(transcripts_in(SHIPPED)) + 2} passed" in run.stdout


def test_plugin_tells_what_is_wrong_with_flows(tmp_path: Path) -> None:
    """Flows with errors are told as `ussd check` tells them, before anything runs."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "sample.yaml").write_text(
        "flow: sample\nlanguages: [en]\nstart: hi\nstates: {bye: {end: Bye}}\n"
    )
    run = run_pytest(tmp_path, "--ussd-flows", "flows")
    assert run.returncode == 4
    assert "sample.yaml:3:8: error F201" in run.stdout + run.stderr


def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "flows"
    shutil.copytree(SHIPPED, folder)
    return folder


def test_transcripts_of_the_shipped_flows_hold(tests: FlowTests) -> None:
    """What is written down beside the flows is what they do."""
    files = transcripts_in(SHIPPED)
    assert len(files) >= 3
    assert [tests.play_again(file)[1] for file in files] == [[]] * len(files)


def test_transcript_that_no_longer_holds_is_told_and_refreshed(tmp_path: Path) -> None:
    """A changed text is named by file and step; with --update the file takes it, and then it holds."""
    folder = copied(tmp_path)
    home = folder / "home.yaml"
    home.write_text(home.read_text().replace("Acme Bank. Hello", "Acme Bank, hello"))
    run = ussd("test", str(folder), "--walks", "0")
    assert run.returncode == 1
    assert "sees_accounts.yaml: step 1: 'Acme Bank. Hello Jane" in run.stdout
    assert ussd("test", str(folder), "--walks", "0", "--update").returncode == 0
    assert "Acme Bank, hello Jane" in (folder / "tests" / "sees_accounts.yaml").read_text()
    assert ussd("test", str(folder), "--walks", "0").returncode == 0


@pytest.mark.parametrize(
    ("file", "before", "after", "transcript", "told"),
    [
        (
            "pin.yaml",
            "    save: pin\n    goto: verify\n    home: off\n\n  choose:",
            "    save: pin\n    goto: verified\n    home: off\n\n  choose:",
            "changes_the_pin_in_the_end.yaml",
            "step 5: pin.verify {'pin': '8363'}, and now no action",
        ),
        (
            "open_account.yaml",
            "      last_name: last_name",
            "      last_name: first_name",
            "hears_what_became_of_the_account.yaml",
            "'last_name': 'Jane'",
        ),
    ],
)  # fmt: skip
def test_transcript_tells_what_no_screen_shows(
    tmp_path: Path, file: str, before: str, after: str, transcript: str, told: str
) -> None:
    """A second PIN is not asked about, or the bank is given another name: the screens are the same, and it is told."""
    folder = copied(tmp_path)
    text = (folder / file).read_text()
    assert before in text
    (folder / file).write_text(text.replace(before, after))
    tests = FlowTests(load(folder, SPECS), SPECS, "KE")
    _, different = tests.play_again(folder / "tests" / transcript)
    assert told in different[0]


def test_what_stands_above_a_transcript_is_kept(tmp_path: Path) -> None:
    """With --update the comment at the top stays, and what an action takes is written along."""
    folder = copied(tmp_path)
    file = folder / "tests" / "registers.yaml"
    file.write_text("# First.\n# Second.\n" + file.read_text().replace("Thank you. Your", "Thanks. Your"))
    assert ussd("test", str(folder), "--walks", "0", "--update").returncode == 0
    assert file.read_text().startswith("# First.\n# Second.\ntranscript: ")
    assert "      takes:\n        birth_date: '1990-01-15'\n" in file.read_text()


def test_what_was_never_visited_is_named(tmp_path: Path) -> None:
    """A way that no input leads over is a finding, and the counts are there for a drawing."""
    (tmp_path / "sample.yaml").write_text(
        """
flow: sample
dial: ["*100#"]
languages: [en]
start: hello
states:
  hello:
    menu: Hello
    options:
      - {text: Never, goto: never, when: "session.network == 'nowhere'"}
      - {text: Leave, goto: bye}
  never: {end: Never}
  bye: {end: Bye}
"""
    )
    counts = tmp_path / "counts.json"
    run = ussd("test", str(tmp_path), "--walks", "5", "--visits", str(counts))
    assert run.returncode == 1
    assert "visited 2 of 3 states and 1 of 2 edges" in run.stdout
    assert "never visited: sample.hello option.1" in run.stdout
    assert json.loads(counts.read_text())["states"]["sample.bye"] > 0
