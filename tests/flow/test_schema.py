"""The schema that editors read says what the models say."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ussd_engine.flow.model import Flow
from ussd_engine.flow.schema import json_schema
from ussd_engine.flow.sms_templates import parse_templates
from ussd_engine.flow.source import read

ROOT = Path(__file__).parents[2]
SCHEMA = json_schema()
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
SHIPPED = sorted((ROOT / "flows").glob("*.yaml"))
DATA = {
    str(file.relative_to(ROOT)): read(file).data
    for file in (*SHIPPED, *sorted((ROOT / "tests" / "flow").rglob("*.yaml")))
}
"""What the files hold that are YAML at all, as the engine reads them."""
FLOWS = {file: data for file, data in DATA.items() if isinstance(data, dict) and "flow" in data}
SMS = {
    file: data
    for file, data in DATA.items()
    if isinstance(data, dict) and data.keys() & {"flow", "sms"} == {"sms"}
}
CATALOGUES = {
    file: data
    for file, data in DATA.items()
    if isinstance(data, dict) and data.keys() & {"flow", "sms", "messages"} == {"messages"}
}


def by_models(data: Any) -> bool:
    try:
        Flow.model_validate(data)
    except ValidationError:
        return False
    return True


SOUND = [data for data in FLOWS.values() if by_models(data)]


def test_it_is_a_schema() -> None:
    """Editors refuse a schema that is none, or of a draft that they do not know."""
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert jsonschema_rs.meta.is_valid(SCHEMA)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_shipped_files_suit_the_schema(file: Path) -> None:
    """An author who opens a shipped file sees no red line."""
    assert VALIDATOR.is_valid(read(file).data)


@pytest.mark.parametrize("file", FLOWS)
def test_flow_is_refused_by_both_or_by_none(file: str) -> None:
    """Shipped and broken flows get the same verdict from the schema and from the models."""
    assert VALIDATOR.is_valid(FLOWS[file]) == by_models(FLOWS[file])


@pytest.mark.parametrize("file", SMS)
def test_sms_texts_are_refused_by_both_or_by_none(file: str) -> None:
    """The shape, the events and the default language of SMS texts are in the schema."""
    findings = parse_templates(read(ROOT / file))[1]
    shape = [f for f in findings if f.code in {"S101", "S102", "S103", "S104"} and f.severity == "error"]

    assert VALIDATOR.is_valid(SMS[file]) == (not shape)


@pytest.mark.parametrize("file", CATALOGUES)
def test_catalogue_is_refused_by_both_or_by_none(file: str) -> None:
    """Its keys are in the schema; whether there is such a flow, language or text is for the engine alone."""
    assert VALIDATOR.is_valid(CATALOGUES[file]) == ("shape" not in file)


@pytest.mark.parametrize("data", [{}, {"states": {}}, [], "flow", None, {"flow": "a", "sms": {}}], ids=repr)
def test_what_is_neither_is_refused(data: object) -> None:
    """A file is a flow, a catalogue or SMS texts, and nothing else."""
    assert not VALIDATOR.is_valid(data)


def keys_of_the_language() -> set[str]:
    return {
        key
        for name, each in SCHEMA["definitions"].items()
        if name not in {"SmsTemplates", "Catalogue"}
        for key in each["properties"]
    }


def test_every_key_is_described() -> None:
    """Whoever points at a key reads what it is for, in words without marks that an editor would show as they are."""
    described = {
        f"{name}.{key}": value.get("description", "")
        for name, each in SCHEMA["definitions"].items()
        for key, value in each["properties"].items()
    }

    assert not [key for key, text in described.items() if not text or "`" in text]
    assert not [name for name, each in SCHEMA["definitions"].items() if not each.get("description")]


def paths(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(found for key, value in inner for found in paths(value, (*path, key)))]


def at(data: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


def test_mutations_reach_every_key() -> None:
    """A key that no flow here holds would be compared by nobody: put it into every_key.yaml."""
    written = {step for data in SOUND for path in paths(data) for step in path}

    assert keys_of_the_language() <= written


VALUES = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 7, 151, 10**17, 1.5, "", " ", "x", "X", "on", "off", "bye\n", "é"]
    ),
    st.sampled_from(
        ["0", "98", "12345", "en", "EN", "*384#", "KE", "date", "DDMMYY", "x" * 41, "x" * 501, "x" * 2001]
    ),
    st.sampled_from(
        [[], {}, ["x"], [["x"]], {"en": "x"}, {"EN": "x"}, {"else": "x"}, [{"else": "x"}], [{}], {"end": "x"}]
    ),
)
KEYS = st.one_of(
    st.sampled_from(sorted(keys_of_the_language())),
    st.sampled_from(["", "x", "Bad Name", "en", "sms", "inputs", "otherwise", "x" * 41, "bye\n"]),
)


@st.composite
def mutants(draw: st.DrawFn) -> Any:
    """A sound flow after one to three slips of an author: a key dropped, renamed or added, a value of another kind."""
    data = deepcopy(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in paths(data) if path]))
        parent, step = at(data, path[:-1]), path[-1]
        slip = draw(st.sampled_from(["drop", "retype", "rename", "add", "move"]))
        if slip == "drop" and len(path) > 1:
            del parent[step]
        elif slip == "rename" and isinstance(parent, dict):
            parent[draw(KEYS)] = parent.pop(step)
        elif slip == "add" and isinstance(parent, dict):
            parent[draw(KEYS)] = deepcopy(draw(VALUES))
        elif slip == "move":
            parent[step] = deepcopy(at(data, draw(st.sampled_from(paths(data)))))
        else:
            parent[step] = deepcopy(draw(VALUES))
    return data


@settings(max_examples=1_000, deadline=None)
@given(mutants())
def test_mutant_is_refused_by_both_or_by_none(mutant: Any) -> None:
    """Whatever an author does to a flow, an editor's red lines and the models agree whether it has a flow's shape."""
    assert VALIDATOR.is_valid(mutant) == by_models(mutant)


def test_whole_number_with_a_point_is_all_that_only_the_models_refuse() -> None:
    """JSON Schema knows no difference between 20 and 20.0: the one thing that it cannot say."""
    flow = {"flow": "a", "languages": ["en"], "start": "b", "states": {"b": {"end": "x"}}}
    whole = {**flow, "data": {"n": {"type": "name", "max": 20.0}}}

    assert VALIDATOR.is_valid(whole)
    assert not by_models(whole)
