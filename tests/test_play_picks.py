"""`ussd play`: what is picked behind the phone, and the limits and words that it is played with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.parts import flow, program_of
from tests.test_play import page, play, words
from ussd_engine.flow.vocabulary import ActionSpec, ListOf
from ussd_engine.runtime.program import Action, Program
from ussd_engine.runtime.route import fit
from ussd_engine.testing.plausible import plausible

BALANCES = ActionSpec(
    "bank.balances",
    effect=False,
    outcomes={
        "found": {
            "total": "int",
            "since": "string",
            "kind": "string",
            "owner": "string",
            "code": "string",
            "blocked": "bool",
            "accounts": ListOf.of(number="string", balance="int"),
        },
        "unavailable": {},
    },
)


def program() -> Program:
    head = """
    dial: ["*100#"]
    data:
      total: {type: number, min: 5, max: 900}
      since: {type: date}
      kind: {type: choice, of: [gold, plain]}
      owner: {type: phone}
      code: {type: digits, max: 4}
      blocked: {type: flag}
      accounts:
        type: list
        max: 4
        item: {number: {type: digits, max: 13}, balance: {type: number, min: 0, max: 99999}}
    """
    states = """
    hello:
      action: bank.balances
      save: {total: total, since: since, kind: kind, owner: owner, code: code, blocked: blocked, accounts: accounts}
      outcomes: {found: bye, unavailable: bye}
    bye: {end: {en: Bye}}
    """
    return program_of(flow(states, head=head), actions={"bank.balances": BALANCES})


def test_a_picked_outcome_comes_back_until_the_bank_decides_again(tmp_path: Path) -> None:
    """The sandbox bank takes every number as new; here it is somebody with a name, and then as new again."""
    script = [
        "/outcome subscription.chek subscribed",
        "/outcome subscription.check subscribd",
        "/outcome subscription.check subscribed",
        "/outcome subscription.profile found",
        "/drop",
        "/outcome",
        "/outcome subscription.check",
        "/drop",
        "/quit",
    ]

    _, action, outcome, picked, _, dropped, listed, cleared, new, _ = play(tmp_path, "\n".join(script))

    assert "There is no action subscription.chek; did you mean 'subscription.check'?" in words(action)
    assert "subscription.check has no outcome subscribd; did you mean 'subscribed'?" in words(outcome)
    assert "comes back with subscribed, and the bank is not asked" in words(picked)
    assert "Hello Jane" in page(dropped)
    assert "subscription.profile comes back with found: first_name 'Jane'" in dropped
    assert "subscription.check: [subscribed], pending_approval" in listed
    assert "The sandbox bank decides on subscription.check again." in cleared
    assert "Welcome to Acme Bank" in page(new)


def test_a_picked_effect_changes_nothing(tmp_path: Path) -> None:
    """An account that is only said to be open: no SMS comes, and the next dial meets a number that is new."""
    script = ["/outcome account.open opened", "1", "Jane", "Sample", "01011990", "1", "/repeat", "/drop"]

    parts = play(tmp_path, "\n".join(script))

    assert "Your account 1000000000017 is open." in page(parts[6]).replace("\n", " ")
    assert page(parts[7]) == page(parts[6])
    assert "Welcome to Acme Bank" in page(parts[8])
    assert not [part for part in parts if "SMS to" in part]


def test_another_network_or_language_is_dialled_at_once(tmp_path: Path) -> None:
    """Limits are those of the network; flows begin in the language, and the menu's own switch goes on from there."""
    script = [
        "/network 63903",
        "/network 64007",
        "/network",
        "/language fr",
        "/language sw",
        "2",
        "/language en",
        "/quit",
    ]

    _, known, unknown, networks, wrong, switched, pressed, back, _ = play(tmp_path, "\n".join(script))

    assert "60 of 182 septets" in known
    assert "nothing is set for it, so it is as the default" in words(unknown)
    assert "60 of 160 septets" in unknown
    assert "63903: pages of 182 septets or 80 UCS-2 units, inputs of 90 characters" in networks
    assert "No flow has the language fr. Languages: en, sw" in wrong
    assert page(switched) == "Karibu Acme Bank\n1. Fungua akaunti\n2. English\n0. Toka"
    assert page(pressed) == page(back) == "Welcome to Acme Bank\n1. Open an account\n2. Kiswahili\n0. Exit"


@pytest.mark.parametrize("name", list(BALANCES.outcomes["found"]))
def test_sample_values_are_such_that_the_flow_takes_them(name: str) -> None:
    """Whatever the declaration bounds: a value that does not fit would end the session in an apology."""
    compiled = program()
    values = plausible(compiled, "bank.balances", BALANCES.outcomes["found"], "en")
    action = compiled.flows["sample"].nodes["hello"]
    assert isinstance(action, Action)
    declared = compiled.flows["sample"].data[name]

    assert fit(declared, values[name]) == values[name]
