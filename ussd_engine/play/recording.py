"""What happened at the phone, so that it can be written down as a transcript and run again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ussd_engine.errors import UssdError
from ussd_engine.owner_file import create_once

if TYPE_CHECKING:
    from ussd_engine.runtime.happenings import Result


class CannotSave(UssdError):
    """A recording that cannot be written where it was wanted."""

    code = "cannot_save"


@dataclass(frozen=True, slots=True)
class Caller:
    """What stands once in a transcript. `language` is what flows begin in; empty is each flow's own."""

    service_code: str
    phone_number: str
    network: str
    language: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One callback and its answer."""

    kind: Literal["dial", "type", "repeat"]
    text: str
    actions: tuple[tuple[str, Result], ...]
    screen: str
    ends: bool


@dataclass(slots=True)
class Recording:
    """The sessions of one caller: a transcript is about one, so another one begins anew."""

    caller: Caller | None = None
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    turns: list[Turn] = field(default_factory=list)

    def add(self, caller: Caller, turn: Turn) -> None:
        if caller != self.caller:
            self.caller, self.begun, self.turns = caller, datetime.now(UTC).replace(microsecond=0), []
        self.turns.append(turn)

    def save(self, file: str, name: str) -> None:
        """A new file for its owner alone. Raises CannotSave."""
        path = Path(file).expanduser()
        from ussd_engine.testing.transcript import Called, Step, Transcript, dumps  # noqa: PLC0415 - a phone tests nothing

        if self.caller is None:
            raise CannotSave("Nothing has happened yet that could be saved.")
        if path.exists():
            raise CannotSave(f"{file} is there already; give another name.")
        steps = [
            Step(turn.kind, turn.text, [Called(*ran) for ran in turn.actions], turn.screen, turn.ends)
            for turn in self.turns
        ]
        transcript = Transcript(
            name or path.stem.replace("_", " "),
            self.caller.service_code,
            self.caller.network,
            steps,
            self.caller.phone_number,
            self.caller.language,
            self.begun,
        )
        try:
            create_once(path, dumps(transcript))
        except OSError as error:
            raise CannotSave(f"{file} cannot be written: {error.strerror or error}") from error
