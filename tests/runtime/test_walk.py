"""A subscriber who types anything at all, on the flow that is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.parts import BLANK, KEYS, NOW, Phone
from ussd_engine.charset import is_gsm7, septets, units
from ussd_engine.flow.loader import load
from ussd_engine.flow.pager import Profile
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.happenings import Run
from ussd_engine.runtime.program import Program
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.session import dumps
from ussd_engine.services.action_specs import SPECS
from ussd_engine.testing.plausible import kept_of
from ussd_engine.testing.values import given_back

SHIPPED = Path(__file__).parents[2] / "flows"
BIRTH_DATE = "15011990"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
names = st.sampled_from(["Jane", "Sample", "N'Golo", "Ŵanjikũ", "x" * 20])
likely = {"ask_first_name": names, "ask_last_name": names, "ask_birth_date": st.just(BIRTH_DATE)}
keys = st.sampled_from(["1", "1", "2", "3", "9", "0", "00", "98"])
junk = (
    st.sampled_from(["", "*", "31021990", "99", " 1 ", "1*1", "\x00", "{first_name}", "€" * 40, "x" * 300])
    | texts
)


@pytest.fixture(scope="module")
def shipped() -> Program:
    return compile_library(load(SHIPPED, SPECS), SPECS, "KE")


def fits(screen: Screen, profile: Profile) -> bool:
    if is_gsm7(screen.text):
        return septets(screen.text) <= profile.page_septets
    return units(screen.text) <= profile.page_units


def answered(phone: Phone, draw: st.DataObject) -> None:
    """Give back any outcome of the action that the session waits for, with any outputs of its kinds."""
    while isinstance(phone.outcome, Run):
        outcomes = SPECS[phone.outcome.action].outcomes
        outcome = draw.draw(
            st.sampled_from([name for name in outcomes if name != "unavailable"] * 3 + ["unavailable"])
        )
        kept = kept_of(phone.program, phone.outcome.action)
        outputs = {name: draw.draw(given_back(kept[name])) for name in outcomes[outcome] if name in kept}
        phone.result(outcome, **outputs)


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from([Profile(), Profile(page_septets=182, page_units=80), Profile(40, 20, 20)]))
def test_whatever_is_typed_the_answer_is_a_screen_that_fits(
    shipped: Program, draw: st.DataObject, profile: Profile
) -> None:
    """Junk, long texts, keys and dates in any order: each gets a screen of the network's size, or the end.

    `Phone` stores the session and reads it back between every two inputs, and compares the two.
    """
    phone = Phone(shipped, profile=profile, flow="onboarding", session=BLANK, now=NOW)
    answered(phone, draw)
    for _ in range(20):
        assert fits(phone.screen, profile), phone.screen
        assert phone.screen.text.strip()
        assert b"1990-01-15" not in dumps(phone.session, KEYS)
        if phone.screen.end:
            break
        state = phone.screen.label.partition(".")[2]
        expected = likely.get(state, keys)
        phone.type(draw.draw(st.one_of(expected, expected, keys, junk)))
        answered(phone, draw)
    assert fits(phone.screen, profile)


def test_account_is_opened_in_swahili(shipped: Program) -> None:
    """The way of a new customer, screen by screen."""
    phone = Phone(shipped, flow="onboarding").result("new_customer")
    assert phone.text == "Welcome to Acme Bank\n1. Open an account\n2. Kiswahili\n0. Exit"
    assert phone.type("2").text == "Karibu Acme Bank\n1. Fungua akaunti\n2. English\n0. Toka"
    assert phone.type("1").text == "Jina la kwanza\n0.Rudi 00.Mwanzo"
    assert phone.type("Jane", "Sample").text == "Tarehe ya kuzaliwa, DDMMYYYY\n0.Rudi 00.Mwanzo"
    assert phone.type(BIRTH_DATE).text == (
        "Fungua akaunti ya Jane Sample?\n1. Ndiyo\n2. Hapana\n0.Rudi 00.Mwanzo"
    )
    assert phone.type("1").run.inputs == {
        "phone": "+254711000001",
        "first_name": "Jane",
        "last_name": "Sample",
        "birth_date": "1990-01-15",
        "language": "sw",
    }
    phone.result("opened", account_number="0001")
    assert (phone.text, phone.screen.end) == ("Akaunti yako 0001 imefunguliwa. Tumekutumia SMS.", True)
