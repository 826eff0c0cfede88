"""The engine around the flows under test, with everything outside it in the test's hand.

What answers a callback is the real service over the memory store. The actions, the clock and the failures are the
test's: it says with which outcome an action comes back, when time passes, and where a process dies.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from adapters.sessions.memory import MemorySessionStore
from ussd_engine.ports import Callback
from ussd_engine.runtime.happenings import Result
from ussd_engine.runtime.program import CompiledFlow, End, Program, beginning_in
from ussd_engine.runtime.session import Session, loads
from ussd_engine.runtime.table import Table
from ussd_engine.sealing import KeyRing
from ussd_engine.services.callbacks import Callbacks, Network

if TYPE_CHECKING:
    from ussd_engine.flow.pager import Profile
    from ussd_engine.flow.vocabulary import ActionSpec
    from ussd_engine.runtime.screen import Screen
    from ussd_engine.services.actions import Actions, Invocation

KEYS = KeyRing.of(b"test identity key of 32 bytes..!", {"test": b"test sealing key of 32 bytes ..!"})
"""Of sessions that live in the memory of a test alone."""
BEGIN = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
PHONE = "+254711000000"
NETWORK = "default"
TTL_S = 240.0
DEADLINE_S = 60.0
"""A turn of a test never runs into it: a slow action is said to be slow, and takes no time."""


class Crash(BaseException):
    """The process dies here. No handler of the engine may catch it."""


class Clock:
    """Stands still until it is put forward."""

    def __init__(self) -> None:
        self._at = BEGIN

    def now(self) -> datetime:
        return self._at

    def monotonic(self) -> float:
        return (self._at - BEGIN).total_seconds()

    def put_forward(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)


class Store(MemorySessionStore):
    """The memory store, where the next save of a session may lose its race."""

    lose_next = False

    async def save(self, key: str, value: bytes, *, expected: bytes | None, ttl_ms: int) -> bool:
        if self.lose_next and key.startswith("test:"):
            self.lose_next = False
            return False
        return await super().save(key, value, expected=expected, ttl_ms=ttl_ms)

    async def load(self, key: str) -> bytes | None:
        await asyncio.sleep(0)  # callbacks that come at once meet here
        return await super().load(key)

    def stored(self, key: str) -> bytes | None:
        return self._live(key)

    def everything(self) -> Mapping[str, bytes]:
        """All that lives."""
        return {key: value for key in self._entries if (value := self._live(key)) is not None}


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of an action. An effect that comes back under the same id is the same piece of work."""

    action: str
    workflow_id: str
    effect: bool
    result: Result
    inputs: Mapping[str, object] = field(repr=False)


Decide = Callable[["ActionSpec", Mapping[str, object]], Result]


def plainest(spec: ActionSpec) -> Result:
    """The action's first outcome that gives nothing; where each gives something, its first with nothing in it."""
    for outcome, outputs in spec.outcomes.items():
        if not outputs:
            return Result(outcome)
    return Result(next(iter(spec.outcomes)))


@dataclass(slots=True)
class Fault:
    """What befalls the next action of a turn: the process dies before it or after it, it is too slow, or it breaks."""

    kind: str = ""

    def met(self, kind: str) -> bool:
        if self.kind != kind:
            return False
        self.kind = ""
        return True


@dataclass(slots=True)
class ScriptedActions:
    """Actions that come back as `decide` says; an effect comes back the same way whenever it is asked again."""

    specs: Mapping[str, ActionSpec]
    decide: Decide
    ran: list[Ran] = field(default_factory=list)
    fault: Fault = field(default_factory=Fault)
    _effects: dict[str, Result] = field(default_factory=dict)

    async def begun(self, workflow_id: str) -> bool:
        return workflow_id in self._effects

    async def run(self, action: str, invocation: Invocation) -> Result:
        spec = self.specs[action]
        if self.fault.met("crash"):
            raise Crash
        if self.fault.met("break"):
            raise RuntimeError("this action is broken for a test")
        result = self._effects.get(invocation.workflow_id)
        if result is None:
            result = self._first(spec, invocation)
        self.ran.append(Ran(action, invocation.workflow_id, spec.effect, result, invocation.inputs))
        if self.fault.met("crash_late"):
            raise Crash
        await asyncio.sleep(0)
        return result

    def _first(self, spec: ActionSpec, invocation: Invocation) -> Result:
        slow = self.fault.met("slow")
        if slow and not spec.effect:
            raise TimeoutError
        late = slow and "pending" in spec.outcomes
        result = Result("pending") if late else self.decide(spec, invocation.inputs)
        if spec.effect:
            self._effects[invocation.workflow_id] = result
        return result


@dataclass(slots=True)
class Visits:
    """How often each edge was taken, and each state gone on from, or come to if it is an end.

    Names are "flow.state" and "flow.state label", as in `flow.graph`.
    """

    states: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)


class WatchedTable:
    """The table of a flow, which counts the moves."""

    def __init__(self, flow: CompiledFlow, visits: Visits) -> None:
        self._flow = flow
        self._visits = visits

    def move(self, state: str, label: str) -> str:
        target = self._flow.table.move(state, label)
        self._visits.edges[f"{self._flow.name}.{state} {label}"] += 1
        self._visits.states[f"{self._flow.name}.{state}"] += 1
        if isinstance(self._flow.nodes[target], End):
            self._visits.states[f"{self._flow.name}.{target}"] += 1
        return target


def watched(program: Program, visits: Visits) -> Program:
    """The same program, whose moves are counted."""
    flows = {
        name: replace(flow, table=cast("Table", WatchedTable(flow, visits)))
        for name, flow in program.flows.items()
    }
    return replace(program, flows=flows, pages={})


@dataclass(slots=True)
class Settled:
    """One program, of one revision."""

    program: Program

    async def fresh(self) -> Program:
        return self.program

    async def of(self, _revision: str) -> Program:
        return self.program


class Rig:
    """One engine under test. Not for use from several threads."""

    def __init__(
        self,
        program: Program,
        specs: Mapping[str, ActionSpec],
        networks: Mapping[str, Profile],
        decide: Decide,
        visits: Visits | None = None,
    ) -> None:
        self._programs = Settled(program if visits is None else watched(program, visits))
        self.networks = networks
        self.clock = Clock()
        self.store = Store(self.clock)
        self.actions = ScriptedActions(specs, decide)
        self.callbacks = self._started()
        self._read: tuple[bytes, Session] | None = None
        self._loop = asyncio.new_event_loop()

    @property
    def program(self) -> Program:
        """As sessions begin on it now."""
        return self._programs.program

    def begin_in(self, language: str) -> None:
        """From now on flows begin in this language, where they have it."""
        self._programs.program = beginning_in(self.program, language)

    def restart(self) -> None:
        """Another process, on the same sessions and the same durable work."""
        self.callbacks = self._started()

    def send(self, *callbacks: Callback) -> list[Screen | Crash]:
        """The answers to callbacks that come at once. A process that dies takes all of them with it."""
        return self._loop.run_until_complete(self._all(callbacks))

    async def _all(self, callbacks: tuple[Callback, ...]) -> list[Screen | Crash]:
        return list(await asyncio.gather(*map(self._answer, callbacks)))

    async def _answer(self, callback: Callback) -> Screen | Crash:
        try:
            return await self.callbacks.handle(callback)
        except Crash as crash:
            return crash

    def session(self, session_id: str) -> Session | None:
        raw = self.store.stored(f"test:{session_id}")
        if raw is None:
            return None
        if self._read is None or self._read[0] != raw:  # every rule looks at it
            self._read = raw, loads(raw, KEYS)
        return self._read[1]

    def profile(self, network: str) -> Profile:
        """As the engine has it: a code that nobody knows is as the default."""
        return self.networks.get(network) or self.networks["default"]

    def close(self) -> None:
        self._loop.close()

    def _started(self) -> Callbacks:
        return Callbacks(
            programs=self._programs,
            store=self.store,
            actions=cast("Actions", self.actions),
            keys=KEYS,
            clock=self.clock,
            networks={
                name: Network(profile, round(TTL_S * 1000), DEADLINE_S)
                for name, profile in self.networks.items()
            },
        )


@dataclass(slots=True)
class Line:
    """One subscriber's session at the gateway: what was typed, and the callbacks that follow from it."""

    service_code: str
    session_id: str
    network: str = NETWORK
    phone_number: str = PHONE
    inputs: list[str] = field(default_factory=list)

    def callback(self, upto: int | None = None) -> Callback:
        """The callback after all inputs, or after the first of them."""
        transcript = "*".join(self.inputs[:upto])
        return Callback(
            "test", self.session_id, self.phone_number, self.service_code, self.network, transcript
        )
