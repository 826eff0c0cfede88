"""`ussd play`: sessions written down as transcripts, and transcripts shown on the phone."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.commands import ROOT, environment, run_here
from tests.test_play import play, play_in_a_process, words
from ussd_engine.cli import main
from ussd_engine.flow.loader import load
from ussd_engine.flow.vocabulary import ActionSpec, Kind, ListOf
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.happenings import Result
from ussd_engine.runtime.program import Value
from ussd_engine.services.action_specs import SPECS
from ussd_engine.settings_model import Settings
from ussd_engine.testing.answers import JUNK
from ussd_engine.testing.explore import typed
from ussd_engine.testing.replay import replay
from ussd_engine.testing.rig import TTL_S, Rig
from ussd_engine.testing.transcript import KINDS, BadTranscript, Called, Step, Transcript, dumps, loads
from ussd_engine.testing.walk import Walk

LIBRARY = load(ROOT / "flows", SPECS, networks=Settings().screens)
PROGRAM = compile_library(LIBRARY, SPECS, "KE")
TOO_LATE = str(round(TTL_S) + 1)


def replayed(file: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    arguments = ["ussd", "play", "--config", "config.yaml", "--replay", str(file)]
    run = run_here(main, arguments, ROOT, environment({"data_dir": str(file.parent / "none")}) | variables)
    assert not (file.parent / "none").exists()
    return run


# --- writing down


PLAYED = {
    "opening": ["1", "Jane", "/repeat", "Sample", "01011990", "1", "/drop", "0"],
    "deep_dial": ["/phone +254700000008", "1", "/dial *384*100*2*1*Jane#", "0", "00"],
    "network": ["/network 63903", "/dial *384*100*1#", "Ann", "junk 1", "/drop"],
    "language": ["/language sw", "/dial *384*100*1#", "Ann"],
    "customer": ["/phone +254700000001", "/dial *384*100#", "1", "15011990"],
    "no_bank": ["/phone +254700000004"],
    "picked": [
        *("/outcome subscription.check subscribed", "/outcome subscription.profile found"),
        *("/phone +254711000002", "1", "0"),
    ],
}


def test_sessions_that_were_played_run_again_from_their_files(tmp_path: Path) -> None:
    """Without the engine's data and bank, on another day: what the actions gave stands in the file."""
    lines = [line for name, script in PLAYED.items() for line in [*script, f"/save {tmp_path / name}.yaml"]]
    lines.append("/quit")

    said = play(tmp_path / "data", "\n".join(lines))

    assert sum("a PIN or a date of birth too" in words(part) for part in said) == len(PLAYED)
    for name, script in PLAYED.items():
        file = tmp_path / f"{name}.yaml"
        assert file.stat().st_mode & 0o777 == 0o600
        steps = list(replay(loads(file), PROGRAM, SPECS, LIBRARY.networks))
        assert len(steps) >= len([line for line in script if line[0] != "/"])
        assert not [one for one in steps if one.differs or one.broken_rule], name
        assert "sorry" not in {one.label for one in steps}
    run = replayed(tmp_path / "opening.yaml")
    assert run.returncode == 0
    assert "9 steps, none different" in run.stdout


def test_a_file_is_about_one_caller_and_never_written_over(tmp_path: Path) -> None:
    """Another phone begins anew, as a transcript has one; the name is what one gives, or the file's."""
    first, second = tmp_path / "a_first_look.yaml", tmp_path / "second.yaml"
    script = [
        "1",
        f"/save {first}",
        "/phone +254700000009",
        f"/save {second} Another",
        f"/save {first}",
        "/save",
        "/quit",
    ]

    *_, again, alone, _ = play(tmp_path / "data", "\n".join(script))

    looked, other = loads(first), loads(second)
    assert (looked.name, len(looked.steps), looked.phone) == ("a first look", 2, "+254711000000")
    assert (other.name, len(other.steps), other.phone) == ("Another", 1, "+254700000009")
    assert "is there already; give another name" in words(again)
    assert "Give a file as well" in alone


def test_a_phone_does_not_load_what_flows_are_tested_with(tmp_path: Path) -> None:
    """Hypothesis is there for those who develop flows; a phone plays, writes down and shows again without it."""
    (tmp_path / "hypothesis.py").write_text("raise ModuleNotFoundError('gone', name='hypothesis')")
    file = tmp_path / "played.yaml"
    hidden = {"PYTHONPATH": str(tmp_path)}
    play_in_a_process(tmp_path / "data", f"1\n/save {file}\n/quit", variables=hidden)

    again = play_in_a_process(tmp_path / "none", "", "--replay", str(file), variables=hidden)

    assert "2 steps, none different" in again[-1]


# --- showing


def test_a_screen_that_has_become_different_is_shown_beside_the_one_in_the_file(tmp_path: Path) -> None:
    """The rest is played on; the exit status is that of a finding."""
    file = tmp_path / "t.yaml"
    steps = [
        Step("dial", "", [Called("subscription.check", Result("new_customer"))], "Welcome to Bcme Bank"),
        Step("type", "0", ends=True),
        Step("dial", ends=True),
    ]
    file.write_text(dumps(Transcript("Changed", "*384*100#", "default", steps)))

    run = replayed(file)

    assert run.returncode == 1
    assert " in the file -" in run.stdout
    assert "| Welcome to Acme Bank" in run.stdout
    assert "| Welcome to Bcme Bank" in run.stdout
    assert "60 of 160 septets" in run.stdout
    assert "In the file the session ends here." in run.stdout
    assert "3 steps, 2 different" in run.stdout


def test_a_rule_that_breaks_is_shown_where_it_breaks(tmp_path: Path) -> None:
    """What `ussd test` prints is shown again, up to the step that it ends with."""
    divides = """
flow: sample
dial: ["*1#"]
languages: [en]
start: hello
data:
  parts: {type: number, default: 0}
states:
  hello:
    menu: Hello
    options:
      - {text: Share, goto: bye, set: {parts: "100 / parts"}}
      - {text: Leave, goto: bye}
  bye: {end: Bye}
"""
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "sample.yaml").write_text(divides)
    shutil.copy(ROOT / "flows" / "sms.yaml", flows)
    file = tmp_path / "t.yaml"
    steps = [Step("dial"), Step("wait", "1"), Step("type", "1"), Step("type", "2")]
    file.write_text(dumps(Transcript("Divides", "*1#", "default", steps)))

    run = replayed(file, USSD__FLOWS__DIR=str(flows))

    assert run.returncode == 1
    assert "2. seconds pass: 1" in run.stdout
    assert run.stdout.rstrip().endswith("Broken: the engine had to apologise.")


def gives(action: str, outcome: str, **outputs: Value) -> Transcript:
    called = Called(action, Result(outcome, outputs))
    return Transcript("t", "*384*100#", "default", [Step("dial", actions=[called])])


@pytest.mark.parametrize(
    ("transcript", "why"),
    [
        (Transcript("t", "*1#", "default", [Step("dial")]), "no flow has the code *1# under 'dial'"),
        (Transcript("t", "*384*100#", "default", [Step("dial")], language="fr"), "known: en, sw"),
        (
            Transcript("t", "*384*100#", "default", [Step("dial"), Step("wait", "long")]),
            "step 2: wait takes seconds",
        ),
        (
            Transcript("t", "*384*100#", "default", [Step("dial"), Step("language", "fr")]),
            "step 2: no flow has the language fr; known: en, sw",
        ),
        (
            Transcript(
                "t",
                "*384*100#",
                "default",
                [Step("dial", actions=[Called("subscription.chek", Result("x"))])],
            ),
            "step 1: there is no action subscription.chek; did you mean 'subscription.check'?",
        ),
        (
            Transcript(
                "t", "*384*100#", "default", [Step("dial", actions=[Called("account.open", Result("opend"))])]
            ),
            "step 1: account.open has no outcome opend; did you mean 'opened'?",
        ),
        (
            Transcript("t", "*384*100#", "default", [Step("dial"), Step("wait", "99999999999999")]),
            "step 2: wait takes seconds, such as 60, of ten years at most",
        ),
        (
            gives("account.open", "opened", acount_number="1"),
            "step 1: account.open gives no acount_number with opened; did you mean 'account_number'?",
        ),
        (gives("account.open", "opened", account_number=1), "account_number is a string"),
        (gives("pin.verify", "wrong", attempts_left=True), "attempts_left is a int"),
        (
            gives("subscription.profile", "found", accounts=({"nummer": "1"},)),
            "accounts is a list of (number: string)",
        ),
    ],
)
def test_a_transcript_that_these_flows_cannot_run_is_refused(transcript: Transcript, why: str) -> None:
    """Before anything is shown, with what to write instead."""
    with pytest.raises(BadTranscript) as refused:
        next(replay(transcript, PROGRAM, SPECS, LIBRARY.networks))

    assert why in str(refused.value)


def test_a_file_that_is_no_transcript_could_not_run(tmp_path: Path) -> None:
    """The message says where and why."""
    file = tmp_path / "t.yaml"
    file.write_text("transcript: t\ndial: '*384*100#'\nsteps:\n- dial: ''\n- sing: '1'\n")

    run = replayed(file)

    assert run.returncode == 2
    assert "t.yaml:5:3: a step has exactly one of: dial, type" in run.stderr


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("{dial: '', actions: true}", "t.yaml:4:23: actions are a list"),
        ("{dial: '', actions: -1}", "actions are a list"),
        ("{dial: '', actions: 1.5}", "actions are a list"),
        ("{dial: '', actions: [{pin.set: {outcome: set, gives: [1]}}]}", "what it 'takes' and 'gives'"),
        ("{dial: '', actions: [{pin.set: {outcome: set, takes: 1}}]}", "what it 'takes' and 'gives'"),
    ],
)
def test_a_step_of_another_shape_is_refused_with_its_place(tmp_path: Path, step: str, why: str) -> None:
    """Whatever stands where the actions do."""
    file = tmp_path / "t.yaml"
    file.write_text(f"transcript: t\ndial: '*384*100#'\nsteps:\n- {step}\n")
    with pytest.raises(BadTranscript) as refused:
        loads(file)
    assert why in str(refused.value)


def test_a_clock_of_another_age_is_refused(tmp_path: Path) -> None:
    """No date can be counted with from there."""
    file = tmp_path / "t.yaml"
    file.write_text(
        "transcript: t\ndial: '*384*100#'\nclock: '9999-12-31T00:00:00+00:00'\nsteps: [{dial: ''}]\n"
    )
    with pytest.raises(BadTranscript, match="of 2000 to 2100"):
        loads(file)


RESUMES = """
flow: sample
dial: ["*1#"]
languages: [en, sw]
resume: {resume}
resume_within_min: 5
start: hello
states:
  hello:
    menu: {en: Hello, sw: Habari}
    options:
      - {text: {en: Further, sw: Mbele}, goto: further}
  further:
    menu: {en: Further, sw: Mbele}
    options:
      - {text: {en: Leave, sw: Toka}, goto: bye}
  bye: {end: {en: Bye, sw: Kwaheri}}
"""


@pytest.mark.parametrize("resume", ["continue", "ask"])
def test_a_session_that_is_gone_on_with_is_written_down_from_its_beginning(
    tmp_path: Path, resume: str
) -> None:
    """Whatever changes between its dials, and whoever else dials meanwhile, its file runs again."""
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "sample.yaml").write_text(RESUMES.replace("{resume}", resume))
    shutil.copy(ROOT / "flows" / "sms.yaml", flows)
    file = tmp_path / "t.yaml"
    script = [
        "1",
        "/network 63903",
        "/language sw",
        "/phone +254700000001",
        "/phone +254711000000",
    ]
    script += ["1", f"/save {file}", "1", f"/save {tmp_path / 'more.yaml'}", "/quit"]
    said = play(tmp_path / "data", "\n".join(script), variables={"USSD__FLOWS__DIR": str(flows)})
    assert any("A session that goes on keeps its own." in words(part) for part in said)
    program = compile_library(load(flows, SPECS), SPECS, "KE")
    for one in (file, tmp_path / "more.yaml"):
        steps = list(replay(loads(one), program, SPECS, LIBRARY.networks))
        assert [step.step.kind for step in steps][:5] == ["dial", "type", "network", "dial", "language"]
        assert not [step for step in steps if step.differs or step.broken_rule]


def drawn(chance: random.Random, kind: Kind) -> Value:
    """What an action gives for an output of this kind."""
    if isinstance(kind, ListOf):
        items = chance.randint(0, 3)
        return tuple({name: str(drawn(chance, of)) for name, of in kind.fields} for _ in range(items))
    return chance.randint(0, 3) if kind == "int" else chance.choice(["17", "Jane", "sw"])


@pytest.mark.parametrize("seed", range(12))
def test_everything_that_a_walk_does_is_replayed_as_it_was(tmp_path: Path, seed: int) -> None:
    """All kinds of step, any outcome: each action comes back as it did, and each screen is the same."""
    chance = random.Random(seed)

    def decide(spec: ActionSpec, _inputs: Mapping[str, object]) -> Result:
        outcome = chance.choice(list(spec.outcomes))
        return Result(outcome, {name: drawn(chance, kind) for name, kind in spec.outcomes[outcome].items()})

    rig = Rig(PROGRAM, SPECS, LIBRARY.networks, decide)
    walk = Walk(rig, "*384*100#", "63902", "+254700000009", "1*Jane")
    for kind in [*KINDS, *chance.choices(KINDS, k=60)]:
        session = rig.session(walk.line.session_id)
        known = session is not None and not session.ended and session.top
        match kind:
            case "wait":
                walk.do("wait", chance.choice(["1", TOO_LATE]))
            case "language":
                walk.do("language", chance.choice(["en", "sw"]))
            case "network":
                walk.do("network", chance.choice(["default", "63902"]))
            case _ if walk.over or not known or walk.steps[-1].text == TOO_LATE:
                walk.do("dial", chance.choice(["", "1*Jane"]))
            case "dial" | "repeat" | "stale":
                walk.do(kind)
            case _:
                assert session is not None
                walk.do(
                    kind,
                    chance.choice(
                        list(
                            typed(
                                PROGRAM, session, rig.clock.now().date(), rig.profile(walk.line.network), {}
                            )
                        )
                    ),
                )
    transcript = Transcript("t", "*384*100#", "63902", walk.steps, "+254700000009")
    rig.close()
    file = tmp_path / "t.yaml"
    file.write_text(dumps(transcript))

    steps = list(replay(loads(file), PROGRAM, SPECS, LIBRARY.networks))

    assert [one.step for one in steps] == transcript.steps
    assert not [one for one in steps if one.differs or one.broken_rule]


@pytest.mark.parametrize(
    "text", [*JUNK, "\x85", "\u2028", "a\nb", "a \nb\n", "1.5", "007", "~", "true", "2026-01-15"]
)
def test_what_is_typed_stands_in_the_file_as_it_was(tmp_path: Path, text: str) -> None:
    """A file for people is YAML, where many texts look like something else."""
    steps = [Step("dial", text, [Called("a", Result("o", {"x": text}), {"y": text})], text, ends=True)]
    file = tmp_path / "t.yaml"
    file.write_text(dumps(Transcript("t", "*1#", "default", steps)), encoding="utf-8")

    assert loads(file).steps == steps
