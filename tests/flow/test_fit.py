"""The proof that every page fits, held against what the runtime shows for values of all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.runtime.parts import BLANK, NOW, Phone, program_of, typed
from ussd_engine.charset import is_gsm7, septets, units
from ussd_engine.flow.diagnostic import InvalidFlows
from ussd_engine.flow.fit import Fit, fits
from ussd_engine.flow.loader import Library, load
from ussd_engine.flow.pager import Profile
from ussd_engine.flow.vocabulary import ActionSpec, Input, ListOf
from ussd_engine.runtime.happenings import Proceed
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.session import Frame, Mark
from ussd_engine.runtime.step import step
from ussd_engine.testing.values import given_back

DATA = """
data:
  name: {type: name, max: 9}
  note: {type: text, max: 12, default: none}
  code: {type: digits, max: 7}
  amount: {type: number, min: -5, max: 12345}
  free: {type: number}
  kind:
    type: choice
    of: [small, "large ones", "t\u00eate-\u00e0-t\u00eate", "\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac"]
  born: {type: date}
  phone: {type: phone}
  agreed: {type: flag}
  items: {type: list, max: 5, item: {label: {type: name, max: 8}, number: {type: digits, max: 9}}}
  picked: {type: digits, max: 9}
"""
FLOW = (
    """
flow: sample
languages: [en, fr]
start: look
"""
    + DATA
    + """
states:
  look:
    action: sample.all
    with: {phone: session.phone}
    save: {name: name, note: note, code: code, amount: amount, free: free, kind: kind, born: born, phone: phone,
      agreed: agreed, items: items}
    outcomes: {found: one, unavailable: bye}
  one:
    menu: {en: "Hello {name} {kind} {agreed}", fr: "Bonjour {name} {kind} {agreed}"}
    options:
      - {text: {en: "Pay {amount:money} of {free:grouped}", fr: "Payer {amount:money} sur {free:grouped}"}, goto: two}
      - {text: {en: "{phone:masked} {note}", fr: "{phone:masked} {note:masked}"}, goto: three}
      - {text: {en: List, fr: Liste}, goto: four}
      - {text: {en: Leave, fr: Quitter}, goto: bye, when: agreed}
  two:
    ask: {en: "{born:date} {code} {session.phone} {today}", fr: "{born:date} {code:masked} {language}"}
    save: code
    wrong: {en: "No, {name}", fr: "Non, {name}"}
    goto: one
  three:
    menu: {en: "{amount} {free} {born} {phone}", fr: "{amount:grouped} {free} {born} {phone}"}
    options:
      - {text: {en: Leave, fr: Quitter}, goto: bye}
  four:
    list: {en: "Of {name}", fr: "De {name}"}
    of: items
    item: "{label} {number:masked}"
    save: {picked: number}
    empty: three
    goto: three
  bye:
    end: {en: "Bye {note}", fr: "Au revoir {note}"}
"""
)
NETWORKS = {
    "wide": Profile(182, 80),
    "narrow": Profile(60, 30),
    "keys": Profile(100, 40, back="##", more="*"),
}
FILLED = ("name", "note", "code", "amount", "free", "kind", "born", "phone", "agreed", "items")
ITEMS = ListOf.of(label="string", number="string")
ACTIONS = {
    "sample.all": ActionSpec(
        name="sample.all",
        effect=False,
        inputs={"phone": Input(phone=True)},
        outcomes={
            "found": {
                **dict.fromkeys(FILLED, "string"),
                "amount": "int",
                "free": "int",
                "agreed": "bool",
                "items": ITEMS,
            },
            "unavailable": {},
        },
    )
}
PROGRAM = program_of(FLOW, actions=ACTIONS)
DECLARED = PROGRAM.flows["sample"].data
values = st.fixed_dictionaries({name: given_back(DECLARED[name]) for name in FILLED})


def library_of(folder: Path, text: str = FLOW) -> Library:
    (folder / "sample.yaml").write_text(text)
    return load(folder, ACTIONS, networks=NETWORKS)


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str, bool], Fit]:
    library = library_of(tmp_path_factory.mktemp("flows"))
    found = fits(library.flows["sample"], library.networks)
    return {(fit.state, fit.language, fit.network, fit.ucs2): fit for fit in found}


def pages_of(state: str, language: str, profile: Profile, given: dict[str, Any], *, wrong: bool) -> list[str]:
    """Every page that a session stands before, with all keys on it, as the runtime shows them one by one."""
    session = (
        Phone(PROGRAM, session=replace(BLANK, phone_number="+" + "9" * 15)).result("found", **given).session
    )
    if state == "four" and not session.top.data["items"]:
        return []
    frame = Frame("sample", state, session.top.data)
    history = (Mark(1, "two" if state != "two" else "one"),)
    session = replace(session, frames=(frame,), language=language, wrong=wrong, away=True, history=history)
    pages: list[str] = []
    while True:
        session, shown = step(PROGRAM, session, Proceed(), NOW, profile)
        assert isinstance(shown, Screen)
        pages.append(shown.text)
        more = profile.more or "98"
        if shown.end or not shown.text.rpartition("\n")[2].split(" ")[-1].startswith(more):
            return pages
        session, again = step(PROGRAM, session, typed(more), NOW, profile)
        if isinstance(again, Screen) and again.text == pages[-1]:
            return pages


@settings(deadline=None, max_examples=60)
@given(values, st.sampled_from(["en", "fr"]), st.sampled_from(sorted(NETWORKS)), st.booleans())
def test_no_page_is_wider_than_was_proven(
    proven: dict[tuple[str, str, str, bool], Fit],
    given: dict[str, Any],
    language: str,
    network: str,
    wrong: bool,
) -> None:
    """Whatever a bank gives and a subscriber has typed: each page costs at most what the proof says."""
    for state in ("one", "two", "three", "four", "bye"):
        pages = pages_of(state, language, NETWORKS[network], given, wrong=wrong and state != "bye")
        ucs2 = not is_gsm7("".join(pages))
        fit = proven[state, language, network, ucs2]
        for page in pages:
            assert (units if ucs2 else septets)(page) <= fit.cost <= fit.budget, (fit, page)
        if fit.pages == 1:
            assert len(pages) <= 1


def test_widest_value_is_counted_as_it_is(tmp_path: Path) -> None:
    """The cost of a screen is that of its widest values: a euro is two septets, a name forces UCS-2."""
    text = """
flow: sample
languages: [en]
start: hello
data:
  kind: {type: choice, of: [ab, "\u20ac\u20ac"], default: ab}
  name: {type: name, max: 5, default: Jane}
states:
  hello:
    menu: "Hi {kind}"
    options:
      - {text: "{name}", goto: bye}
    back: off
    home: off
  bye: {end: Bye}
"""
    flow = library_of(tmp_path, text).flows["sample"]
    hello = [fit for fit in fits(flow, {"wide": Profile(182, 80)}) if fit.state == "hello"]
    wrong, head = len("That is not one of the choices.\n"), len("Hi \n1. ")
    assert [(fit.ucs2, fit.cost, fit.budget, fit.pages) for fit in hello] == [
        (False, wrong + head + 4 + 5, 182, 1),
        (True, wrong + head + 2 + 10, 80, 1),
    ]


@pytest.mark.parametrize("length", range(1, 21))
def test_page_that_keeps_the_words_of_its_keys_is_no_wider(tmp_path: Path, length: int) -> None:
    """The widest page may have room for the keys alone: what is proven holds for shorter ones with their words too."""
    text = """
flow: sample
languages: [fr]
start: first
data:
  name: {type: name, max: 20}
states:
  first: {ask: Nom, save: name, goto: second}
  second: {ask: "{name}", save: name, wrong: "!", goto: bye}
  bye: {end: Au revoir}
"""
    profile = Profile(100, 55)
    proven = [fit for fit in fits(library_of(tmp_path, text).flows["sample"], {"small": profile}) if fit.ucs2]
    phone = Phone(program_of(text), profile=profile).type("\U00010400" * length).type("1")
    assert units(phone.text) <= next(fit.cost for fit in proven if fit.state == "second")


def test_screen_is_checked_for_every_network(tmp_path: Path) -> None:
    """A screen that only the narrowest network cannot show in ten pages is an error, and the network is named."""
    head = "flow: sample\nlanguages: [en]\nstart: bye\nstates:\n  bye:\n    end: "
    assert library_of(tmp_path, head + "word " * 90).flows
    with pytest.raises(InvalidFlows, match="F508 screen 'bye' in 'en' on network 'narrow' takes 11 pages"):
        library_of(tmp_path, head + "word " * 110)
