"""docs/flows.md, the tutorial: what stands there is run, in the order in which a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import pytest

from ussd_engine.flow.loader import Library, load
from ussd_engine.flow.vocabulary import ActionSpec
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.happenings import Result
from ussd_engine.services.action_specs import SPECS
from ussd_engine.testing.rig import Rig
from ussd_engine.testing.transcript import Transcript, loads
from ussd_engine.testing.walk import Walk

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "flows.md"
WITHIN_S = 120
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = FENCED.findall(PAGE.read_text())
WHOLE = re.compile(r"# (flows/\S+)\n(.*)", re.DOTALL)
REVISION = re.compile(r"revision [0-9a-f]{16}")
"""Of a flow: it changes with every key that the language gets."""


def run(command: str, folder: Path) -> str:
    """What a reader sees who types it."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHON": sys.executable,
        "COLUMNS": "120",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", 'ussd() { "$PYTHON" -m ussd_engine "$@"; }\n' + command],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        timeout=WITHIN_S,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout


def steps_of(console: str) -> list[tuple[str, str]]:
    """The commands of a block, each with the output that stands below it."""
    parts = re.split(r"^\$ (.*)\n", console, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def alike(shown: str, real: str) -> bool:
    """Line for line, but for spaces at the end of lines; a line of three dots stands for any lines."""
    real = "".join(line.rstrip() + "\n" for line in real.splitlines())
    pattern = "".join(
        r"(?:.*\n)*?" if line == "...\n" else re.escape(line) for line in shown.splitlines(keepends=True)
    )
    return re.fullmatch(pattern, real) is not None


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder at the end of the page. Every output on the way is that of the page."""
    folder = tmp_path_factory.mktemp("guide")
    for form, text in BLOCKS:
        if form == "yaml" and (whole := WHOLE.fullmatch(text)):
            file = folder / whole[1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(whole[2])
        elif form == "console":
            for command, shown in steps_of(text):
                real = run(command, folder)
                assert alike(REVISION.sub("", shown), REVISION.sub("", real)), f"$ {command}\n{real}"
    return folder


@pytest.fixture(scope="module")
def library(followed: Path) -> Library:
    return load(followed / "flows", SPECS)


def test_page_leads_to_flows_in_three_languages_without_a_finding(library: Library) -> None:
    """Not even a warning is left."""
    assert library.warnings == ()
    assert library.flows["visit"].languages == ["en", "sw", "fr"]


def test_every_block_is_followed(followed: Path) -> None:
    """A piece of YAML stands as it is in a file of the page or in a shipped flow; and every block is of some kind."""
    files = [*(followed / "flows").rglob("*.yaml"), *(ROOT / "flows").glob("*.yaml")]
    written = [file.read_text() for file in files]
    pieces = [text for form, text in BLOCKS if form == "yaml" and not WHOLE.fullmatch(text)]
    assert {form for form, _ in BLOCKS} == {"yaml", "console"}
    assert not [piece for piece in pieces if not any(piece in text for text in written)]


def replayed(transcript: Transcript, library: Library) -> Transcript:
    results = deque(result for step in transcript.steps for _, result, _ in step.actions)

    def decide(_spec: ActionSpec, _inputs: Mapping[str, object]) -> Result:
        return results.popleft()

    rig = Rig(compile_library(library, SPECS, "KE"), SPECS, library.networks, decide)
    try:
        walk = Walk(rig, transcript.dial, transcript.network)
        for step in transcript.steps[1:]:
            walk.do(step.kind, step.text)
        return walk.transcript(transcript.name)
    finally:
        rig.close()


def test_transcript_of_the_page_holds(followed: Path, library: Library) -> None:
    """Screens, actions and the end are those that it says."""
    (file,) = (followed / "flows" / "tests").iterdir()
    transcript = loads(file)
    assert replayed(transcript, library) == transcript
