"""What can happen to a session in one step, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ussd_engine.runtime.program import Value
from ussd_engine.runtime.screen import Screen


@dataclass(frozen=True, slots=True)
class Proceed:
    """No input: the session begins, or takes up the action that it waits for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which input it is: where it ends in the transcript, and the keyed digest of the transcript up to there."""

    position: int
    digest: str


@dataclass(frozen=True, slots=True)
class Input:
    """What the subscriber typed on the screen shown."""

    text: str = field(repr=False)
    identity: Identity


@dataclass(frozen=True, slots=True)
class Result:
    """An action has come back with one of its outcomes and the outputs that go with it."""

    outcome: str
    outputs: Mapping[str, Value] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Run:
    """The session waits for an action. An `effect` changes something outside: save the session first."""

    action: str
    effect: bool
    inputs: Mapping[str, Value] = field(repr=False)


Happening = Proceed | Input | Result
Outcome = Screen | Run
