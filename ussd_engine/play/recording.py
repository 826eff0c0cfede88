"""What happened at the phone, so that it can be written down as a transcript and run again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ussd_engine.errors import UssdError
from ussd_engine.owner_file import create_once
from ussd_engine.testing.transcript import Called, Step, Transcript, dumps

if TYPE_CHECKING:
    from ussd_engine.runtime.happenings import Result


LONG_S = 60
"""A pause that can decide whether a dial goes on with a session that was dropped: flows say it in minutes."""


class CannotSave(UssdError):
    """A recording that cannot be written where it was wanted."""

    code = "cannot_save"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who dials, and how. `language` is what flows begin in; empty is each flow's own."""

    service_code: str
    phone_number: str
    network: str
    language: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One callback and its answer, or something else of which nothing is heard on the air: it has no screen."""

    kind: Literal["dial", "type", "repeat", "wait", "network", "language"]
    text: str
    actions: tuple[tuple[str, Result], ...] = ()
    screen: str | None = None
    ends: bool = False


@dataclass(slots=True)
class _Sessions:
    """Of one phone at one code, from its first dial on: a later dial may go on with what an earlier one began."""

    first: Caller
    begun: datetime
    last: Caller = field(init=False)
    seen_at: datetime = field(init=False)
    turns: list[Turn] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.last, self.seen_at = self.first, self.begun

    def add(self, caller: Caller, turn: Turn, at: datetime) -> None:
        """What has changed since the last turn is a step of its own."""
        pause = round((at - self.seen_at).total_seconds())
        if turn.kind == "dial" and pause >= LONG_S:
            self.turns.append(Turn("wait", str(pause)))
        if caller.network != self.last.network:
            self.turns.append(Turn("network", caller.network))
        if caller.language != self.last.language:
            self.turns.append(Turn("language", caller.language))
        self.turns.append(turn)
        self.last, self.seen_at = caller, at


@dataclass(slots=True)
class Recording:
    """What each phone has done at each code. What is saved is about the caller of the last turn."""

    _all: dict[tuple[str, str], _Sessions] = field(default_factory=dict)
    _now: _Sessions | None = None

    def add(self, caller: Caller, turn: Turn) -> None:
        at, known = datetime.now(UTC).replace(microsecond=0), (caller.phone_number, caller.service_code)
        self._now = self._all.setdefault(known, _Sessions(caller, at))
        self._now.add(caller, turn, at)

    @property
    def steps(self) -> int:
        return len(self._now.turns) if self._now is not None else 0

    def save(self, file: str, name: str) -> None:
        """A new file for its owner alone. Raises CannotSave."""
        path, sessions = Path(file).expanduser(), self._now

        if sessions is None:
            raise CannotSave("Nothing has happened yet that could be saved.")
        if path.exists():
            raise CannotSave(f"{file} is there already; give another name.")
        steps = [
            Step(turn.kind, turn.text, [Called(*ran) for ran in turn.actions], turn.screen, turn.ends)
            for turn in sessions.turns
        ]
        transcript = Transcript(
            name or path.stem.replace("_", " "),
            sessions.first.service_code,
            sessions.first.network,
            steps,
            sessions.first.phone_number,
            sessions.first.language,
            sessions.begun,
        )
        try:
            create_once(path, dumps(transcript))
        except OSError as error:
            raise CannotSave(f"{file} cannot be written: {error.strerror or error}") from error
