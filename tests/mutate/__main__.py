"""`make mutate-flows`: prints what tells the mutants, by kind, and fails if one lives without a reason."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.mutate.mutants import Mutant, mutants, sms_mutants
from tests.mutate.trial import Fate, Trial
from ussd_engine.flow.source import read
from ussd_engine.services.action_specs import SPECS

FLOWS = Path(__file__).parents[2] / "flows"
HARMLESS = Path(__file__).parent / "harmless.yaml"
PROCESSES = 2
SMS = "sms.yaml"


@dataclass(frozen=True, slots=True)
class Tried:
    file: str
    mutant: Mutant
    fate: Fate


def all_mutants(folder: Path) -> list[tuple[str, Mutant]]:
    """Of every flow of a folder, and of its SMS texts, each with the name of its file."""
    files = sorted(folder.glob("*.yaml"))
    flows = [file for file in files if file.name != SMS]
    names = tuple(file.stem for file in flows)
    found = [(file.name, one) for file in flows for one in mutants(file.read_text(), SPECS, names)]
    sms = folder / SMS
    return found + [(SMS, one) for one in (sms_mutants(sms.read_text()) if sms.exists() else [])]


def reasons(file: Path) -> dict[str, str]:
    """Each harmless mutant by its name, with its reason."""
    entries = read(file).data["harmless"]
    return {name: entry["because"] for entry in entries for name in entry["mutants"]}


def tried(folder: Path) -> Iterator[Tried]:
    work = all_mutants(folder)
    with (
        tempfile.TemporaryDirectory(prefix="ussd-mutate-") as scratch,
        get_context("fork").Pool(PROCESSES, _begin, (folder, Path(scratch))) as pool,
    ):
        yield from pool.imap(_try, work, chunksize=4)


_trials: list[Trial] = []
"""Of this process: its own copy of the flows."""


def _begin(folder: Path, scratch: Path) -> None:
    _trials.append(Trial(folder, Path(tempfile.mkdtemp(dir=scratch)) / "flows"))


def _try(work: tuple[str, Mutant]) -> Tried:
    return Tried(*work, _trials[0].fate(*work))


def place(one: Tried) -> str:
    return f"flows/{one.file}:{one.mutant.line}: nothing tells it: {one.mutant.name}"


def rotten(found: Iterable[Tried], harmless: Mapping[str, str]) -> list[str]:
    """Each reason that nothing needs: what it speaks of is told after all, or is no mutant any more."""
    living = {one.mutant.name for one in found if one.fate.by == "nothing"}
    return [f"{HARMLESS.name}: does not live, take it out: {name}" for name in harmless if name not in living]


def summary(found: list[Tried]) -> Table:
    table = Table(title="Mutants of the shipped flows, and what tells them")
    table.add_column("kind", no_wrap=True)
    for heading in ("mutants", "check", "transcripts", "walks", "harmless"):
        table.add_column(heading, justify="right")
    table.add_column("codes of check")
    kinds = defaultdict[str, list[Fate]](list)
    for one in found:
        kinds[one.mutant.kind].append(one.fate)
    for kind, fates in sorted(kinds.items()):
        table.add_row(*_row(kind, fates))
    table.add_section()
    table.add_row(*_row("all", [one.fate for one in found], codes=False))
    return table


def _row(kind: str, fates: list[Fate], *, codes: bool = True) -> list[str]:
    by = Counter(fate.by for fate in fates)
    met = Counter(code for fate in fates if fate.by == "check" for code in fate.how)
    said = " ".join(f"{code}:{count}" for code, count in sorted(met.items()))
    numbers = [by[one] for one in ("check", "transcripts", "walks", "nothing")]
    return [kind, *(str(number or "-") for number in (len(fates), *numbers)), said if codes else ""]


def main() -> int:
    begun = time.monotonic()
    out = Console(highlight=False, soft_wrap=True)
    harmless = reasons(HARMLESS)
    found: list[Tried] = []
    wrong = 0
    for one in tried(FLOWS):
        found.append(one)
        if one.fate.by == "nothing" and one.mutant.name not in harmless:
            wrong += 1
            out.print(place(one), markup=False)
    for line in rotten(found, harmless):
        wrong += 1
        out.print(line, markup=False)
    out.print(summary(found))
    out.print(f"{len(found):,} mutants in {time.monotonic() - begun:.0f} s; {wrong or 'nothing'} to mend")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
