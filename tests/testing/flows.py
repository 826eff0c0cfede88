"""Flows under test: the shipped ones, and those of a test alone."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from ussd_engine.flow.loader import load
from ussd_engine.flow.pager import DEFAULT_NETWORKS
from ussd_engine.flow_test_commands import DEFAULT_WALKS
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.happenings import Result
from ussd_engine.services.action_specs import SPECS
from ussd_engine.testing.flow_tests import FlowTests
from ussd_engine.testing.rig import Rig
from ussd_engine.testing.transcript import Kind
from ussd_engine.testing.walk import Walk

SHIPPED = Path(__file__).parents[2] / "flows"
NEVER = """
flow: sample
dial: ["*100#"]
languages: [en]
start: hello
states:
  hello:
    menu: Hello
    options:
      - {text: Never, goto: never, when: "session.network == 'nowhere'"}
      - {text: Leave, goto: bye}
  never: {end: Never}
  bye: {end: Bye}
"""


def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "flows"
    shutil.copytree(SHIPPED, folder)
    return folder


def does(
    folder: Path,
    flow: str,
    *steps: tuple[Kind, str],
    gives: str = "unavailable",
    clock: datetime | None = None,
) -> None:
    """A dial of the flow and these steps, where each action comes back with `gives`."""
    (folder / "sample.yaml").write_text(f'flow: sample\ndial: ["*100#"]\n{flow}')
    program = compile_library(load(folder, SPECS), SPECS, "KE")
    rig = Rig(program, SPECS, DEFAULT_NETWORKS, lambda _spec, _inputs: Result(gives))
    try:
        walk = Walk(rig, "*100#", "default", clock=clock)
        for kind, text in steps:
            walk.do(kind, text)
    finally:
        rig.close()


def walked(folder: Path, flow: str, walks: int = DEFAULT_WALKS) -> None:
    (folder / "sample.yaml").write_text(f'flow: sample\ndial: ["*100#"]\n{flow}')
    FlowTests(load(folder, SPECS), SPECS, "KE").walk_at_random("sample", walks)
