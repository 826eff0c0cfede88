"""Rules of findings: one value, three forms."""

from __future__ import annotations

import json

import pytest

from ussd_engine.flow.diagnostic import Diagnostic, InvalidFlows, as_github, as_json, as_text, did_you_mean

ERROR = Diagnostic("a,b:c.yaml", 4, 2, "F201", "100% of 'x'\nis wrong", "mend it")
WARNING = Diagnostic("a.yaml", 1, 1, "S104", "no text", severity="warning")


def test_text_form() -> None:
    """For people: file, line, column, severity, code and message, the hint on a line of its own."""
    assert as_text([WARNING, ERROR]) == (
        "a.yaml:1:1: warning S104 no text\n"
        "a,b:c.yaml:4:2: error F201 100% of 'x'\nis wrong\n    hint: mend it"
    )


def test_json_form() -> None:
    """For tools: a list of objects with every field."""
    assert json.loads(as_json([WARNING])) == [
        {
            "file": "a.yaml",
            "line": 1,
            "column": 1,
            "code": "S104",
            "message": "no text",
            "hint": "",
            "severity": "warning",
        }
    ]


def test_github_form() -> None:
    """Workflow commands: one line each, with the characters escaped that the format uses itself."""
    assert as_github([WARNING, ERROR]).splitlines() == [
        "::warning file=a.yaml,line=1,col=1,title=S104::no text",
        "::error file=a%2Cb%3Ac.yaml,line=4,col=2,title=F201::100%25 of 'x'%0Ais wrong (mend it)",
    ]


def test_findings_are_sorted_by_place() -> None:
    """All findings of a folder stand in the order of file and line."""
    assert InvalidFlows([WARNING, ERROR]).diagnostics == (ERROR, WARNING)


@pytest.mark.parametrize(
    ("wrong", "known", "hint"),
    [
        ("opne", ["open", "opened", "bye"], "did you mean 'open'?"),
        ("xyz", ["b", "a"], "known: a, b"),
        ("xyz", [f"name{number}" for number in range(13)], ""),
        ("xyz", [], ""),
    ],
)
def test_hint_names_the_nearest_word(wrong: str, known: list[str], hint: str) -> None:
    """A near word is proposed; else all of a few are named; many are no help."""
    assert did_you_mean(wrong, known) == hint
