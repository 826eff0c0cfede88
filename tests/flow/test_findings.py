"""Every rule of the flow language: a small broken flow in `broken/`, and the exact words that its author reads.

`F201_unknown_state.yaml` breaks rule F201; `F201_unknown_state.txt` beside it holds all findings. Where a rule
needs more files, they are named `F107_same_service_code+other.yaml`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.flow.vocabulary import ACTIONS
from ussd_engine.flow.diagnostic import InvalidFlows
from ussd_engine.flow.loader import load
from ussd_engine.flow.rules import EXPLANATIONS

BROKEN = Path(__file__).parent / "broken"
CASES = sorted(file.stem for file in BROKEN.glob("*.yaml") if "+" not in file.stem)
ENGINE = Path(__file__).parents[2] / "ussd_engine" / "flow"


def findings_of(case: str, folder: Path) -> InvalidFlows:
    for file in (BROKEN / f"{case}.yaml", *BROKEN.glob(f"{case}+*.yaml")):
        shutil.copy(file, folder)
    with pytest.raises(InvalidFlows) as caught:
        load(folder, ACTIONS, "flows")
    return caught.value


@pytest.mark.parametrize("case", CASES)
def test_broken_flow_is_told_in_these_words(case: str, tmp_path: Path) -> None:
    """A broken folder gives all its findings at once: file, line, column, code, what is wrong, and a hint."""
    assert str(findings_of(case, tmp_path)) + "\n" == (BROKEN / f"{case}.txt").read_text()


@pytest.mark.parametrize("case", CASES)
def test_broken_flow_breaks_the_rule_of_its_name(case: str, tmp_path: Path) -> None:
    """The code in a file's name is among the findings, so no case can drift to another rule unseen."""
    codes = {finding.code for finding in findings_of(case, tmp_path).diagnostics}
    assert case[:4] in codes or case == "seven_mistakes_at_once"


def test_every_code_is_explained_and_has_a_broken_flow() -> None:
    """No rule is without a case that shows its words, nor without an entry; and no entry is of no rule."""
    sources = [file for file in ENGINE.rglob("*.py") if file != ENGINE / "rules.py"]
    written = {code for file in sources for code in re.findall(r'"([FS]\d{3})"', file.read_text())}

    assert written == {case[:4] for case in CASES if re.match(r"[FS]\d{3}_", case)}
    assert written == EXPLANATIONS.keys()


def test_many_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Seven mistakes of seven rules in one file make seven findings, none hiding another."""
    found = findings_of("seven_mistakes_at_once", tmp_path).diagnostics
    assert [f.code for f in found if f.severity == "error"] == [
        "F501",
        "F201",
        "F402",
        "F101",
        "F204",
        "F205",
        "F503",
    ]


@pytest.mark.parametrize("case", CASES)
def test_findings_stand_at_something_that_is_there(case: str, tmp_path: Path) -> None:
    """Line and column of a finding lie within its file, on a character that is no space."""
    for finding in findings_of(case, tmp_path).diagnostics:
        line = (tmp_path / Path(finding.file).name).read_text().splitlines()[finding.line - 1]
        rest = line[finding.column - 1 :]
        assert rest[:1].strip(), f"{finding.text()} points at {rest!r}"
