"""Rules of the texts that other channels fetch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.vocabulary import ACTIONS
from ussd_engine.flow.loader import load
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.translations import Translations, UnknownFlow

FIRST = """
flow: a_part
languages: [en, fr]
start: states
states:
  states:
    end: {en: Part, fr: Partie}
    outcome: done
"""
SECOND = """
flow: sample
dial: ["*100#"]
languages: [sw, en]
start: hello
data: {town: {type: name}}
texts: {back: {sw: Rudi, en: Return}}
states:
  hello:
    menu: {sw: Habari, en: Hello}
    options:
      - {text: {sw: Mji, en: Town}, goto: ask}
      - {text: "{session.phone}", goto: bye}
  ask:
    ask: {sw: Mji gani, en: Which town}
    save: town
    wrong: {sw: Hapana, en: "No"}
    goto: bye
  bye:
    end: {sw: Kwaheri, en: Goodbye}
"""


def translations(folder: Path, *texts: str) -> Translations:
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text)
    return Translations(load(folder, ACTIONS))


def test_texts_by_their_place(tmp_path: Path) -> None:
    """A key is the flow, the state and the place in it, with options counted from 1, as an author reads them."""
    found = translations(tmp_path, FIRST, SECOND).fetch("en", None, None)
    assert found.translations == {
        "a_part.states.end": "Part",
        "sample.texts.back": "Return",
        "sample.hello.menu": "Hello",
        "sample.hello.options.1": "Town",
        "sample.hello.options.2": "{session.phone}",
        "sample.ask.ask": "Which town",
        "sample.ask.wrong": "No",
        "sample.bye.end": "Goodbye",
    }
    assert (found.language, found.fallback) == ("en", False)


def test_default_language_is_that_of_the_dialled_flow(tmp_path: Path) -> None:
    """Without a wish, and for a language that there is not, the dialled flow's first language answers."""
    catalogue = translations(tmp_path, FIRST, SECOND)
    assert catalogue.default_language == "sw"
    assert set(catalogue.languages) == {"sw", "en", "fr"}
    assert catalogue.fetch(None, "sample", ["sample.bye.end"]).translations == {"sample.bye.end": "Kwaheri"}
    assert not catalogue.fetch(None, None, None).fallback
    unknown = catalogue.fetch("xx", None, ["sample.bye.end"])
    assert (unknown.language, unknown.fallback) == ("sw", True)
    assert unknown.translations == {"sample.bye.end": "Kwaheri"}


def test_no_dialled_flow_still_has_a_default(tmp_path: Path) -> None:
    """A folder of parts alone has the language of its first flow."""
    assert translations(tmp_path, FIRST).default_language == "en"


def test_one_flow_and_some_keys(tmp_path: Path) -> None:
    """A request may name a flow, keys, or both; keys that are not there are left out."""
    catalogue = translations(tmp_path, FIRST, SECOND)
    assert set(catalogue.fetch("en", "a_part", None).translations) == {"a_part.states.end"}
    assert catalogue.fetch("en", "a_part", ["sample.bye.end"]).translations == {}
    assert catalogue.fetch("en", None, ["none", "sample.hello.menu"]).translations == {
        "sample.hello.menu": "Hello"
    }


def test_flow_that_is_not_there(tmp_path: Path) -> None:
    """An unknown flow is a refusal with a code of its own."""
    with pytest.raises(UnknownFlow) as caught:
        translations(tmp_path, FIRST).fetch(None, "nothing", None)
    assert caught.value.code == "unknown_flow"


def test_version_changes_with_the_texts(tmp_path: Path) -> None:
    """A version tells whether anything that the request covers has changed, and nothing else."""
    before = translations(tmp_path, FIRST, SECOND)
    after = translations(tmp_path, FIRST, SECOND.replace("Goodbye", "Farewell"))
    assert before.fetch("en", None, None).version == before.fetch("en", None, None).version
    assert before.fetch("en", None, None).version != after.fetch("en", None, None).version
    assert before.fetch("en", "a_part", None).version == after.fetch("en", "a_part", None).version
    assert before.fetch("en", None, None).version != before.fetch("sw", None, None).version


def test_shipped_texts_are_complete() -> None:
    """The shipped flows have every text in both languages."""
    catalogue = Translations(load(Path(__file__).parents[2] / "flows", SPECS))
    english, swahili = (catalogue.fetch(language, None, None).translations for language in ("en", "sw"))
    assert english.keys() == swahili.keys()
    assert english["onboarding.welcome.options.1"] == "Open an account"
