"""A program in other words goes the same ways."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flow.vocabulary import ACTIONS
from tests.runtime.parts import Phone, flow
from ussd_engine.flow.catalogue import entries, with_texts
from ussd_engine.flow.loader import Library, load
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.program import Program

FLOW = flow(
    """
    hello:
      menu: {en: Hello, sw: Habari}
      options:
        - {text: {en: Town, sw: Mji}, goto: ask}
        - {text: {en: Swahili, sw: Kiswahili}, goto: hello, set: {language: "'sw'"}}
        - {key: "9", text: "{session.phone}", goto: bye}
    ask:
      ask: {en: Which town, sw: Mji gani}
      save: town
      accept: {min: 3}
      wrong: {en: "No", sw: Hapana}
      tries: {max: 2, then: bye}
      goto: confirm
    confirm:
      menu: {en: "{town}?", sw: "Ni {town}?"}
      options:
        - {text: {en: "Yes", sw: Ndiyo}, goto: bye}
        - {text: {en: "No", sw: Hapana}, goto: ask}
    bye:
      end: {en: Goodbye, sw: Kwaheri}
    """,
    head="data: {town: {type: text, max: 20}}",
    languages="en, sw",
)
PLACES = [
    ("sample.hello.menu", "en"),
    ("sample.hello.options.1", "sw"),
    ("sample.hello.options.3", "en"),
    ("sample.ask.ask", "en"),
    ("sample.ask.wrong", "sw"),
    ("sample.confirm.menu", "sw"),
    ("sample.confirm.options.2", "en"),
    ("sample.bye.end", "en"),
]
WORDS = st.one_of(
    st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="{}"), min_size=1),
    st.sampled_from(["1. Hello\n2. Hello", "{{1}}", "{town}", "{session.phone}", "word " * 200]),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "sample.yaml").write_text(FLOW)
    return load(folder, ACTIONS)


@settings(deadline=None)
@given(
    words=st.dictionaries(st.sampled_from(PLACES), WORDS, min_size=1),
    inputs=st.lists(st.sampled_from(["1", "2", "3", "9", "0", "00", "Mji", "x", ""]), max_size=8),
)
def test_other_words_lead_to_the_same_states(
    library: Library, words: dict[tuple[str, str], str], inputs: list[str]
) -> None:
    """Whatever stands on the screens, the same keys lead to the same states."""
    plain, changed = (compile_library(one, ACTIONS, "KE") for one in (library, with_texts(library, words)))
    assert _walk(changed, inputs) == _walk(plain, inputs)


def _walk(program: Program, inputs: list[str]) -> list[object]:
    """Where a session stood after each input, up to the end."""
    phone, stood = Phone(program), list[object]()
    for text in inputs:
        if phone.screen.label == "sample.bye":
            break
        phone.type(text)
        stood.append((phone.screen.label, phone.session.language, phone.session.tries))
    return stood


def test_every_text_has_a_place_of_its_own(library: Library) -> None:
    """No two texts share a key, and all that the property puts words to are among them."""
    keys = [entry.key for entry in entries(library.flows["sample"])]
    assert len(keys) == len(set(keys))
    assert {key for key, _ in PLACES} <= set(keys)
