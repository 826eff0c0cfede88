"""Each scenario undisturbed, which tells its points; then once for each point, with a process that dies there.

Every process is forked from one that has everything imported and nothing running.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.crash.boundaries import Boundaries
from tests.crash.invariants import broken, differences
from tests.crash.scenarios import Scenario
from tests.crash.world import Place, Site, World, furnish, running

PROCESS_WITHIN_S = 60
AT_ONCE = 6
"""Cases at once. A process that was started again waits for a second until its workflows are handed out."""


@dataclass(frozen=True, slots=True)
class Case:
    """`point`: where the first process dies. `again`: the how manieth boundary is the end of the second."""

    scenario: Scenario
    place: Place
    point: str
    again: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    case: Case
    wrong: tuple[str, ...]
    died_again: bool = False


async def undisturbed(scenario: Scenario, place: Place) -> dict[str, Any]:
    boundaries = Boundaries()
    boundaries.watch_commits()
    async with running(place, boundaries) as world:
        boundaries.watching = True
        answer = await scenario.act(world)
        await world.quiet()
        boundaries.watching = False
        wrong = [f"a write that no boundary surrounds: {statement}" for statement in boundaries.strays]
        if answer != scenario.first:
            wrong.append(f"the answer is {answer!r}, not {scenario.first!r}")
        return {"points": boundaries.points, "wrong": wrong + await _judged(world, scenario)}


async def dying(scenario: Scenario, place: Place, point: str) -> dict[str, Any]:
    boundaries = Boundaries(point)
    boundaries.watch_commits()
    async with running(place, boundaries) as world:
        boundaries.watching = True
        await scenario.act(world)
        await world.quiet()
        return {}


async def resumed(scenario: Scenario, place: Place, kill_at: int | None) -> dict[str, Any]:
    boundaries = Boundaries(kill_at)
    boundaries.watch_commits()
    boundaries.watching = True
    async with running(place, boundaries) as world:
        if scenario.at_once:
            await scenario.act(world)
        await world.quiet()
        boundaries.watching = False
        return {"wrong": await _judged(world, scenario)}


async def _judged(world: World, scenario: Scenario) -> list[str]:
    """What is wrong when everything was taken up, and when who asked has the answer."""
    await world.look_after()
    wrong = [f"before it is asked again: {sentence}" for sentence in await broken(world)]
    answer = await scenario.act(world)
    await world.quiet()
    if answer not in (scenario.first, scenario.last):
        wrong.append(f"the last answer is {answer!r}")
    return wrong + await broken(world) + await differences(world, scenario)


def tried(case: Case) -> Verdict:
    """A process that dies at the point of the case, and those that come after it."""
    folder = case.place.folder
    case.place.take_furnished()
    died_again = False
    wrong: list[str] = []
    code, _ = in_process(folder, lambda: dying(case.scenario, case.place, case.point))
    if code != -signal.SIGKILL:
        wrong.append(f"was not killed, but ended with {code}: {_log(folder)}")
    if case.again is not None:
        code, _ = in_process(folder, lambda: resumed(case.scenario, case.place, case.again))
        died_again = code == -signal.SIGKILL
    code, report = in_process(folder, lambda: resumed(case.scenario, case.place, None))
    wrong += (
        report["wrong"] if code == 0 else [f"the process that came after ended with {code}: {_log(folder)}"]
    )
    if not wrong:
        case.place.clear()
    return Verdict(case, tuple(wrong), died_again)


def in_process(folder: Path, work: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[int, Any]:
    """How a forked process ended that did the work, and what the work gave. It ends without closing anything."""
    report, log = folder / "report.json", folder / "log"
    report.unlink(missing_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(output, 1)
            os.dup2(output, 2)
            faulthandler.dump_traceback_later(PROCESS_WITHIN_S, exit=True, file=output)
            asyncio.run(_done(work, report))
        except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
            os.write(output, traceback.format_exc().encode())
        finally:
            os._exit(1)
    os.close(output)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), json.loads(report.read_text()) if report.exists() else None


async def _done(work: Callable[[], Coroutine[Any, Any, Any]], report: Path) -> None:
    report.write_text(json.dumps(await work()))
    os._exit(0)


def _log(folder: Path) -> str:
    return (folder / "log").read_text()[-3000:]


def furnished(place: Place) -> None:
    """What every case begins with, made once."""
    place.make()
    code, _ = in_process(place.folder, lambda: furnish(place))
    if code != 0:
        raise RuntimeError(f"nothing to begin with: {_log(place.folder)}")
    for left in ("log", "report.json"):
        (place.folder / left).unlink(missing_ok=True)


def points_of(job: tuple[Scenario, Place]) -> tuple[list[str], list[str]]:
    """The points of a scenario in their order, and what is wrong with it undisturbed."""
    scenario, place = job
    place.take_furnished()
    code, report = in_process(place.folder, lambda: undisturbed(scenario, place))
    if code != 0:
        return [], [f"ended with {code}: {_log(place.folder)}"]
    return report["points"], report["wrong"]


@dataclass(frozen=True, slots=True)
class Matrix:
    """`points` by scenario; `killed` is how many processes died at one, `twice` how many died once more after."""

    points: dict[str, list[str]]
    verdicts: list[Verdict]
    undisturbed: dict[str, list[str]]

    @property
    def killed(self) -> int:
        return len(self.verdicts)

    @property
    def twice(self) -> int:
        return sum(verdict.died_again for verdict in self.verdicts)

    @property
    def wrong(self) -> list[str]:
        found = [f"{name}, undisturbed: {one}" for name, wrong in self.undisturbed.items() for one in wrong]
        for verdict in self.verdicts:
            where = f"{verdict.case.scenario.name}, killed at {verdict.case.point}"
            if verdict.case.again is not None:
                where += f" and again at boundary {verdict.case.again}"
            found += [f"{where}: {one}" for one in verdict.wrong]
        return found


def run(site: Site, chosen: tuple[Scenario, ...], *, every: int = 1, again_every: int = 0) -> Matrix:
    """Each scenario undisturbed, then killed at each of its points, or at every n-th; and some once more."""
    furnished(site.furnished)
    jobs = [(scenario, Place(site, f"dry-{n}")) for n, scenario in enumerate(chosen)]
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("fork")) as pool:
        dry = list(pool.map(points_of, jobs))
        cases: list[Case] = []
        for scenario, (points, _) in zip(chosen, dry, strict=True):
            for point in points[::every]:
                number = len(cases)
                again = number % 17 + 1 if again_every and number % again_every == 0 else None
                cases.append(Case(scenario, Place(site, f"case-{number}"), point, again))
        verdicts = list(pool.map(tried, cases))
    return Matrix(
        {scenario.name: points for scenario, (points, _) in zip(chosen, dry, strict=True)},
        verdicts,
        {scenario.name: wrong for scenario, (_, wrong) in zip(chosen, dry, strict=True)},
    )
