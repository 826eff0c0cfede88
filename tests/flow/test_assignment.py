"""Rules of values that are filled before they are read: what is no mistake must not be called one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.vocabulary import ACTIONS
from ussd_engine.flow.diagnostic import InvalidFlows
from ussd_engine.flow.loader import load

HEAD = (
    "flow: sample\nlanguages: [en]\nstart: hello\n"
    "data:\n  town: {type: name}\n  visits: {type: number, default: 1}\n"
)
PART = """flow: part
languages: [en]
inputs: [town]
outputs: [size, town]
start: ask
data:
  town: {type: name}
  size: {type: digits}
states:
  ask:
    ask: "Size in {town}"
    save: size
    goto: done
  done:
    end:
    outcome: done
"""
BYE = '  bye:\n    end: "Bye {town}"\n'


@pytest.mark.parametrize(
    "states",
    [
        "  hello:\n    ask: Town\n    save: town\n    goto: bye\n" + BYE,
        "  hello:\n    menu: Pick\n    options:\n      - {text: One, goto: bye, set: {town: \"'x'\"}}\n"
        "      - {text: Again, goto: hello}\n" + BYE,
        "  hello:\n    ask: Town\n    save: town\n    tries: {max: 2, then: left}\n    goto: bye\n"
        '  left:\n    end: "{visits} {language} {today} {session.phone}"\n' + BYE,
        "  hello:\n    ask: Town\n    save: town\n    goto:\n      - {when: \"town == 'x'\", goto: bye}\n"
        "      - else: hello\n" + BYE,
        "  hello:\n    action: sample.lookup\n    with: {phone: session.phone}\n    save: {town: full_name}\n"
        "    outcomes: {found: bye, missing: left, unavailable: left}\n  left:\n    end: Left\n" + BYE,
        "  hello:\n    call: part\n    with: {town: \"'x'\"}\n    save: {town: town}\n    outcomes: {done: bye}\n"
        + BYE,
    ],
    ids=["ask", "set", "tries", "cases-of-the-answer", "outcome", "called-flow"],
)
def test_value_that_every_way_fills_may_be_read(tmp_path: Path, states: str) -> None:
    """An answer, a set, an outcome or a called flow fills a value; a default and what is given need none."""
    (tmp_path / "sample.yaml").write_text(HEAD + "states:\n" + states)
    (tmp_path / "part.yaml").write_text(PART)
    assert "sample" in load(tmp_path, ACTIONS).flows


def test_flow_that_calls_itself_is_checked(tmp_path: Path) -> None:
    """A call of the own flow ends the search, and what the other outcomes fill is still known."""
    (tmp_path / "a.yaml").write_text(
        "flow: a\nlanguages: [en]\noutputs: [town]\nstart: pick\ndata:\n  town: {type: name}\nstates:\n"
        "  pick:\n    menu: Pick\n    options:\n      - {text: Deeper, goto: deeper}\n      - {text: Town, goto: ask}\n"
        "  deeper:\n    call: a\n    outcomes: {done: pick}\n"
        "  ask:\n    ask: Town\n    save: town\n    goto: done\n  done:\n    end:\n    outcome: done\n"
    )
    (tmp_path / "b.yaml").write_text(
        HEAD.replace("start: hello", "start: call")
        + "states:\n  call:\n    call: a\n    save: {town: town}\n    outcomes: {done: bye}\n"
        + BYE
    )
    assert set(load(tmp_path, ACTIONS).flows) == {"a", "sample"}


def test_value_that_a_flow_gets_from_itself_is_filled(tmp_path: Path) -> None:
    """Where a flow calls itself, what every end of it fills is filled by the call, too."""
    again = "  again:\n    call: part\n    with: {town: town}\n    save: {size: size}\n    outcomes: {done: done}\n"
    pick = (
        "    menu: Pick\n    options:\n      - {text: Ask, goto: ask}\n      - {text: Again, goto: again}\n"
    )
    part = PART.replace("start: ask", "start: pick").replace("states:\n", f"states:\n  pick:\n{pick}{again}")
    (tmp_path / "part.yaml").write_text(part)
    (tmp_path / "sample.yaml").write_text(
        HEAD.replace("visits: {type: number, default: 1}", "size: {type: digits}")
        + "states:\n  hello:\n    call: part\n    with: {town: \"'x'\"}\n    save: {size: size}\n"
        '    outcomes: {done: bye}\n  bye:\n    end: "{size}"\n'
    )
    assert set(load(tmp_path, ACTIONS).flows) == {"part", "sample"}


def test_checking_many_calls_takes_no_longer_than_reading_them(tmp_path: Path) -> None:
    """Flows that call each other in a ladder are checked once each, not once for every way down."""
    for number in range(22):
        call = f"    call: f{number + 1}\n    save: {{town: town}}\n"
        states = (
            f"  one:\n{call}    outcomes: {{done: two}}\n  two:\n{call}    outcomes: {{done: done}}\n"
            if number < 21
            else "  one:\n    ask: Town\n    save: town\n    goto: done\n"
        )
        (tmp_path / f"f{number}.yaml").write_text(
            f"flow: f{number}\nlanguages: [en]\noutputs: [town]\nstart: one\ndata:\n  town: {{type: name}}\n"
            f"states:\n{states}  done:\n    end:\n    outcome: done\n"
        )
    assert len(load(tmp_path, ACTIONS).flows) == 22


def test_long_chain_of_calls_is_followed_to_its_end(tmp_path: Path) -> None:
    """However many flows call one another in a row, what the last one leaves unfilled is told of the first."""
    length, last = 1200, "  one:\n    menu: Pick\n    options:\n      - {text: Leave, goto: done}\n"
    call = "  one:\n    call: f%d\n    save: {town: town}\n    outcomes: {done: done}\n"
    for number in range(length):
        text = '"{town}"' if number == 0 else ""
        (tmp_path / f"f{number}.yaml").write_text(
            f"flow: f{number}\nlanguages: [en]\noutputs: [town]\nstart: one\ndata:\n  town: {{type: name}}\n"
            f"states:\n{call % (number + 1) if number < length - 1 else last}"
            f"  done:\n    end: {text}\n    outcome: done\n"
        )
    with pytest.raises(InvalidFlows) as caught:
        load(tmp_path, ACTIONS, "flows")
    assert [finding.message for finding in caught.value.diagnostics] == [
        "state 'done' reads 'town', which is not filled on the way one > done"
    ]


def test_reading_on_one_unfilled_way_is_told_with_the_shortest(tmp_path: Path) -> None:
    """The way in the finding is the shortest on which nothing fills the value."""
    (tmp_path / "sample.yaml").write_text(
        HEAD + "states:\n  hello:\n    menu: Hello\n    options:\n      - {text: Long, goto: long}\n"
        "      - {text: Short, goto: bye}\n      - {text: Ask, goto: ask}\n"
        "  long:\n    route:\n      - else: bye\n  ask:\n    ask: Town\n    save: town\n    goto: bye\n" + BYE
    )
    with pytest.raises(InvalidFlows, match="not filled on the way hello > bye\n"):
        load(tmp_path, ACTIONS)


DIALLED = (
    "flow: sample\ndial: ['*100#']\nlanguages: [en]\nstart: hello\nhome: hub\ndata:\n  town: {type: name}\n"
)
HUB = '  hub:\n    menu: "Hello {town}"\n    options:\n      - {text: Leave, goto: bye}\n' + BYE


@pytest.mark.parametrize(
    "states",
    [
        "  hello:\n    ask: Town\n    save: town\n    goto: hub\n" + HUB,
        "  hello:\n    menu: Pick\n    home: off\n    options:\n      - {text: One, goto: ask}\n"
        "  ask:\n    ask: Town\n    save: town\n    goto: hub\n    home: off\n" + HUB,
        "  hello:\n    call: one_question\n    save: {town: town}\n    outcomes: {done: hub}\n" + HUB,
    ],
    ids=["first-screen", "switched-off", "first-screen-of-a-called-flow"],
)
def test_home_key_leads_nowhere_before_a_screen_was_left_behind(tmp_path: Path, states: str) -> None:
    """The first screen of a session has no home key, however it is written; so it may fill what home reads."""
    (tmp_path / "sample.yaml").write_text(DIALLED + "states:\n" + states)
    (tmp_path / "one.yaml").write_text(
        "flow: one_question\nlanguages: [en]\nstart: ask\noutputs: [town]\ndata:\n  town: {type: name}\n"
        "states:\n  ask:\n    ask: Town\n    save: town\n    goto: done\n  done:\n    end:\n    outcome: done\n"
    )
    assert "sample" in load(tmp_path, ACTIONS).flows
