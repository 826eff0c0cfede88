"""Rules of `ussd test` and of the pytest plugin: every way is walked, and an engine that is bad is caught."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
import structlog
import yaml
from hypothesis.internal.conjecture import engine
from msgspec.structs import replace as with_changes

from tests.test_cli import ussd
from ussd_engine.flow import stored
from ussd_engine.flow.loader import load
from ussd_engine.flow.pager import DEFAULT_NETWORKS
from ussd_engine.flow.text import fill
from ussd_engine.flow_test_commands import DEFAULT_WALKS
from ussd_engine.runtime import screens, step
from ussd_engine.runtime import session as session_module
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.happenings import Result
from ussd_engine.runtime.program import Action, CompiledFlow
from ussd_engine.runtime.session import Mark, Secret, Session
from ussd_engine.runtime.stand import Stand
from ussd_engine.services import callbacks
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.callbacks import Callbacks
from ussd_engine.testing.flow_tests import LATE, FlowTests, transcripts_in
from ussd_engine.testing.rig import Rig
from ussd_engine.testing.transcript import Kind, dumps, loads
from ussd_engine.testing.walk import RuleBroken, Walk

SHIPPED = Path(__file__).parents[2] / "flows"
log = structlog.get_logger(__name__)


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


# --- engines that are bad, each in one way


def always_new(_original: Any) -> Any:
    """Takes every callback for a new input."""

    def news(self: Callbacks, turn: Any, session: Any) -> list[tuple[str, str]]:
        transcript = turn.callback.transcript
        return [] if session.ended or not transcript else [(transcript.rpartition("*")[2], transcript)]

    return news


def deaf(original: Any) -> Any:
    """Takes nothing any more in a session that has become long."""

    def news(self: Callbacks, turn: Any, session: Any) -> Any:
        return [] if session.version >= 4 and not session.wrong else original(self, turn, session)

    return news


def back_into_the_action(original: Any) -> Any:
    """Remembers an action as if it were a screen: back runs it again."""

    def conclude(self: Any, outcome: str, outputs: Any) -> None:
        here = Mark(len(self.frames), self.top.state)
        assert isinstance(self.node, Action)
        original(self, outcome, outputs)
        self.history.append(here)

    return conclude


def one_long_page(_original: Any) -> Any:
    return lambda lines, *_: ("\n".join(lines),)


def another_work_each_time(original: Any) -> Any:
    """Knows no work again that it has begun."""
    numbers = count()
    return lambda session, run: f"{original(session, run)}:{next(numbers)}"


def another_work_for_each_callback(original: Any) -> Any:
    """Knows its work again only in the callback that began it."""
    return lambda session, run: f"{original(session, run)}:{cast('Any', asyncio.current_task()).get_name()}"


def one_work_for_a_session(_original: Any) -> Any:
    """Takes an action that a later input leads to for the one that has run."""
    return lambda session, run: f"{run.action}:{session.session_id}"


def nothing_on_the_page(original: Any) -> Any:
    """Once something wrong was typed."""
    return lambda self, node: (" ",) if self.wrong else original(self, node)


def nothing_kept(original: Any) -> Any:
    """Answers, and keeps nothing of a session that has come further than its first screen."""

    async def save(self: Callbacks, turn: Any, session: Any) -> Any:
        if session.version == 0:
            return await original(self, turn, session)
        cast("Any", self._store)._entries.pop(turn.key, None)
        return session

    return save


def first_language_of_the_flow(original: Any) -> Any:
    """Forgets in which language a session is."""

    def take(self: Any, text: str) -> None:
        self.language = self.flow.languages[0]
        original(self, text)

    return take


def deaf_to_languages(original: Any) -> Any:
    """Stays in the language that a session began in."""
    return lambda self, name, value: None if name == "language" else original(self, name, value)


def texts_of_the_first_language(_original: Any) -> Any:
    return lambda self, texts: fill(texts[self.flow.languages[0]], self.shown)


def told(values: Mapping[str, object]) -> str:
    return " ".join(str(value.reveal) for value in values.values() if isinstance(value, Secret))


ROOM = 40
"""Characters of a page beside which a secret has room."""


def secrets_on_the_page(original: Any) -> Any:
    def drawn(self: Any, node: Any) -> Any:
        first, *others = original(self, node)
        return (f"{first} {told(self.top.data)}".rstrip() if len(first) < ROOM else first, *others)

    return drawn


def secrets_in_the_log(original: Any) -> Any:
    def run(self: Any, turn: Any, session: Any, run: Any) -> Any:
        log.warning("runs", inputs=run.inputs)
        return original(self, turn, session, run)

    return run


def secrets_in_the_receipt(original: Any) -> Any:
    """Where the page in it is as it was shown."""

    def write(session: Session, keys: Any) -> bytes:
        screen = session.receipt
        if screen is not None and session.frames:
            session = with_changes(
                session, receipt=with_changes(screen, label=f"{screen.label}{told(session.top.data)}")
            )
        return cast("bytes", original(session, keys))

    return write


def secrets_in_the_store(_original: Any) -> Any:
    return lambda _bound, _flow, data, _keys: {
        name: value.reveal
        if isinstance(value, Secret)
        else {"items": value}
        if isinstance(value, tuple)
        else value
        for name, value in data.items()
    }


BAD_ENGINES = [
    (Callbacks, "_news", always_new, "repeat callback|stale callback|came at once"),
    (Callbacks, "_news", deaf, "led to none|the session is in"),
    (step, "_conclude", back_into_the_action, "back has run an action"),
    (screens, "paginate", one_long_page, "a page of"),
    (callbacks, "_workflow_id", another_work_each_time, "more than once for one input"),
    (callbacks, "_workflow_id", another_work_for_each_callback, "more than once for one input"),
    (screens, "_drawn", nothing_on_the_page, "shows nothing"),
    (Callbacks, "_save", nothing_kept, "asks, and there is no session"),
    (step, "_take", first_language_of_the_flow, "the session is in"),
    (Stand, "store", deaf_to_languages, "the session is in"),
    (Stand, "text", texts_of_the_first_language, "is not in the language of its session"),
    (screens, "_drawn", secrets_on_the_page, "a secret stands in"),
    (Callbacks, "_run", secrets_in_the_log, "a secret stands in"),
    (callbacks, "dumps", secrets_in_the_receipt, "a secret stands in"),
    (session_module, "_sealed", secrets_in_the_store, "a secret stands in"),
]


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


def does(
    folder: Path,
    flow: str,
    *steps: tuple[Kind, str],
    gives: str = "unavailable",
    clock: datetime | None = None,
) -> None:
    """A dial of the flow and these steps, where each action comes back with `gives`."""
    (folder / "sample.yaml").write_text(f'flow: sample\ndial: ["*100#"]\n{flow}')
    program = compile_library(load(folder, SPECS), SPECS, "KE")
    rig = Rig(program, SPECS, DEFAULT_NETWORKS, lambda _spec, _inputs: Result(gives))
    try:
        walk = Walk(rig, "*100#", "default", clock=clock)
        for kind, text in steps:
            walk.do(kind, text)
    finally:
        rig.close()


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


# --- flows that are bad where no rule of the checker sees it, and engines that only some flows bring to light


def walked(folder: Path, flow: str, walks: int = DEFAULT_WALKS) -> None:
    (folder / "sample.yaml").write_text(f'flow: sample\ndial: ["*100#"]\n{flow}')
    FlowTests(load(folder, SPECS), SPECS, "KE").walk_at_random("sample", walks)


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
    walked(tmp_path, TODAY_ALONE, 100)
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


@pytest.mark.parametrize("resume", ["continue", "ask"])
@pytest.mark.parametrize(
    ("times", "seconds", "rule"), [(0.5, "119", "does not go on with"), (1.5, "121", "should begin anew")]
)
def test_dropped_session_is_gone_on_with_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: str, times: float, seconds: str, rule: str
) -> None:
    """Until its time is over, and not a second longer; an engine with another limit is caught."""
    flow = RESUMED.replace("{resume}", resume)
    walked(tmp_path, flow, 100)
    steps: list[tuple[Kind, str]] = [("type", "1"), ("wait", seconds), ("dial", "")]
    does(tmp_path, flow, *steps)
    right = Callbacks._dropped

    def dropped(self: Callbacks, turn: Any, dialled: CompiledFlow) -> Any:
        return right(self, turn, replace(dialled, resume_within_s=dialled.resume_within_s * times))

    monkeypatch.setattr(Callbacks, "_dropped", dropped)
    with pytest.raises(RuleBroken, match=rule):
        does(tmp_path, flow, *steps)


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_plugin_collects_flows_without_a_line_of_python(tmp_path: Path) -> None:
    """`pytest --ussd-flows DIR` tests each flow that is dialled, every way and at random, and what was visited."""
    shutil.copytree(SHIPPED, tmp_path / "flows")
    run = run_pytest(tmp_path, "--ussd-flows", "flows", "--ussd-walks", "3")
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(transcripts_in(SHIPPED)) + 3} passed" in run.stdout


def test_plugin_shows_what_failed_and_no_python(tmp_path: Path) -> None:
    """A broken rule with the steps that lead there, and a transcript with what has become different; `-k` picks."""
    home = copied(tmp_path) / "home.yaml"
    home.write_text(home.read_text().replace("Acme Bank. Hello", "Acme Bank, hello"))
    run = run_pytest(tmp_path, "--ussd-flows", "flows", "-k", "sees_accounts")
    assert "step 1: 'Acme Bank. Hello Jane" in run.stdout
    assert "ussd test flows --update" in run.stdout
    assert "runtest" not in run.stdout
    assert f"1 failed, {len(transcripts_in(SHIPPED)) + 2} deselected" in run.stdout

    exact = home.read_text().replace("data:\n", "data:\n  share: {type: number, default: 0}\n", 1)
    exact = exact.replace("goto: language}", "goto: language, set: {share: 10 / share}}", 1)
    home.write_text(exact)
    run = run_pytest(tmp_path, "--ussd-flows", "flows", "--ussd-walks", "40", "-k", "at-random", "-n", "2")
    assert "the engine had to apologise" in run.stdout
    assert "steps:\n- dial: ''" in run.stdout
    assert "runtest" not in run.stdout


NEVER = """
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


@pytest.mark.parametrize("chosen", [(), ("-k", "visited"), ("-n", "2")])
def test_plugin_tells_what_was_never_visited(tmp_path: Path, chosen: tuple[str, ...]) -> None:
    """However the items are picked or spread: a way that no input leads over is told, and nothing else is."""
    flow = tmp_path / "flows" / "sample.yaml"
    flow.parent.mkdir()
    flow.write_text(NEVER)
    run = run_pytest(tmp_path, "--ussd-flows", "flows", "--ussd-walks", "5", *chosen)
    assert "never visited: sample.never\nnever visited: sample.hello option.1\n" in run.stdout
    assert "1 failed" in run.stdout
    flow.write_text(NEVER.replace("'nowhere'", "'default'"))
    run = run_pytest(tmp_path, "--ussd-flows", "flows", "--ussd-walks", "5", *chosen)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("file", "chosen"), [("config.yaml", ()), ("ours.yaml", ("--ussd-config", "ours.yaml"))]
)
def test_plugin_takes_the_networks_of_the_settings(
    tmp_path: Path, file: str, chosen: tuple[str, ...]
) -> None:
    """A key that is free by default is the home key of one network, whose settings are found as always."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "sample.yaml").write_text(NEVER)
    (tmp_path / file).write_text('networks: {"63999": {home_key: "1"}}\n')
    run = run_pytest(tmp_path, "--ussd-flows", "flows", *chosen)
    assert run.returncode == 4, run.stdout
    assert "which is the home key on network '63999'" in run.stdout + run.stderr


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


@pytest.mark.parametrize("place", ["tests/b.yml", "tests/sub/x.yaml", "more/tests/x.yaml"])
def test_transcripts_are_found_wherever_no_flow_is_looked_for(tmp_path: Path, place: str) -> None:
    """What the flows' loader passes over as a test is run as one."""
    folder = copied(tmp_path)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text('transcript: Wrong\ndial: "*384*100#"\nsteps: [{dial: "", screen: Other}]\n')
    assert folder / place in transcripts_in(folder)
    assert len(transcripts_in(folder)) == len(transcripts_in(SHIPPED)) + 1


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
    (tmp_path / "sample.yaml").write_text(NEVER)
    counts = tmp_path / "counts.json"
    run = ussd("test", str(tmp_path), "--walks", "5", "--visits", str(counts))
    assert run.returncode == 1
    assert "visited 2 of 3 states and 1 of 2 edges" in run.stdout
    assert "never visited: sample.hello option.1" in run.stdout
    assert json.loads(counts.read_text())["states"]["sample.bye"] > 0


def test_a_day_to_come_and_an_answer_that_only_its_author_knows_are_typed(tmp_path: Path) -> None:
    """A date without an age need not have been; a word that nobody can guess stands in a transcript."""
    (tmp_path / "sample.yaml").write_text(
        """
flow: sample
dial: ["*100#"]
languages: [en]
start: ask_day
data:
  day: {type: date}
  word: {type: text}
states:
  ask_day:
    ask: Which day
    save: day
    accept: {date: DDMMYYYY}
    goto:
      - {when: day > today, goto: ask_word}
      - {else: bye}
  ask_word:
    ask: Which word
    save: word
    accept: {when: answer == 'abracadabra'}
    goto: bye
  bye: {end: Bye}
"""
    )
    run = ussd("test", str(tmp_path), "--walks", "0")
    assert run.stdout.splitlines()[-1] == "never visited: sample.ask_word answer"
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "word.yaml").write_text(
        """
transcript: The word
dial: "*100#"
network: default
steps:
  - {dial: "", screen: Which day}
  - {type: "16012026", screen: "Which word\\n0.Back 00.Home"}
  - {type: abracadabra, screen: Bye, ends: true}
"""
    )
    run = ussd("test", str(tmp_path), "--walks", "0")
    assert run.returncode == 0, run.stdout
