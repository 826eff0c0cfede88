"""Small flows for the tests of the runtime, written as an author writes them, and a phone to walk through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

from tests.flow.vocabulary import ACTIONS
from ussd_engine.flow.loader import load
from ussd_engine.flow.pager import Profile
from ussd_engine.flow.vocabulary import ActionSpec
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.happenings import Happening, Identity, Input, Outcome, Proceed, Result, Run
from ussd_engine.runtime.program import Program, Value
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.session import Session, dumps, loads
from ussd_engine.runtime.step import begin, step
from ussd_engine.sealing import KeyRing

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
KEYS = KeyRing.of(b"i" * 32, {"k1": b"s" * 32})
BLANK = Session(
    gateway="at",
    session_id="sample-1",
    phone_number="+254711000001",
    service_code="*100#",
    network="63902",
    revision="",
    language="",
    started_at=NOW.timestamp(),
    frames=(),
)


def program_of(*texts: str, actions: Mapping[str, ActionSpec] = ACTIONS) -> Program:
    """The program of some flow files."""
    with TemporaryDirectory() as folder:
        for number, text in enumerate(texts):
            (Path(folder) / f"{number}.yaml").write_text(dedent(text))
        return compile_library(load(Path(folder), actions), actions, "KE")


def flow(states: str, *, head: str = "", languages: str = "en", start: str = "hello") -> str:
    """A flow named sample. `states` and `head` are YAML, indented as one likes."""
    body = "\n".join("  " + line for line in dedent(states).strip("\n").splitlines())
    return (
        f"flow: sample\nlanguages: [{languages}]\nstart: {start}\n{dedent(head).strip()}\nstates:\n{body}\n"
    )


def typed(text: str) -> Input:
    """An input whose place in the transcript does not matter."""
    return Input(text, Identity(len(text), "d1"))


@dataclass(slots=True)
class Phone:
    """A subscriber at one session. Between every two inputs the session is stored and read back."""

    program: Program
    profile: Profile = field(default_factory=Profile)
    now: datetime = NOW
    flow: str = "sample"
    session: Session = BLANK
    outcome: Outcome = field(init=False)

    def __post_init__(self) -> None:
        self.session = begin(self.program, self.flow, self.session)
        self.happen(Proceed())

    def happen(self, happening: Happening) -> Phone:
        before = self.session
        after, outcome = step(self.program, before, happening, self.now, self.profile)
        again, repeated = step(
            self.program, loads(dumps(before, KEYS), KEYS), happening, self.now, self.profile
        )
        assert (again, repeated) == (after, outcome), "a stored session steps as the one in memory"
        self.session, self.outcome = after, outcome
        return self

    def type(self, *texts: str) -> Phone:
        for text in texts:
            self.happen(typed(text))
        return self

    def result(self, outcome: str, **outputs: Value) -> Phone:
        return self.happen(Result(outcome, outputs))

    @property
    def screen(self) -> Screen:
        assert isinstance(self.outcome, Screen)
        return self.outcome

    @property
    def text(self) -> str:
        return self.screen.text

    @property
    def run(self) -> Run:
        assert isinstance(self.outcome, Run)
        return self.outcome
