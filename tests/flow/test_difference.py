"""What is told of a new library before it is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

from tests.flow.vocabulary import ACTIONS
from ussd_engine.flow.difference import Difference, differences, no_longer_dialled, sms_events
from ussd_engine.flow.loader import Library, load
from ussd_engine.flow.sms_templates import SmsTemplates

OLD = """
flow: sample
dial: ["*100#", "*200#"]
languages: [en]
start: hello
states:
  hello:
    menu: {en: Hello}
    options:
      - {text: {en: Leave}, goto: bye}
      - {text: {en: Stay}, goto: stay}
  stay:
    end: {en: Stay}
  bye:
    end: {en: Goodbye}
"""


def library(folder: Path, *texts: str) -> Library:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(dedent(text))
    return load(folder, ACTIONS)


def test_states_by_flow(tmp_path: Path) -> None:
    """Added, removed and changed ones, and the keys of the flow that changed; a flow that is the same is left out."""
    part = "flow: part\nlanguages: [en]\nstart: a\nstates:\n  a: {end: {en: Part}, outcome: done}\n"
    new = OLD.replace(', "*200#"', "").replace("stay", "wait").replace("en: Goodbye", "en: Bye")
    old, changed = library(tmp_path / "old", OLD, part), library(tmp_path / "new", new, part)
    assert differences(old, changed) == [
        Difference("sample", added=("wait",), removed=("stay",), changed=("bye", "hello"), keys=("dial",))
    ]
    assert differences(old, old) == []
    assert no_longer_dialled(old, changed) == ["*200#"]


def test_flows_that_come_and_go(tmp_path: Path) -> None:
    """All of their states do."""
    old, new = library(tmp_path / "old", OLD), library(tmp_path / "new", OLD.replace("sample", "other"))
    states = ("bye", "hello", "stay")
    assert differences(old, new) == [Difference("other", added=states), Difference("sample", removed=states)]


def test_sms_texts(tmp_path: Path) -> None:
    """By event."""
    one = library(tmp_path / "old", OLD)
    old = replace(one, sms=SmsTemplates({"a": {"en": "A"}, "b": {"en": "B"}}))
    new = replace(one, sms=SmsTemplates({"a": {"en": "A"}, "b": {"en": "C"}, "c": {"en": "C"}}))
    assert sms_events(old, new) == ["b", "c"]
