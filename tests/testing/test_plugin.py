"""Rules of the pytest plugin: `pytest --ussd-flows DIR`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import environment, run_here
from tests.testing.flows import NEVER, SHIPPED, copied
from ussd_engine.testing.flow_tests import transcripts_in

CHILD = ["-q", "-p", "no:cacheprovider"]
HERE = [*CHILD, "-p", "no:asyncio"]
"""The asynchronous tests around it are another run's business."""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In this process, as the plugin is the same there."""
    arguments = (*HERE, *arguments)
    return run_here(lambda: sys.exit(pytest.main([*arguments])), [], folder, environment({}))


def run_pytest_in_a_process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", *CHILD, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment({}), capture_output=True, text=True, timeout=120, check=False
    )


def test_plugin_collects_flows_without_a_line_of_python(tmp_path: Path) -> None:
    """`pytest --ussd-flows DIR` tests each flow that is dialled, every way and at random, and what was visited."""
    shutil.copytree(SHIPPED, tmp_path / "flows")
    run = run_pytest_in_a_process(tmp_path, "--ussd-flows", "flows", "--ussd-walks", "3")
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(transcripts_in(SHIPPED)) + 3} passed" in run.stdout


def test_plugin_shows_what_has_become_different_and_no_python(tmp_path: Path) -> None:
    """A transcript with the screens that it has now; `-k` picks."""
    home = copied(tmp_path) / "home.yaml"
    home.write_text(home.read_text().replace("Acme Bank. Hello", "Acme Bank, hello"))
    run = run_pytest(tmp_path, "--ussd-flows", "flows", "-k", "sees_accounts")
    assert "step 1: 'Acme Bank. Hello Jane" in run.stdout
    assert "ussd test flows --update" in run.stdout
    assert "runtest" not in run.stdout
    assert f"1 failed, {len(transcripts_in(SHIPPED)) + 2} deselected" in run.stdout


DIVIDES = """
flow: sample
dial: ["*100#"]
languages: [en]
start: hello
data: {share: {type: number, default: 0}}
states:
  hello:
    menu: Hello
    options:
      - {text: Leave, goto: bye}
      - {text: Share, goto: bye, set: {share: 10 / share}}
  bye: {end: Bye}
"""


@pytest.mark.parametrize("spread", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_plugin_shows_the_rule_that_broke_and_no_python(tmp_path: Path, spread: bool) -> None:
    """With the steps that lead there, also where another process has taken them."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "sample.yaml").write_text(DIVIDES)
    chosen = ["--ussd-flows", "flows", "--ussd-walks", "40", "-k", "at-random"]
    run = run_pytest_in_a_process(tmp_path, *chosen, "-n", "2") if spread else run_pytest(tmp_path, *chosen)
    assert "the engine had to apologise" in run.stdout
    assert "steps:\n- dial: ''" in run.stdout
    assert "runtest" not in run.stdout


SPREAD = ("-n", "2")


def never_visited(folder: Path, flow: str, chosen: tuple[str, ...]) -> tuple[int, list[str]]:
    """The exit status, and what is told of a run of five walks."""
    file = folder / "flows" / "sample.yaml"
    file.parent.mkdir()
    file.write_text(flow)
    runs = run_pytest_in_a_process if chosen == SPREAD else run_pytest
    run = runs(folder, "--ussd-flows", "flows", "--ussd-walks", "5", *chosen)
    told = [line for line in run.stdout.splitlines() if line.startswith(("never visited", "1 failed"))]
    return run.returncode, [line.partition(",")[0].partition(" in ")[0] for line in told]


@pytest.mark.parametrize("chosen", [(), ("-k", "visited"), SPREAD])
def test_plugin_tells_what_was_never_visited(tmp_path: Path, chosen: tuple[str, ...]) -> None:
    """However the items are picked or spread: a way that no input leads over is told, and nothing else is."""
    told = ["never visited: sample.never", "never visited: sample.hello option.1", "1 failed"]
    assert never_visited(tmp_path, NEVER, chosen) == (1, told)


@pytest.mark.parametrize("chosen", [(), ("-k", "visited"), pytest.param(SPREAD, marks=pytest.mark.slow)])
def test_plugin_is_content_where_all_was_visited(tmp_path: Path, chosen: tuple[str, ...]) -> None:
    """However the items are picked or spread."""
    assert never_visited(tmp_path, NEVER.replace("'nowhere'", "'default'"), chosen) == (0, [])


@pytest.mark.parametrize(
    ("file", "chosen"), [("config.yaml", ()), ("ours.yaml", ("--ussd-config", "ours.yaml"))]
)
def test_plugin_takes_the_networks_of_the_settings(
    tmp_path: Path, file: str, chosen: tuple[str, ...]
) -> None:
    """A key that is free by default is the home key of one network, whose settings are found as always."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "sample.yaml").write_text(NEVER)
    (tmp_path / file).write_text('networks: {"63999": {home_key: "1"}}\n')
    run = run_pytest(tmp_path, "--ussd-flows", "flows", *chosen)
    assert run.returncode == 4, run.stdout
    assert "which is the home key on network '63999'" in run.stdout + run.stderr


def test_plugin_tells_what_is_wrong_with_flows(tmp_path: Path) -> None:
    """Flows with errors are told as `ussd check` tells them, before anything runs."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "sample.yaml").write_text(
        "flow: sample\nlanguages: [en]\nstart: hi\nstates: {bye: {end: Bye}}\n"
    )
    run = run_pytest(tmp_path, "--ussd-flows", "flows")
    assert run.returncode == 4
    assert "sample.yaml:3:8: error F201" in run.stdout + run.stderr
