"""Catalogues: a text beside its state and one in a file of its own are the same text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flow.vocabulary import ACTIONS
from ussd_engine.flow.catalogue import entries, faults, find, with_texts
from ussd_engine.flow.diagnostic import InvalidFlows
from ussd_engine.flow.loader import Library, load
from ussd_engine.flow.source import read
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.services.action_specs import SPECS

SHIPPED = Path(__file__).parents[2] / "flows"
SAMPLE = """
flow: sample
dial: ["*100#"]
languages: [en, sw]
start: hello
texts: {back: Return}
states:
  hello:
    menu: Hello
    options:
      - {text: "{session.phone}", goto: bye}
      - {text: {en: Leave}, goto: bye}
  bye:
    end: Goodbye
"""
SWAHILI = """
messages: sample
language: sw
texts:
  texts.back: Rudi
  hello.menu: Habari
  hello.options.2: Ondoka
"""
REST = """
messages: sample
language: sw
texts:
  bye.end: Kwaheri
"""


def folder_of(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / f"{name.replace('__', '/')}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture
def sample(tmp_path: Path) -> Library:
    """Files of which some are read before their flow."""
    return load(folder_of(tmp_path, flow=SAMPLE, a=SWAHILI, z__rest=REST), {}, "flows")


def taken_out(library: Library, language: str) -> dict[str, str]:
    """The files of the same flows, with every text of a language in a catalogue."""
    files = {"sms": (SHIPPED / "sms.yaml").read_text()}
    for name, flow in library.flows.items():
        data: dict[str, Any] = read(SHIPPED / f"{name}.yaml").data
        texts = {}
        for entry in entries(flow):
            holder: Any = data
            for step in entry.path:
                holder = holder[step]
            if isinstance(holder, dict):
                texts[entry.key.removeprefix(f"{name}.")] = holder.pop(language)
        files[name] = yaml.safe_dump(data)
        files[f"{name}.{language}"] = yaml.safe_dump({"messages": name, "language": language, "texts": texts})
    return files


@pytest.mark.parametrize("language", ["en", "sw"])
def test_texts_may_stand_in_either_place(language: str, tmp_path: Path) -> None:
    """The shipped flows are the same flows, of the same revision, when one language of them is taken out."""
    beside = load(SHIPPED, SPECS)
    apart = load(folder_of(tmp_path, **taken_out(beside, language)), SPECS)
    assert apart.flows == beside.flows
    assert compile_library(apart, SPECS, "KE").revision == compile_library(beside, SPECS, "KE").revision


def test_further_language_comes_from_files_beside(sample: Library) -> None:
    """A text that stands alone is in the default language; several files may share the rest between them."""
    texts = {entry.key: dict(entry.texts) for entry in entries(sample.flows["sample"])}
    assert texts == {
        "sample.texts.back": {"en": "Return", "sw": "Rudi"},
        "sample.hello.menu": {"en": "Hello", "sw": "Habari"},
        "sample.hello.options.1": {"en": "{session.phone}", "sw": "{session.phone}"},
        "sample.hello.options.2": {"en": "Leave", "sw": "Ondoka"},
        "sample.bye.end": {"en": "Goodbye", "sw": "Kwaheri"},
    }


def test_staff_change_a_text_wherever_it_came_from(sample: Library) -> None:
    """An override lies over a text of a catalogue as over any other."""
    changed = with_texts(sample, {("sample.bye.end", "sw"): "Kwa heri ya kuonana"})
    assert faults(changed, {}) == []
    assert find(changed, "sample.bye.end", "sw").texts == {"en": "Goodbye", "sw": "Kwa heri ya kuonana"}


def test_warning_stands_in_the_catalogue(tmp_path: Path) -> None:
    """A curly quote in a translation is shown to the translator, not to who wrote the flow."""
    (warning,) = load(
        folder_of(tmp_path, flow=SAMPLE, a=SWAHILI, z__rest=REST.replace("Kwaheri", "“Kwaheri”")), {}, "flows"
    ).warnings
    assert (warning.file, warning.line, warning.column, warning.code) == ("flows/z/rest.yaml", 5, 12, "F509")


@pytest.mark.parametrize(
    "catalogue",
    [
        "messages: [sample]\nlanguage: {sw: sw}\ntexts: {hello.menu: Habari}",
        "messages: sample\nlanguage: [sw]\ntexts: [Habari]",
        "messages:\nlanguage:\ntexts:",
        "messages: sample\nlanguage: sw\ntexts: {hello.menu: {sw: [x]}, hello: x, hello.options: x, texts: x}",
        "messages: sample\nlanguage: sw\ntexts: {hello.menu: &a x, bye.end: *a}",
        "messages: sample\nlanguage: sw\ntexts: {hello.menu: x, hello.menu: y}",
    ],
)
def test_whatever_stands_in_a_catalogue_is_a_finding_in_it(catalogue: str, tmp_path: Path) -> None:
    """No slip of a translator is an exception, and none is shown to who wrote the flow alone."""
    with pytest.raises(InvalidFlows) as caught:
        load(folder_of(tmp_path, flow=SAMPLE, a=catalogue), ACTIONS, "flows")
    assert "flows/a.yaml" in {finding.file for finding in caught.value.diagnostics}


def test_catalogue_of_a_broken_flow_has_no_findings_of_its_own(tmp_path: Path) -> None:
    """Until the languages of the flow are written as a list, nobody can say what its catalogues lack."""
    broken = SAMPLE.replace("[en, sw]", "en")
    with pytest.raises(InvalidFlows) as caught:
        load(folder_of(tmp_path, flow=broken, a=SWAHILI), ACTIONS, "flows")
    assert {finding.file for finding in caught.value.diagnostics} == {"flows/flow.yaml"}
