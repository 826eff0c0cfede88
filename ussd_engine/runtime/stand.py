"""Where a session stands during one step, and its values: from one stored session to the next."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from msgspec.structs import replace

from ussd_engine.errors import IllegalMove
from ussd_engine.flow.formats import written
from ussd_engine.flow.pager import Profile
from ussd_engine.flow.text import Slot, fill
from ussd_engine.runtime import route
from ussd_engine.runtime.happenings import Identity
from ussd_engine.runtime.program import (
    CompiledFlow,
    Declared,
    Goto,
    Items,
    List,
    Node,
    Program,
    Scalar,
    Texts,
    Value,
)
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.session import Frame, Mark, Secret, Session

MAX_HISTORY = 30
"""Screens that back can return to; nobody presses it more often, and it bounds what is stored."""


class Stand:
    """The session as it changes during one step. `flow` and `node` are where it stands."""

    flow: CompiledFlow
    node: Node

    def __init__(self, program: Program, session: Session, now: datetime, profile: Profile) -> None:
        self.program = program
        self.session = session
        self.today = now.date()
        self.today_iso = self.today.isoformat()
        self.drawn_on = session.shown_on or self.today_iso
        self.profile = profile
        self.frames = list(session.frames)
        self.history = list(session.history)
        self.language = session.language
        self.page = session.page
        self.tries = session.tries
        self.wrong = session.wrong
        self.away = session.away
        self.acted = session.acted
        self.asking = session.asking
        self.told_pin = session.told_pin
        self.seen_at = now.timestamp()
        self.version = session.version
        self.position = session.position
        self.digest = session.digest
        self.arrive()

    # --- its place

    @property
    def top(self) -> Frame:
        return self.frames[-1]

    def arrive(self) -> None:
        """Look up where the top frame stands now."""
        top = self.frames[-1]
        self.flow = self.flow_of(top.flow)
        try:
            self.node = self.flow.nodes[top.state]
        except KeyError:
            raise IllegalMove(f"flow '{top.flow}' has no state '{top.state}'") from None

    def flow_of(self, name: str) -> CompiledFlow:
        try:
            return self.program.flows[name]
        except KeyError:
            raise IllegalMove(f"there is no flow '{name}' in revision {self.program.revision}") from None

    def go(self, state: str) -> None:
        top = self.frames[-1]
        self.frames[-1] = Frame(top.flow, state, top.data)
        self.arrive()
        self.page, self.tries, self.wrong = 0, 0, False

    def follow(self, goto: Goto) -> None:
        self.go(self.flow.table.move(self.top.state, route.choose(goto, self.plain)))

    def leave_screen(self, goto: Goto) -> None:
        """Follow a choice of the subscriber; the screen that is left behind can be returned to."""
        mark = Mark(len(self.frames), self.top.state)
        self.follow(goto)
        if self.top.state != mark.state:
            self.history = [*self.history, mark][-MAX_HISTORY:]
            self.away = True

    # --- its values

    def value(self, name: str) -> Value | Secret:
        match name:
            case "language":
                return self.language
            case "today":
                return self.today_iso
            case "session.phone":
                return self.session.phone_number
            case "session.network":
                return self.session.network
            case "session.service_code":
                return self.session.service_code
        declared = self.flow.data[name]
        return self.top.data.get(name, declared.default)

    def plain(self, name: str) -> Value:
        """The value for a condition or an action: secrets are revealed to these alone."""
        value = self.value(name)
        return value.reveal if isinstance(value, Secret) else value

    def on_screen(self, name: str) -> Value:
        """As `plain`, on the day when the screen was drawn: options are what they were on it."""
        return self.drawn_on if name == "today" else self.plain(name)

    def items(self, list_: List) -> Items:
        value = self.value(list_.of)
        return value if isinstance(value, tuple) else ()

    def shown(self, slot: Slot) -> str:
        value = self.value(slot.name)
        if isinstance(value, Secret):
            return "***"
        # the checker lets no list into a text
        return written(cast("Scalar", value), slot.form, self.language)

    def text(self, texts: Texts) -> str:
        template = texts.get(self.language) or texts[self.flow.languages[0]]
        return fill(template, self.shown)

    def phrase(self, key: str) -> str:
        return self.text(self.flow.phrases[key])

    def store(self, name: str, value: object) -> None:
        """Raises IllegalMove for a value that does not fit."""
        if name == "language":
            self._speak(value)
        else:
            declared = self.flow.data[name]
            self.keep(declared, route.fit(declared, value))

    def _speak(self, language: object) -> None:
        if isinstance(language, str) and language in self.flow.languages:  # else the texts stay as they are
            self.language = language

    def keep(self, declared: Declared, value: Value) -> None:
        """As `store`, for a value that fits already."""
        if declared.name == "language":
            self._speak(value)
            return
        kept = Secret(value) if declared.secret else value
        top = self.frames[-1]
        self.frames[-1] = Frame(top.flow, top.state, {**top.data, declared.name: kept})

    # --- from a callback, and to the next

    def identify(self, identity: Identity) -> None:
        self.position, self.digest = identity.position, identity.digest
        self.version += 1
        self.acted = 0

    def session_with(self, screen: Screen | None) -> Session:
        """The next session. None: it has an action to run."""
        ended = screen is not None and screen.end
        return replace(
            self.session,
            version=self.version,
            position=self.position,
            digest=self.digest,
            language=self.language,
            frames=() if ended else tuple(self.frames),
            history=() if ended else tuple(self.history),
            page=self.page,
            tries=self.tries,
            wrong=self.wrong,
            away=self.away,
            shown_on=self.drawn_on,
            acted=self.acted,
            asking=self.asking and not ended,
            told_pin=self.told_pin,
            seen_at=self.seen_at,
            receipt=screen,
            ended=ended,
        )
