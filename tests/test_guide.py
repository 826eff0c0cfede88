"""docs/flows.md, the tutorial: what stands there is run, in the order in which a reader would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ussd_engine.flow.loader import Library, load
from ussd_engine.services.action_specs import SPECS
from ussd_engine.testing.flow_tests import FlowTests, transcripts_in

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "flows.md"
WITHIN_S = 120
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = FENCED.findall(PAGE.read_text())
WHOLE = re.compile(r"# ([\w/.]+\.yaml)\n(.*)", re.DOTALL)
STEP = re.compile(r"^\$ (.*(?<=<< 'END')\n(?:.*\n)*?END|.*)\n", re.MULTILINE)
"""A command, with the lines that it is given if there are any."""
VARIES = {
    r"\b[0-9a-f]{16}\b": "REVISION",  # it changes with every key that the language gets
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ": "TIME",
    r"console:\w+": "console:WHO",
    r"127\.0\.0\.1:\d+": "ADDRESS",
    r"[\d,]+ turns": "N turns",
    r"in \d+\.\d+s": "in N s",
    r"(?m) +$": "",
    r" {2,}": "  ",
}
"""What differs between two runs, or two machines, and how it is compared."""
COMMANDS = """
ussd() { "$PYTHON" -m ussd_engine "$@"; }
pytest() { "$PYTHON" -m pytest -p no:cacheprovider -p no:asyncio "$@"; }
"""
ADDRESS = "127.0.0.1:8080"
"""Of the service on the page. Here it takes a port that is free."""


def alike(shown: str, real: str) -> bool:
    """Line for line; a line of three dots stands for any lines."""
    for pattern, word in VARIES.items():
        shown, real = re.sub(pattern, word, shown), re.sub(pattern, word, real)
    lines = (
        r"(?:.*\n)*?" if line == "...\n" else re.escape(line) for line in shown.splitlines(keepends=True)
    )
    return re.fullmatch("".join(lines), real) is not None


class Reader:
    """Somebody who follows the page in an empty folder, with a service that may run beside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service: subprocess.Popen[bytes] | None = None
        self.address = ADDRESS
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHON": sys.executable,
            "ENGINE": str(ROOT),
            "COLUMNS": "120",
            "USSD__SERVER__PORT": "0",
        }

    def run(self, command: str) -> str:
        """What is shown to a reader who types it."""
        done = subprocess.run(
            ["/bin/sh", "-c", COMMANDS + command.replace(ADDRESS, self.address)],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.folder,
            timeout=WITHIN_S,
            check=False,
        )
        assert not done.stderr.strip(), done.stderr
        return done.stdout

    def serve(self, command: str, shown: str) -> None:
        """In a terminal of its own, where it does not end by itself."""
        self.stop()
        with (self.folder / "stdout").open("wb") as stdout, (self.folder / "stderr").open("wb") as stderr:
            self.service = subprocess.Popen(
                [sys.executable, "-m", "ussd_engine", *command.split()[1:]],
                stdout=stdout,
                stderr=stderr,
                env=self.environment,
                cwd=self.folder,
            )
        self.environment["SERVICE"] = str(self.service.pid)
        self.comes(shown, "stdout")
        (self.address,) = re.findall(r"runs at http://(\S+)", (self.folder / "stdout").read_text())

    def comes(self, shown: str, stream: str) -> None:
        """The service says this, sooner or later."""
        deadline = time.monotonic() + WITHIN_S
        while not alike(shown, real := (self.folder / stream).read_text()):
            assert time.monotonic() < deadline, f"{shown}\n--- is not what comes:\n{real}"
            time.sleep(0.05)

    def stop(self) -> None:
        if self.service is not None:
            self.service.send_signal(signal.SIGINT)
            assert self.service.wait(WITHIN_S) == 0
            self.service = None

    def follow(self, form: str, text: str) -> None:
        if form == "yaml" and (whole := WHOLE.fullmatch(text)):
            file = self.folder / whole[1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(whole[2])
        elif form == "text":
            self.comes(f"...\n{text}...\n", "stderr")
        elif form == "console":
            for command, shown in steps_of(text):
                if command.startswith("ussd serve"):
                    self.serve(command, shown)
                else:
                    real = self.run(command)
                    assert alike(shown, real), f"$ {command}\n{real}"


def steps_of(console: str) -> list[tuple[str, str]]:
    """The commands of a block, each with the output that stands below it."""
    parts = STEP.split(console)
    return list(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder at the end of the page. Every output on the way is that of the page."""
    reader = Reader(tmp_path_factory.mktemp("guide"))
    try:
        for form, text in BLOCKS:
            reader.follow(form, text)
    finally:
        reader.stop()
    return reader.folder


@pytest.fixture(scope="module")
def library(followed: Path) -> Library:
    return load(followed / "flows", SPECS)


def test_page_leads_to_flows_in_three_languages_without_a_finding(library: Library) -> None:
    """Not even a warning is left."""
    assert library.warnings == ()
    assert library.flows["visit"].languages == ["en", "sw", "fr"]


def test_every_block_is_followed(followed: Path) -> None:
    """A piece of YAML stands as it is in a file of the page or in a shipped flow; and every block is of some kind."""
    files = [*(followed / "flows").rglob("*.yaml"), *(ROOT / "flows").rglob("*.yaml")]
    written = [file.read_text() for file in files]
    pieces = [text for form, text in BLOCKS if form == "yaml" and not WHOLE.fullmatch(text)]
    assert {form for form, _ in BLOCKS} == {"yaml", "console", "text"}
    assert not [piece for piece in pieces if not any(piece in text for text in written)]


def test_transcript_of_the_page_holds(library: Library, followed: Path) -> None:
    """All that was written down on the way is what the flows do in the end."""
    tests = FlowTests(library, SPECS, "KE")
    files = transcripts_in(followed / "flows")
    assert len(files) == 2
    assert [tests.play_again(file)[1] for file in files] == [[], []]
