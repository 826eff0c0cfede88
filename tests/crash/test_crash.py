"""A sample of the crash matrix; `make crash` kills a process at every point of every scenario."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_whoever_dies_where_the_next_one_sets_it_right() -> None:
    """One account at the bank, the same here, one SMS, legal changes and a whole audit log, whatever was cut off.

    In a process of its own, which forks: it must have neither threads nor an event loop.
    """
    run = subprocess.run(
        [sys.executable, "-m", "tests.crash", "--every", "11"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "kill points in all" in run.stdout
