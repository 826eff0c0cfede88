"""Every way through a flow, found by walking it: the scripts that between them take each edge.

The walk is over steps alone, breadth first, so that a script is about as short as can be. What a session holds is
told apart by where it stands and by the values that conditions are made on: flags, choices, numbers and empty lists.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, cast

from ussd_engine.errors import UssdError
from ussd_engine.flow.phrases import RESUME_KEYS
from ussd_engine.runtime.happenings import Identity, Input, Outcome, Proceed, Result, Run
from ussd_engine.runtime.program import Action, Ask, List, Menu, Program
from ussd_engine.runtime.route import ValueOf
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.session import Secret, Session
from ussd_engine.runtime.step import begin, step
from ussd_engine.testing import answers
from ussd_engine.testing.plausible import extremes, kept_by
from ussd_engine.testing.rig import BEGIN, NETWORK, PHONE, Visits, watched

if TYPE_CHECKING:
    from ussd_engine.flow.pager import Profile
    from ussd_engine.flow.vocabulary import ActionSpec
    from ussd_engine.runtime.happenings import Happening
    from ussd_engine.runtime.program import CompiledFlow, Value

MAX_SESSIONS = 50_000
"""Sessions that are looked at. A flow with more ways than that is walked as far as it goes."""
MAX_WAY_OUT = 5_000
"""Sessions that are looked at for an end. Who has to go through more screens than that has given up."""

Move = str | Result
"""What is typed, or what an action gives back."""
Script = tuple[Move, ...]
Known = Mapping[str, tuple[str, ...]]
"""Answers that are known to be taken, by the question "flow.state"."""


def explore(
    program: Program,
    flow: str,
    specs: Mapping[str, ActionSpec],
    profile: Profile,
    known: Known,
) -> tuple[Script, ...]:
    """From the dial of a flow. A move that the engine cannot make is the last of a script: its walk tells of it."""
    visits = Visits()
    explorer = _Explorer(watched(program, visits), specs, profile, known, BEGIN)
    tree: list[tuple[int, Move]] = []
    leading: set[int] = set()
    seen = set[object]()
    waiting = deque[tuple[Session, Outcome, int]]()
    try:
        waiting.append((*explorer.begin(flow), _ROOT))
    except UssdError:
        return ((),)
    while waiting and len(seen) < MAX_SESSIONS:
        session, outcome, at = waiting.popleft()
        for move in explorer.moves(session, outcome):
            before = len(visits.edges)
            try:
                after, shown = explorer.step(session, move)
            except UssdError:
                tree.append((at, move))
                leading.add(len(tree) - 1)
                continue
            found, key = len(visits.edges) > before, explorer.place(after)
            if found or (key not in seen and not after.ended):
                tree.append((at, move))
            if found:
                leading.add(len(tree) - 1)
            if key not in seen and not after.ended:
                seen.add(key)
                waiting.append((after, shown, len(tree) - 1))
    return tuple(_scripts(tree, leading))


def way_out(
    program: Program,
    session: Session,
    specs: Mapping[str, ActionSpec],
    profile: Profile,
    known: Known,
    now: datetime,
) -> Script | None:
    """The shortest way to an end from where a session stands; None where none is found."""
    explorer = _Explorer(program, specs, profile, known, now)
    seen = set[object]()
    waiting: deque[tuple[Session, Outcome, Script]] = deque(
        [(*step(program, session, Proceed(), now, profile), ())]
    )
    while waiting and len(seen) < MAX_WAY_OUT:
        session, outcome, script = waiting.popleft()
        for move in explorer.moves(session, outcome):
            try:
                after, shown = explorer.step(session, move)
            except UssdError:
                continue
            if after.ended:
                return (*script, move)
            key = explorer.place(after)
            if key not in seen:
                seen.add(key)
                waiting.append((after, shown, (*script, move)))
    return None


_ROOT = -1


def _scripts(tree: list[tuple[int, Move]], leading: set[int]) -> Iterator[Script]:
    """The ways to the leaves: a way that a longer one begins with is walked on it."""
    passed: set[int] = set()
    for leaf in sorted(leading, reverse=True):  # a longer way has a later number
        if leaf in passed:
            continue
        script: list[Move] = []
        at = leaf
        while at != _ROOT:
            passed.add(at)
            at, move = tree[at]
            script.append(move)
        yield tuple(reversed(script))


@dataclass(frozen=True, slots=True)
class _Explorer:
    program: Program
    specs: Mapping[str, ActionSpec]
    profile: Profile
    known: Known
    now: datetime

    def begin(self, flow: str) -> tuple[Session, Outcome]:
        code = next(code for code, name in self.program.dial.items() if name == flow)
        blank = Session("test", "explored", PHONE, code, NETWORK, "", "", BEGIN.timestamp(), ())
        session = begin(self.program, flow, blank)
        return step(self.program, session, Proceed(), self.now, self.profile)

    def step(self, session: Session, move: Move) -> tuple[Session, Outcome]:
        happening: Happening = move if isinstance(move, Result) else Input(move, Identity(0, ""))
        return step(self.program, session, happening, self.now, self.profile)

    def place(self, session: Session) -> object:
        frames = tuple(
            (frame.flow, frame.state, self._told_apart(self.program.flows[frame.flow], frame.data))
            for frame in session.frames
        )
        node = self.program.flows[session.top.flow].nodes[session.top.state] if session.frames else None
        tries = session.tries if isinstance(node, Ask) and node.max_tries is not None else 0
        return (frames, session.language, session.page, tries, bool(session.history), session.away)

    @staticmethod
    def _told_apart(flow: CompiledFlow, data: Mapping[str, Value | Secret]) -> tuple[tuple[str, object], ...]:
        return tuple(
            (name, bool(value) if isinstance(value, tuple) else value)
            for name, value in sorted(data.items())
            if flow.data[name].type == "choice" or not isinstance(value, (str, Secret))
        )

    def moves(self, session: Session, outcome: Outcome) -> Iterator[Move]:
        match outcome:
            case Run(action=action):
                yield from self._results(session, self.specs[action])
            case Screen(end=False):
                yield from typed(self.program, session, self.now.date(), self.profile, self.known)

    def _results(self, session: Session, spec: ActionSpec) -> Iterator[Result]:
        """Each outcome, with what the flow keeps of it at its extremes."""
        flow = self.program.flows[session.top.flow]
        node = cast("Action", flow.nodes[session.top.state])
        kept = kept_by([(flow, node)])
        for outcome, outputs in spec.outcomes.items():
            ends = {output: extremes(kept[output]) for output in outputs if output in kept}
            for number in range(max(map(len, ends.values()), default=1)):
                yield Result(outcome, {output: of[number % len(of)] for output, of in ends.items()})


def languages_of(program: Program) -> tuple[str, ...]:
    """Of all flows."""
    return tuple(dict.fromkeys(one for flow in program.flows.values() for one in flow.languages))


def typed(program: Program, session: Session, today: date, profile: Profile, known: Known) -> Iterator[str]:
    """Everything that does something on the screen where a session stands, and one answer that no question takes."""
    if session.asking:
        yield from (*RESUME_KEYS, answers.NO_ANSWER)
        return
    flow = program.flows[session.top.flow]
    node = flow.nodes[session.top.state]
    value_of = reader(flow, session)
    if isinstance(node, Ask):
        own = known.get(f"{flow.name}.{node.name}", ())
        yield from answers.accepted(node, today, reader(flow, session, today), own)
    elif isinstance(node, List):
        items = session.top.data.get(node.of, ())
        yield from answers.keys(node, value_of, len(items) if isinstance(items, tuple) else 0)
    else:
        yield from answers.keys(node, value_of, 0)
    yield answers.NO_ANSWER
    yield profile.more or flow.more
    if isinstance(node, (Menu, Ask, List)):
        if node.back is not None:
            yield profile.back or node.back
        if node.home is not None:
            yield profile.home or node.home


def reader(flow: CompiledFlow, session: Session, today: date | None = None) -> ValueOf:
    """What conditions of a flow read in a session: secrets too, as the runtime lets them.

    Without a `today` it is the day when the screen was drawn, as for its options.
    """
    given: Mapping[str, Value] = {
        "language": session.language,
        "today": today.isoformat() if today else session.shown_on,
        "session.phone": session.phone_number,
        "session.network": session.network,
        "session.service_code": session.service_code,
    }

    def value_of(name: str) -> Value:
        if name in given:
            return given[name]
        value = session.top.data.get(name, flow.data[name].default)
        return value.reveal if isinstance(value, Secret) else value

    return value_of
