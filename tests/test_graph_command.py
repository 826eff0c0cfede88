"""`ussd graph`, run as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.commands import ussd
from tests.test_cli import BROKEN


def test_the_flows_of_the_folder_are_drawn() -> None:
    """Without a word more: Mermaid of all flows, the one that is dialled first."""
    run = ussd("graph")
    assert (run.returncode, run.stderr) == (0, "")
    subgraphs = [line.split('"')[1] for line in run.stdout.splitlines() if line.startswith("  subgraph")]
    assert subgraphs == [
        "onboarding<br/>#42;384#42;100#35;",
        "change_pin",
        "home",
        "new_pin",
        "open_account",
        "pin",
        "register",
    ]
    assert "Welcome to Acme Bank" in run.stdout


def test_one_flow_in_one_language_as_svg_to_a_file(tmp_path: Path) -> None:
    """The file is written, and the terminal stays empty."""
    file = tmp_path / "home.svg"
    run = ussd("graph", "flows", "--flow=home", "--format=svg", "--language=sw", f"--output={file}")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    text = file.read_text(encoding="utf-8")
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "3 Akaunti zangu" in text
    assert "onboarding" not in text


def test_visits_are_shown_and_unknown_ones_named(tmp_path: Path) -> None:
    """Counts of an older revision do no harm; the drawing stays clean of the note."""
    file = tmp_path / "visits.json"
    file.write_text(
        json.dumps({"states": {"home.menu": 7, "home.nope": 1}, "edges": {"home.menu option.1": 2}})
    )
    run = ussd("graph", "--visits", str(file))
    assert run.returncode == 0
    assert "no state or edge 'home.nope'; not drawn" in run.stderr
    assert "7 visits" in run.stdout
    assert "never visited" in run.stdout
    assert "nope" not in run.stdout


def test_broken_flows_give_the_findings(tmp_path: Path) -> None:
    """As `ussd check` does: every finding, status 1, and nothing that could be taken for a drawing."""
    (tmp_path / "greeting.yaml").write_text(BROKEN)
    run = ussd("graph", str(tmp_path))
    assert (run.returncode, run.stdout) == (1, "")
    assert "error F201" in run.stderr
    assert "did you mean 'goodbye'?" in run.stderr


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    """Status 2, with what to do."""
    for arguments, message in (
        (["--flow=hom"], "no flow is named 'hom'; did you mean 'home'?"),
        (["--language=xx"], "the flows have no language 'xx'; they have en, sw"),
        ([str(tmp_path / "none")], "no such folder of flows"),
        (["--visits", str(tmp_path / "none.json")], "none.json: No such file or directory"),
        (
            ["--output", str(tmp_path / "none" / "x.svg")],
            "x.svg cannot be written: No such file or directory",
        ),
    ):
        run = ussd("graph", *arguments)
        assert (run.returncode, run.stdout) == (2, "")
        assert message in run.stderr
