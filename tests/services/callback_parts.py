"""A gateway, a store and a bank in small, for the tests of the way of a callback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from time import monotonic
from typing import cast

from adapters.sessions.memory import MemorySessionStore
from tests.runtime.parts import KEYS, program_of
from ussd_engine.errors import SessionCorrupt
from ussd_engine.flow.pager import Profile
from ussd_engine.ports import Callback
from ussd_engine.runtime.happenings import Result
from ussd_engine.runtime.program import Program
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.session import Session, loads
from ussd_engine.services.actions import Actions, Invocation
from ussd_engine.services.callbacks import Callbacks, Network

PHONE = "+254711222333"
PIN = "8350"
SESSION = "sample-session"
KEY = f"at:{SESSION}"

FLOW = """
flow: sample
dial: ["*100#"]
languages: [en, sw]
start: look
data:
  name: {type: name, max: 20, default: Nobody}
  code: {type: pin}
  note: {type: text, max: 40, default: nothing}
  receipt: {type: digits, max: 12}
states:
  look:
    action: sample.lookup
    with: {phone: session.phone}
    save: {name: full_name}
    outcomes: {found: hello, missing: hello, unavailable: unavailable}
  hello:
    menu: {en: "Hello {name}", sw: "Habari {name}"}
    options:
      - {text: {en: Pay, sw: Lipa}, goto: ask_pin}
      - {text: {en: Note, sw: Ujumbe}, goto: ask_note}
      - {text: {en: Pay twice, sw: Lipa mara mbili}, goto: first}
      - {text: {en: Swahili, sw: Kiswahili}, goto: hello, set: {language: "'sw'"}}
      - {text: {en: Look on, sw: Tazama}, goto: look_1}
      - {key: "9", text: {en: Leave, sw: Toka}, goto: bye}
  ask_pin:
    ask: {en: PIN, sw: Namba ya siri}
    save: code
    goto: pay
  pay:
    action: sample.pay
    with: {phone: session.phone, amount: "10", pin: code}
    save: {receipt: receipt}
    outcomes: {done: paid, pending: later, unavailable: unavailable}
  first:
    action: sample.pay
    with: {phone: session.phone, amount: "1"}
    save: {receipt: receipt}
    outcomes: {done: between, pending: later, unavailable: unavailable}
  between:
    action: sample.lookup
    with: {phone: session.phone}
    outcomes: {found: second, missing: second, unavailable: second}
  second:
    action: sample.pay
    with: {phone: session.phone, amount: "2"}
    save: {receipt: receipt}
    outcomes: {done: paid, pending: later, unavailable: unavailable}
  ask_note:
    ask: {en: Your note, sw: Ujumbe wako}
    save: note
    goto: noted
  noted:
    menu: {en: "Noted {note}", sw: "Ujumbe {note}"}
    options:
      - {text: {en: Another, sw: Mwingine}, goto: ask_note}
      - {text: {en: Pay, sw: Lipa}, goto: ask_pin}
  paid:
    end: {en: "Paid, receipt {receipt}", sw: "Umelipa, risiti {receipt}"}
  later:
    end: {en: We will send you an SMS, sw: Tutakutumia SMS}
  unavailable:
    end: {en: Not at the moment, sw: Si sasa}
  bye:
    end: {en: Goodbye, sw: Kwaheri}
  look_12: {end: {en: Looked, sw: Imeonekana}}
""" + "".join(
    f"  look_{number}:\n    action: sample.lookup\n    with: {{phone: session.phone}}\n"
    f"    outcomes: {{found: look_{number + 1}, missing: bye, unavailable: unavailable}}\n"
    for number in range(1, 12)
)


class SampleClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 24, 9, 30, tzinfo=UTC)

    def monotonic(self) -> float:
        return monotonic()


@dataclass(slots=True)
class SampleActions:
    """The bank of the tests: each workflow id pays once, however often it is run, as a durable workflow does."""

    payments: dict[str, int] = field(default_factory=dict)
    runs: list[tuple[str, str]] = field(default_factory=list)
    before: Callable[[str, Invocation], Awaitable[Result | None]] | None = None

    async def begun(self, workflow_id: str) -> bool:
        return workflow_id in self.payments

    async def run(self, action: str, invocation: Invocation) -> Result:
        self.runs.append((action, invocation.workflow_id))
        if self.before is not None and (result := await self.before(action, invocation)) is not None:
            return result
        if action == "sample.lookup":
            return Result("found", {"full_name": "Jane Sample", "visits": 1, "active": True})
        self.payments.setdefault(invocation.workflow_id, int(invocation.text("amount")))
        receipt = str(100 + list(self.payments).index(invocation.workflow_id))
        return Result("done", {"receipt": receipt})


class SampleStore(MemorySessionStore):
    """The memory store, which tells what was done and lets others run between any two steps."""

    def __init__(self, schedule: Random | None = None) -> None:
        super().__init__(SampleClock())
        self.log: list[str] = []
        self._schedule = schedule
        self.saves_left: int | None = None
        """Saves until the process dies over one, if it does."""

    async def load(self, key: str) -> bytes | None:
        self.log.append("load")
        await self._pause()
        return await super().load(key)

    async def save(self, key: str, value: bytes, *, expected: bytes | None, ttl_ms: int) -> bool:
        await self._pause()
        if self.saves_left is not None:
            if self.saves_left == 0:
                raise RuntimeError("the process is gone for a test")
            self.saves_left -= 1
        saved = await super().save(key, value, expected=expected, ttl_ms=ttl_ms)
        self.log.append("save" if saved else "lost")
        await self._pause()
        return saved

    async def _pause(self) -> None:
        for _ in range(self._schedule.randrange(4) if self._schedule else 0):
            await asyncio.sleep(0)

    def forget(self) -> None:
        self._entries.clear()

    def session(self) -> Session:
        return loads(self._entries[KEY][0], KEYS)

    def peek(self, key: str) -> bytes | None:
        return self._live(key)

    def rewrite(self, key: str, raw: bytes) -> None:
        self._entries[key] = (raw, self._entries[key][1])

    def put(self, raw: bytes) -> None:
        self._entries[KEY] = (raw, monotonic() + 60)


@dataclass
class Published:
    """The programs that there were; sessions begin on the last one."""

    all: list[Program]

    @property
    def program(self) -> Program:
        return self.all[-1]

    async def fresh(self) -> Program:
        return self.program

    async def of(self, revision: str) -> Program:
        for one in self.all:
            if one.revision == revision:
                return one
        raise SessionCorrupt("there was no such revision")


PROGRAM = program_of(FLOW)


class Engine:
    """Callbacks over a store and actions. `send` is one request of the gateway."""

    def __init__(
        self,
        store: SampleStore | None = None,
        actions: SampleActions | None = None,
        *,
        deadline_s: float = 20.0,
        program: Program = PROGRAM,
        profile: Profile | None = None,
    ) -> None:
        self.store = store or SampleStore()
        self.actions = actions or SampleActions()
        self.programs = Published([program])
        network = Network(profile or Profile(), 60_000, deadline_s)
        self.callbacks = Callbacks(
            programs=self.programs,
            store=self.store,
            actions=cast("Actions", self.actions),
            keys=KEYS,
            clock=SampleClock(),
            networks={"default": network, "63902": network},
        )

    async def send(
        self,
        transcript: str,
        *,
        phone: str = PHONE,
        code: str = "*100#",
        network: str = "63902",
        session: str = SESSION,
    ) -> Screen:
        return await self.callbacks.handle(Callback("at", session, phone, code, network, transcript))

    async def walk(self, *transcripts: str) -> Screen:
        for transcript in transcripts:
            screen = await self.send(transcript)
        return screen
