"""Rules of `ussd test` for transcripts: what is written down beside the flows is what they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import ussd
from tests.testing.flows import SHIPPED, copied
from ussd_engine.flow.loader import load
from ussd_engine.services.action_specs import SPECS
from ussd_engine.testing.flow_tests import FlowTests, transcripts_in


def test_transcripts_of_the_shipped_flows_hold(tests: FlowTests) -> None:
    """What is written down beside the flows is what they do."""
    files = transcripts_in(SHIPPED)
    assert len(files) >= 3
    assert [tests.play_again(file)[1] for file in files] == [[]] * len(files)


@pytest.mark.parametrize("place", ["tests/b.yml", "tests/sub/x.yaml", "more/tests/x.yaml"])
def test_transcripts_are_found_wherever_no_flow_is_looked_for(tmp_path: Path, place: str) -> None:
    """What the flows' loader passes over as a test is run as one."""
    folder = copied(tmp_path)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text('transcript: Wrong\ndial: "*384*100#"\nsteps: [{dial: "", screen: Other}]\n')
    assert folder / place in transcripts_in(folder)
    assert len(transcripts_in(folder)) == len(transcripts_in(SHIPPED)) + 1


def test_transcript_that_no_longer_holds_is_told_and_refreshed(tmp_path: Path) -> None:
    """A changed text is named by file and step; with --update the file takes it, and then it holds."""
    folder = copied(tmp_path)
    home = folder / "home.yaml"
    home.write_text(home.read_text().replace("Acme Bank. Hello", "Acme Bank, hello"))
    run = ussd("test", str(folder), "--walks", "0")
    assert run.returncode == 1
    assert "sees_accounts.yaml: step 1: 'Acme Bank. Hello Jane" in run.stdout
    assert ussd("test", str(folder), "--walks", "0", "--update").returncode == 0
    assert "Acme Bank, hello Jane" in (folder / "tests" / "sees_accounts.yaml").read_text()
    assert ussd("test", str(folder), "--walks", "0").returncode == 0


@pytest.mark.parametrize(
    ("file", "before", "after", "transcript", "told"),
    [
        (
            "pin.yaml",
            "    save: pin\n    goto: verify\n    home: off\n\n  choose:",
            "    save: pin\n    goto: verified\n    home: off\n\n  choose:",
            "changes_the_pin_in_the_end.yaml",
            "step 5: pin.verify {'pin': '8363'}, and now no action",
        ),
        (
            "open_account.yaml",
            "      last_name: last_name",
            "      last_name: first_name",
            "hears_what_became_of_the_account.yaml",
            "'last_name': 'Jane'",
        ),
    ],
)  # fmt: skip
def test_transcript_tells_what_no_screen_shows(
    tmp_path: Path, file: str, before: str, after: str, transcript: str, told: str
) -> None:
    """A second PIN is not asked about, or the bank is given another name: the screens are the same, and it is told."""
    folder = copied(tmp_path)
    text = (folder / file).read_text()
    assert before in text
    (folder / file).write_text(text.replace(before, after))
    tests = FlowTests(load(folder, SPECS), SPECS, "KE")
    _, different = tests.play_again(folder / "tests" / transcript)
    assert told in different[0]


def test_what_stands_above_a_transcript_is_kept(tmp_path: Path) -> None:
    """With --update the comment at the top stays, and what an action takes is written along."""
    folder = copied(tmp_path)
    file = folder / "tests" / "registers.yaml"
    file.write_text("# First.\n# Second.\n" + file.read_text().replace("Thank you. Your", "Thanks. Your"))
    assert ussd("test", str(folder), "--walks", "0", "--update").returncode == 0
    assert file.read_text().startswith("# First.\n# Second.\ntranscript: ")
    assert "      takes:\n        birth_date: '1990-01-15'\n" in file.read_text()
