"""Rules of `ussd test` for flows that product teams write: what is good passes, and what is bad is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import ussd
from tests.testing.flows import NEVER
from ussd_engine.flow.loader import load
from ussd_engine.services.action_specs import SPECS
from ussd_engine.testing.flow_tests import FlowTests, transcripts_in
from ussd_engine.testing.walk import RuleBroken


def under_test(folder: Path, flow: str) -> FlowTests:
    (folder / "sample.yaml").write_text(f'flow: sample\ndial: ["*100#"]\nlanguages: [en]\n{flow}')
    return FlowTests(load(folder, SPECS), SPECS, "KE", transcripts_in(folder))


def every_way(tests: FlowTests) -> None:
    for flow in tests.dialled:
        for script in tests.scripts(flow):
            tests.follow(flow, script)


def asks(accept: str) -> str:
    return f"""
start: hello
data:
  answer_given: {{type: text, max: 20}}
states:
  hello:
    ask: Number of your passport
    save: answer_given
    accept: {{when: "{accept}"}}
    goto: bye
  bye: {{end: Bye}}
"""


@pytest.mark.parametrize(
    "accept",
    [
        "answer.matches('^[A-Z]{2}[0-9]{6}$')",
        r"answer.matches(r'^K-\\d{4}$') && size(answer) == 6",
        "answer.matches('^[жд]{3}$')",
    ],
)
def test_answer_to_a_pattern_is_made_from_it(tmp_path: Path, accept: str) -> None:
    """A question for a passport's number is gone on from, though no team has written an answer."""
    tests = under_test(tmp_path, asks(accept))
    every_way(tests)
    assert tests.missing() == []


def test_answer_that_only_its_authors_know_is_typed_by_walks(tmp_path: Path) -> None:
    """No test guesses it: without a transcript the way on is never visited, with it walks go on there too."""
    tests = under_test(tmp_path, asks("answer == 'Timbuktu'"))
    every_way(tests)
    assert tests.missing() == ["sample.hello", "sample.bye", "sample.hello answer"]
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "knows.yaml").write_text(
        'transcript: Knows\ndial: "*100#"\nsteps: [{dial: ""}, {type: Timbuktu, ends: true}]\n'
    )
    tests = under_test(tmp_path, asks("answer == 'Timbuktu'"))
    tests.play_again(tmp_path / "tests" / "knows.yaml")
    assert tests.missing() == []
    assert ("Timbuktu",) in under_test(tmp_path, asks("answer == 'Timbuktu'")).scripts("sample")


ATTEMPTS = """
start: ask_pin
data:
  pin: {type: pin}
  left: {type: number, min: 0, max: 3}
  spoken: {type: choice, of: [en, sw], default: en}
states:
  ask_pin: {ask: PIN, save: pin, goto: verify}
  verify:
    action: pin.verify
    with: {phone: session.phone, pin: pin}
    save: {left: attempts_left}
    outcomes:
      verified: check
      wrong: again
      locked: bye
      not_set: bye
      pending: bye
      unavailable: bye
      not_allowed: bye
  check:
    action: subscription.check
    with: {phone: session.phone}
    save: {spoken: language}
    outcomes:
      subscribed: [{when: "spoken == 'sw'", goto: swahili}, {else: bye}]
      pending_approval: bye
      existing_customer: bye
      new_customer: bye
      unavailable: bye
      not_allowed: bye
  again: {end: "{left} left"}
  swahili: {end: Kwaheri}
  bye: {end: Bye}
"""


def test_actions_give_what_the_flows_declare(tmp_path: Path) -> None:
    """A count of three at most is never 21, and a language is one of those that the flow knows of."""
    tests = under_test(tmp_path, ATTEMPTS)
    every_way(tests)
    tests.walk_at_random("sample", 40)
    assert tests.missing() == []


DIVIDES = """
start: hello
data:
  parts: {type: number, min: 0, max: 9}
  share: {type: number, min: 0, max: 100, default: 0}
states:
  hello:
    ask: Parts
    back: off
    save: parts
    goto: choose
  choose:
    menu: Share
    options:
      - {text: Share, goto: bye, set: {share: "100 / parts"}}
      - {text: Leave, goto: bye}
  bye: {end: "{share}"}
"""


def test_expression_that_cannot_be_computed_is_told_with_the_way_there(tmp_path: Path) -> None:
    """A division by nothing is a broken rule of its flow, and the other flows are tested all the same."""
    tests = under_test(tmp_path, DIVIDES)
    with pytest.raises(RuleBroken, match="had to apologise") as broken:
        every_way(tests)
    assert [step.text for step in broken.value.transcript.steps] == ["", "0", "1"]
    (tmp_path / "other.yaml").write_text(
        'flow: other\ndial: ["*200#"]\nlanguages: [en]\nstart: bye\nstates: {bye: {end: Bye}}\n'
    )
    run = ussd("test", str(tmp_path), "--walks", "20")
    assert run.returncode == 1
    assert "sample: the engine had to apologise" in run.stdout
    assert "2 dialled" in run.stdout
    assert "could not run" not in run.stderr


def test_dial_that_fails_at_once_is_told(tmp_path: Path) -> None:
    """Where nothing comes after the dial, it is the dial that breaks the rule; an end at once is none."""
    flow = DIVIDES.replace("start: hello", "start: first").replace(
        "states:",
        'states:\n  first: {call: other, with: {given: "100 / share"}, outcomes: {done: hello}}',
    )
    (tmp_path / "other.yaml").write_text(
        "flow: other\nlanguages: [en]\nstart: done\ndata: {given: {type: number, min: 0, max: 100}}\n"
        "inputs: [given]\nstates:\n  done:\n    end:\n    outcome: done\n"
    )
    with pytest.raises(RuleBroken, match="had to apologise"):
        every_way(under_test(tmp_path, flow))
    ends = under_test(tmp_path, "start: bye\nstates: {bye: {end: Bye}}\n")
    every_way(ends)
    assert ends.turns == 0


def test_choices_are_ways_of_their_own(tmp_path: Path) -> None:
    """What was chosen two screens ago decides where it goes on: both ways are found."""
    tests = under_test(
        tmp_path,
        """
start: hello
data:
  product: {type: choice, of: [save, spend], default: save}
states:
  hello:
    menu: Hello
    options:
      - {text: Save, goto: sure, set: {product: "'save'"}}
      - {text: Spend, goto: sure, set: {product: "'spend'"}}
  sure:
    menu: Sure
    options:
      - {text: "Yes", goto: which}
  which:
    route: [{when: "product == 'save'", goto: saves}, {else: spends}]
  saves: {end: Saves}
  spends: {end: Spends}
""",
    )
    every_way(tests)
    assert tests.missing() == []


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
