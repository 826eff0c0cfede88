"""What becomes of a mutant: `check` reports it, `ussd test` finds out, or it lives."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.mutate.mutants import Mutant
from ussd_engine.errors import UssdError
from ussd_engine.flow.diagnostic import Diagnostic, InvalidFlows
from ussd_engine.settings_model import Settings
from ussd_engine.testing.flow_tests import FlowTests, flow_tests_of
from ussd_engine.testing.transcript import BadTranscript
from ussd_engine.testing.walk import RuleBroken

WALKS = 5
"""At random, after every way. A mutant that only more of them find is one that a transcript should tell of."""

By = Literal["check", "transcripts", "walks", "nothing"]


@dataclass(frozen=True, slots=True)
class Fate:
    """`how` are the codes of the findings, or what was different."""

    by: By
    how: tuple[str, ...] = ()


@dataclass(slots=True)
class Trial:
    """A folder of flows in a copy, whose files become mutants in turn."""

    flows: Path
    copy: Path
    _known: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        shutil.copytree(self.flows, self.copy)
        self._known = frozenset(map(_without_place, flow_tests_of(self.copy, Settings()).library.warnings))

    def fate(self, file: str, mutant: Mutant) -> Fate:
        target = self.copy / file
        target.write_text(mutant.text, encoding="utf-8")
        try:
            return self._fate()
        finally:
            shutil.copy(self.flows / file, target)

    def _fate(self) -> Fate:
        try:
            tests = flow_tests_of(self.copy, Settings())
        except InvalidFlows as error:
            return Fate("check", self._new(error.diagnostics))
        codes = self._new(tests.library.warnings)
        if codes:
            return Fate("check", codes)
        return _played(tests) or _walked(tests) or Fate("nothing")

    def _new(self, findings: Sequence[Diagnostic]) -> tuple[str, ...]:
        return tuple(sorted({one.code for one in findings if _without_place(one) not in self._known}))


def _played(tests: FlowTests) -> Fate | None:
    for file in tests.transcripts:
        try:
            _, different = tests.play_again(file)
        except (RuleBroken, BadTranscript) as error:
            different = [str(error)]
        if different:
            return Fate("transcripts", (f"{file.name}: {different[0]}",))
    return None


def _walked(tests: FlowTests) -> Fate | None:
    try:
        for flow in tests.dialled:
            for script in tests.scripts(flow):
                tests.follow(flow, script)
            tests.walk_at_random(flow, WALKS)
    except UssdError as error:
        return Fate("walks", (str(error),))
    missing = tests.missing()
    return Fate("walks", (f"never visited: {missing[0]}",)) if missing else None


def _without_place(finding: Diagnostic) -> str:
    return f"{finding.code} {finding.message}"
