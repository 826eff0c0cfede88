"""A folder of flows under test: every way through it, then walks at random, then what was not visited."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ussd_engine.flow.graph import edges
from ussd_engine.flow.loader import load
from ussd_engine.flow.model import CallState
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.happenings import Result
from ussd_engine.services.action_specs import SPECS
from ussd_engine.testing.answers import JUNK
from ussd_engine.testing.explore import Known, Script, explore, languages_of, typed, way_out
from ussd_engine.testing.patterns import matching
from ussd_engine.testing.plausible import kept_of
from ussd_engine.testing.replay import replay
from ussd_engine.testing.rig import TTL_S, Rig, Visits, plainest
from ussd_engine.testing.transcript import TYPED, UNANSWERED, BadTranscript, Step, Transcript, done, loads
from ussd_engine.testing.values import given_back
from ussd_engine.testing.walk import RuleBroken, Walk

if TYPE_CHECKING:
    from ussd_engine.flow.loader import Library
    from ussd_engine.flow.vocabulary import ActionSpec
    from ussd_engine.runtime.program import Program
    from ussd_engine.settings_model import Settings

STEPS = 50
"""Of each walk: about three sessions long."""
LATE = datetime(2028, 2, 28, 23, 58, tzinfo=UTC)
"""So near to midnight that a session lives over it, into a day that few years have."""
DEEP = ("1", "2", "3", "0", "00", "9", "98", "Jane", "15011990")
"""What stands behind a code that is dialled deep."""


@dataclass
class FlowTests:
    """The flows of a library, and what of them was visited so far. `turns` counts callbacks.

    What is typed in the `transcripts` is typed in walks too: it may be what no other test can guess.
    """

    library: Library
    specs: Mapping[str, ActionSpec]
    region: str
    transcripts: Sequence[Path] = ()
    program: Program = field(init=False)
    visits: Visits = field(default_factory=Visits)
    turns: int = 0
    _known: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    _played: set[Path] = field(default_factory=set)
    _walked: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.program = compile_library(self.library, self.specs, self.region)

    @property
    def dialled(self) -> dict[str, str]:
        """Each flow that can be dialled, with its first service code."""
        return {flow: code for code, flow in reversed(list(self.program.dial.items()))}

    # --- transcripts

    def play_again(self, file: Path) -> tuple[Transcript, list[str]]:
        """The transcript as it comes now, and what is different from the file. Raises BadTranscript, RuleBroken."""
        self._played.add(file)
        before, label = loads(file), ""
        now, different = list[Step](), list[str]()
        networks = self.library.networks
        for number, one in enumerate(replay(before, self.program, self.specs, networks, self.visits), 1):
            if one.expected.kind in TYPED:
                self._known[label][one.expected.text] = None
            label = one.label
            if one.broken_rule is not None:
                raise RuleBroken(one.broken_rule, replace(before, steps=[*now, one.step]))
            now.append(one.step)
            self.turns += one.step.kind not in UNANSWERED
            if one.differs:
                said = _said if one.shows_another else done
                different.append(f"step {number}: {said(one.expected)}, and now {said(one.step)}")
        return replace(before, steps=now), different

    @cached_property
    def known(self) -> Known:
        """What is typed in the transcripts, and what patterns ask for."""
        for file in self.transcripts:
            if file not in self._played:
                with suppress(BadTranscript, RuleBroken):  # whoever tests the transcript hears of it
                    self.play_again(file)
        for question, texts in matching(self.program):
            self._known[question].update(dict.fromkeys(texts))
        return {question: tuple(texts) for question, texts in self._known.items()}

    # --- every way

    def scripts(self, flow: str) -> tuple[Script, ...]:
        return explore(self.program, flow, self.specs, self.library.networks["default"], self.known)

    def follow(self, flow: str, script: Script) -> None:
        """Walk a script twice: the same inputs give the same screens. Raises RuleBroken."""
        first, again = (self._followed(flow, script) for _ in range(2))
        if [step.screen for step in first.steps] != [step.screen for step in again.steps]:
            rule_broken = "the same inputs have given other screens"
            raise RuleBroken(rule_broken, again.transcript(rule_broken))

    def _followed(self, flow: str, script: Script) -> Walk:
        results = deque(move for move in script if isinstance(move, Result))
        inputs = [move for move in script if isinstance(move, str)]

        def decide(spec: ActionSpec, _inputs: Mapping[str, object]) -> Result:
            return results.popleft() if results else plainest(spec)

        rig = Rig(self.program, self.specs, self.library.networks, decide, self.visits)
        try:
            walk = Walk(rig, self.dialled[flow], "default")
            for text in inputs:
                if walk.over:
                    break
                walk.type(text)
            self.turns += walk.turns
            return walk
        finally:
            rig.close()

    # --- walks at random

    def machine(self, flow: str) -> type[RuleBasedStateMachine]:
        """A Hypothesis state machine of the flow, for `run_state_machine_as_test` or as a `TestCase`."""
        _ = self.known  # which is drawn too, and not within another draw
        return type(f"Walk_{flow}", (FlowMachine,), {"tests": self, "flow": flow})

    def walk_at_random(
        self, flow: str, walks: int, number: int | None = None, walked: Callable[[], object] = lambda: None
    ) -> None:
        """Raises RuleBroken with the shortest steps that were found to lead there.

        Without a `number` the walks are the same each time. `walked` is called after each.
        """
        if walks == 0:
            return
        self._walked = walked
        run = settings(
            max_examples=walks,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=number is None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        machine = self.machine(flow)
        if number is not None:
            machine = seed(number)(machine)
        run_state_machine_as_test(machine, settings=run)

    # --- what was not visited

    def visit(self, walks: int) -> None:
        """Go wherever nothing has been so far, by the transcripts, every way and at random. Raises RuleBroken."""
        _ = self.known
        for flow in self.dialled if self.missing() else ():
            for script in self.scripts(flow):
                self.follow(flow, script)
        for flow in self.dialled if self.missing() else ():
            self.walk_at_random(flow, walks)

    def missing(self) -> list[str]:
        """Each state and edge that nothing has visited."""
        states, all_edges = self._all()
        unvisited = [name for name in states if not self.visits.states[name]]
        return [*unvisited, *(name for name in all_edges if not self.visits.edges[name])]

    def counts(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """States, and edges: visited, and all."""
        states, all_edges = self._all()
        return (
            (sum(self.visits.states[name] > 0 for name in states), len(states)),
            (sum(self.visits.edges[name] > 0 for name in all_edges), len(all_edges)),
        )

    def finished(self, walk: Walk) -> None:
        self.turns += walk.turns
        self._walked()

    def _all(self) -> tuple[list[str], list[str]]:
        """What a dial can lead to."""
        waiting, reached = list(self.dialled), set[str]()
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                states = self.library.flows[name].states.values()
                waiting.extend(state.call for state in states if isinstance(state, CallState))
        flows = [flow for name, flow in self.library.flows.items() if name in reached]
        return (
            [f"{flow.flow}.{name}" for flow in flows for name in flow.states],
            [f"{flow.flow}.{edge.source} {edge.label}" for flow in flows for edge in edges(flow)],
        )


def flow_tests_of(folder: Path, settings: Settings) -> FlowTests:
    """The flows of a folder and their transcripts, with the engine's own actions. Raises InvalidFlows, FlowError."""
    library = load(folder, SPECS, networks=settings.screens)
    return FlowTests(library, SPECS, settings.phone.default_region, transcripts_in(folder))


def transcripts_in(folder: Path) -> list[Path]:
    """What product teams have written down of their flows: each YAML file below a folder `tests`, as no flow does."""
    return sorted(
        file
        for file in folder.rglob("*.y*ml")
        if file.suffix in {".yaml", ".yml"}
        and file.is_file()
        and "tests" in file.relative_to(folder).parts[:-1]
    )


def _said(step: Step) -> str:
    return f"{step.screen!r}{' (ends)' if step.ends else ''}"


def _junk() -> st.SearchStrategy[str]:
    """Anything at all that a gateway could post."""
    return st.sampled_from(JUNK) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def _nobody(_strategy: Any) -> Any:
    raise RuntimeError("an action has run before the dial")


class FlowMachine(RuleBasedStateMachine):
    """A subscriber who does anything. `tests` and `flow` are set by a subclass (see `FlowTests.machine`)."""

    tests: FlowTests
    flow: str
    walk: Walk

    def __init__(self) -> None:
        super().__init__()
        self.coming: deque[Result] = deque()
        self.draw: Callable[[Any], Any] = _nobody
        self.rig = Rig(
            self.tests.program, self.tests.specs, self.tests.library.networks, self._decide, self.tests.visits
        )

    def _decide(self, spec: ActionSpec, _inputs: Mapping[str, object]) -> Result:
        """What leads to an end, else any outcome that the action declares, with anything that it may give."""
        if self.coming:
            return self.coming.popleft()
        kept = kept_of(self.tests.program, spec.name)
        outcome = self.draw(st.sampled_from(list(spec.outcomes)))
        outputs = {name: self.draw(given_back(kept[name])) for name in spec.outcomes[outcome] if name in kept}
        return Result(outcome, outputs)

    @initialize(data=st.data(), given=st.data())
    def begin(self, data: st.DataObject, given: st.DataObject) -> None:
        self.draw = data.draw
        network = given.draw(st.sampled_from(sorted(self.tests.library.networks)))
        language = given.draw(st.sampled_from(["", *languages_of(self.tests.program)[1:]]))
        clock = given.draw(st.sampled_from([None, LATE]))
        self.walk = Walk(self.rig, self.tests.dialled[self.flow], network, language=language, clock=clock)

    def _on(self) -> bool:
        return not self.walk.over

    def _input(self, data: st.DataObject) -> str:
        """Mostly what leads on, sometimes junk."""
        self.draw = data.draw
        session = self.rig.session(self.walk.line.session_id)
        if session is None or data.draw(st.integers(0, 7)) == 0:
            return data.draw(_junk())
        today, profile = self.rig.clock.now().date(), self.rig.profile(self.walk.line.network)
        ways = typed(self.tests.program, session, today, profile, self.tests.known)
        return data.draw(st.sampled_from(list(ways)))

    @rule(data=st.data())
    @precondition(_on)
    def type(self, data: st.DataObject) -> None:
        self.walk.do("type", self._input(data))

    @rule(data=st.data())
    @precondition(_on)
    def type_more(self, data: st.DataObject) -> None:
        """Rules are picked alike: what a subscriber does most is two of them."""
        self.walk.do("type", self._input(data))

    @rule(
        data=st.data(), kind=st.sampled_from(["twice", "crash", "crash_late", "slow", "break", "lose_race"])
    )
    @precondition(_on)
    def type_while(self, data: st.DataObject, kind: Any) -> None:
        self.walk.do(kind, self._input(data))

    @rule(kind=st.sampled_from(["repeat", "stale"]))
    @precondition(_on)
    def again(self, kind: Any) -> None:
        self.walk.do(kind)

    @rule(data=st.data())
    def dial(self, data: st.DataObject) -> None:
        """Also deep, and in the middle of a session: the line has dropped."""
        self.draw = data.draw
        answers = data.draw(st.just([]) | st.lists(st.sampled_from(DEEP), min_size=1, max_size=6))
        self.walk.do("dial", "*".join(answers))

    @rule(data=st.data())
    @precondition(_on)
    def wait(self, data: st.DataObject) -> None:
        """An input may come after it for a session that is no longer there."""
        self.walk.do("wait", str(data.draw(self._seconds())))

    def _seconds(self) -> st.SearchStrategy[int]:
        """Any, and those on either side of what the engine keeps to: lives of sessions, and midnight."""
        now = self.rig.clock.now()
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        limits = (
            TTL_S,
            self.tests.program.flows[self.flow].resume_within_s,
            (midnight - now).total_seconds(),
        )
        near = [round(limit) + more for limit in limits for more in (-1, 0, 1) if limit + more > 0]
        days = st.integers(1, 400).map(lambda count: count * 86_400)
        return st.integers(1, round(TTL_S)) | st.sampled_from(near) | days

    def _resumable(self) -> bool:
        return self._on() and self.walk.resumable_for() > 1

    @rule(more=st.sampled_from([-1, 1]))
    @precondition(_resumable)
    def come_back(self, more: int) -> None:
        """In the last second in which a dial goes on with a session that was dropped, or just too late for it."""
        self.walk.do("wait", str(round(self.walk.resumable_for()) + more))
        self.walk.do("dial", "")

    @rule(data=st.data())
    @precondition(_on)
    def network(self, data: st.DataObject) -> None:
        """A session that is gone on with after the next dial may have begun in another one."""
        self.walk.do("network", data.draw(st.sampled_from(sorted(self.tests.library.networks))))

    @rule(data=st.data())
    @precondition(_on)
    def language(self, data: st.DataObject) -> None:
        """The session under way stays in its own; the next one begins in this."""
        self.walk.do("language", data.draw(st.sampled_from(languages_of(self.tests.program))))

    def teardown(self) -> None:
        try:
            if hasattr(self, "walk"):
                self.tests.finished(self.walk)
                self._leave()
        finally:
            self.rig.close()

    def _leave(self) -> None:
        """Wherever a walk has come to, there is a way to an end, and it leads there."""
        walk, session = self.walk, self.walk.standing()
        if walk.broken or walk.over or session is None:
            return
        profile, now = self.rig.profile(walk.line.network), self.rig.clock.now()
        way = way_out(self.tests.program, session, self.tests.specs, profile, self.tests.known, now)
        if way is None:
            walk.broke(f"no way leads from {walk.label} to an end")
        self.coming.extend(move for move in way if isinstance(move, Result))
        walk.leave(move for move in way if isinstance(move, str))
