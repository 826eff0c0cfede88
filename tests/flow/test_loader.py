"""Rules of a folder of flows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ussd_engine.errors import FlowError
from ussd_engine.flow.diagnostic import InvalidFlows
from ussd_engine.flow.loader import load
from ussd_engine.flow.source import read
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.services.action_specs import SPECS

SHIPPED = Path(__file__).parents[2] / "flows"
FLOW = "flow: {name}\nlanguages: [en]\nstart: hello\nstates:\n  hello:\n    end: Hello\n"


def test_shipped_flows_are_clean() -> None:
    """The flows that come with the engine have no finding, not even a warning."""
    library = load(SHIPPED, SPECS)
    assert library.warnings == ()
    assert set(library.flows) == {
        "onboarding",
        "home",
        "open_account",
        "register",
        "pin",
        "new_pin",
        "change_pin",
    }


def test_typo_in_a_goto_of_the_shipped_flow(tmp_path: Path) -> None:
    """A typo in a goto gives file, line and column, and says what was probably meant."""
    for file in SHIPPED.glob("*.yaml"):
        (tmp_path / file.name).write_text(
            file.read_text().replace("goto: ask_last_name", "goto: ask_lst_name")
        )
    with pytest.raises(InvalidFlows) as caught:
        load(tmp_path, SPECS, "flows")
    lines = (SHIPPED / "open_account.yaml").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.strip() == "goto: ask_last_name")
    assert str(caught.value) == (
        f"flows/open_account.yaml:{line}:11: error F201 state 'ask_first_name' goes to 'ask_lst_name', "
        "which is not a state of 'open_account'\n    hint: did you mean 'ask_last_name'?"
    )


def test_folder_holds_flows_in_sub_folders_but_not_tests(tmp_path: Path) -> None:
    """Every .yaml and .yml file below the folder counts, except below a folder named tests."""
    for name in ("a.yaml", "deep/er/b.yml", "tests/c.yaml", "deep/tests/d.yaml", "e.yaml.bak", "f.json"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FLOW.format(name=file.name[0]))
    (tmp_path / "g.yaml").mkdir()
    library = load(tmp_path, {})
    assert set(library.flows) == {"a", "b"}
    assert library.sources["b"].file == str(tmp_path / "deep/er/b.yml")


def test_what_is_hidden_in_a_folder_is_no_flow(tmp_path: Path) -> None:
    """Copies that macOS and editors leave, and the versions behind a mounted ConfigMap: each flow stands there once."""
    version = tmp_path / "..2026_1"
    version.mkdir()
    (version / "a.yaml").write_text(FLOW.format(name="a"))
    (tmp_path / "..data").symlink_to("..2026_1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    for name in ("._a.yaml", ".backup/a.yaml", "deep/.a.yaml"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(FLOW.format(name="a"))
    library = load(tmp_path, {})
    assert set(library.flows) == {"a"}
    assert library.sources["a"].file == str(tmp_path / "a.yaml")


def test_no_such_folder(tmp_path: Path) -> None:
    """A folder that is not there is told in one sentence."""
    with pytest.raises(FlowError, match=r"^my/flows: no such folder of flows$"):
        load(tmp_path / "none", {}, "my/flows")


@pytest.mark.parametrize("language", ["en", "sw"])
def test_folder_without_a_flow(tmp_path: Path, language: str) -> None:
    """SMS texts alone, with or without warnings, are no flows."""
    sms = (SHIPPED / "sms.yaml").read_text().splitlines()
    kept = [line for line in sms if language == "sw" or not line.startswith("    sw:")]
    one_warning = [line for number, line in enumerate(kept) if language == "en" or number != len(kept) - 1]
    (tmp_path / "sms.yaml").write_text("\n".join(one_warning))
    with pytest.raises(FlowError, match="no flow in this folder") as caught:
        load(tmp_path, {})
    assert not isinstance(caught.value, InvalidFlows)


def test_warnings_alone_let_a_folder_pass(tmp_path: Path) -> None:
    """A warning is kept for the author to see, and the flows run."""
    (tmp_path / "a.yaml").write_text(FLOW.format(name="a"))
    sms = (SHIPPED / "sms.yaml").read_text().splitlines()
    (tmp_path / "sms.yaml").write_text("\n".join(sms[:-1]))
    library = load(tmp_path, {})
    assert [(w.code, w.severity) for w in library.warnings] == [("S104", "warning")]
    assert library.sms.render("account_opened", "sw", {"first_name": "Jane", "account_number": "1"})


def _paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, value in (
        data.items() if isinstance(data, dict) else enumerate(data if isinstance(data, list) else ())
    ):
        yield from _paths(value, (*path, key))


_DATA = {file.name: read(file).data for file in sorted(SHIPPED.glob("*.yaml"))}
_PLACES = [(name, path) for name, data in _DATA.items() for path in _paths(data) if path]
_JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, 7, "", "x", "Bad Name", "{", "{x}", [], {}, [1], {"a": 1}, "a" * 3000, "en ==", [[]]]
)


def _break(data: Any, path: tuple[Any, ...], how: str, junk: Any) -> None:
    for step in path[:-1]:
        data = data[step]
    match how:
        case "drop":
            del data[path[-1]]
        case "replace":
            data[path[-1]] = junk
        case _ if isinstance(data, dict):
            data[str(junk)] = data.pop(path[-1])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(_PLACES), st.sampled_from(["drop", "replace", "rename"]), _JUNK), max_size=3
    )
)
def test_no_mistake_breaks_the_checker(mistakes: list[tuple[tuple[str, tuple[Any, ...]], str, Any]]) -> None:
    """Whatever an author breaks, the answer is findings with a place, or flows that compile."""
    broken = deepcopy(_DATA)
    for (name, path), how, junk in mistakes:
        try:
            _break(broken[name], path, how, junk)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mistake took the place away
    with TemporaryDirectory() as folder:
        for name, data in broken.items():
            (Path(folder) / name).write_text(json.dumps(data, indent=1))
        try:
            library = load(Path(folder), SPECS)
        except InvalidFlows as invalid:
            found = invalid.diagnostics
        else:
            assert compile_library(library, SPECS, "KE").flows
            return
    assert found
    assert all(d.line >= 1 and d.column >= 1 and d.message for d in found)
