"""Engines that are bad, each in one way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from typing import Any, cast

import structlog
from msgspec.structs import replace as with_changes

from ussd_engine.flow.text import fill
from ussd_engine.runtime import screens, step
from ussd_engine.runtime import session as session_module
from ussd_engine.runtime.program import Action
from ussd_engine.runtime.session import Mark, Secret, Session
from ussd_engine.runtime.stand import Stand
from ussd_engine.services import callbacks
from ussd_engine.services.callbacks import Callbacks

log = structlog.get_logger(__name__)


def always_new(_original: Any) -> Any:
    """Takes every callback for a new input."""

    def news(self: Callbacks, turn: Any, session: Any) -> list[tuple[str, str]]:
        transcript = turn.callback.transcript
        return [] if session.ended or not transcript else [(transcript.rpartition("*")[2], transcript)]

    return news


def deaf(original: Any) -> Any:
    """Takes nothing any more in a session that has become long."""

    def news(self: Callbacks, turn: Any, session: Any) -> Any:
        return [] if session.version >= 4 and not session.wrong else original(self, turn, session)

    return news


def back_into_the_action(original: Any) -> Any:
    """Remembers an action as if it were a screen: back runs it again."""

    def conclude(self: Any, outcome: str, outputs: Any) -> None:
        here = Mark(len(self.frames), self.top.state)
        assert isinstance(self.node, Action)
        original(self, outcome, outputs)
        self.history.append(here)

    return conclude


def one_long_page(_original: Any) -> Any:
    return lambda lines, *_: ("\n".join(lines),)


def another_work_each_time(original: Any) -> Any:
    """Knows no work again that it has begun."""
    numbers = count()
    return lambda session, run: f"{original(session, run)}:{next(numbers)}"


def another_work_for_each_callback(original: Any) -> Any:
    """Knows its work again only in the callback that began it."""
    return lambda session, run: f"{original(session, run)}:{cast('Any', asyncio.current_task()).get_name()}"


def one_work_for_a_session(_original: Any) -> Any:
    """Takes an action that a later input leads to for the one that has run."""
    return lambda session, run: f"{run.action}:{session.session_id}"


def nothing_on_the_page(original: Any) -> Any:
    """Once something wrong was typed."""
    return lambda self, node: (" ",) if self.wrong else original(self, node)


def nothing_kept(original: Any) -> Any:
    """Answers, and keeps nothing of a session that has come further than its first screen."""

    async def save(self: Callbacks, turn: Any, session: Any) -> Any:
        if session.version == 0:
            return await original(self, turn, session)
        cast("Any", self._store)._entries.pop(turn.key, None)
        return session

    return save


def first_language_of_the_flow(original: Any) -> Any:
    """Forgets in which language a session is."""

    def take(self: Any, text: str) -> None:
        self.language = self.flow.languages[0]
        original(self, text)

    return take


def deaf_to_languages(original: Any) -> Any:
    """Stays in the language that a session began in."""
    return lambda self, name, value: None if name == "language" else original(self, name, value)


def texts_of_the_first_language(_original: Any) -> Any:
    return lambda self, texts: fill(texts[self.flow.languages[0]], self.shown)


def told(values: Mapping[str, object]) -> str:
    return " ".join(str(value.reveal) for value in values.values() if isinstance(value, Secret))


ROOM = 40
"""Characters of a page beside which a secret has room."""


def secrets_on_the_page(original: Any) -> Any:
    def drawn(self: Any, node: Any) -> Any:
        first, *others = original(self, node)
        return (f"{first} {told(self.top.data)}".rstrip() if len(first) < ROOM else first, *others)

    return drawn


def secrets_in_the_log(original: Any) -> Any:
    def run(self: Any, turn: Any, session: Any, run: Any) -> Any:
        log.warning("runs", inputs=run.inputs)
        return original(self, turn, session, run)

    return run


def secrets_in_the_receipt(original: Any) -> Any:
    """Where the page in it is as it was shown."""

    def write(session: Session, keys: Any) -> bytes:
        screen = session.receipt
        if screen is not None and session.frames:
            session = with_changes(
                session, receipt=with_changes(screen, label=f"{screen.label}{told(session.top.data)}")
            )
        return cast("bytes", original(session, keys))

    return write


def secrets_in_the_store(_original: Any) -> Any:
    return lambda _bound, _flow, data, _keys: {
        name: value.reveal
        if isinstance(value, Secret)
        else {"items": value}
        if isinstance(value, tuple)
        else value
        for name, value in data.items()
    }


BAD_ENGINES = [
    (Callbacks, "_news", always_new, "repeat callback|stale callback|came at once"),
    (Callbacks, "_news", deaf, "led to none|the session is in"),
    (step, "_conclude", back_into_the_action, "back has run an action"),
    (screens, "paginate", one_long_page, "a page of"),
    (callbacks, "_workflow_id", another_work_each_time, "more than once for one input"),
    (callbacks, "_workflow_id", another_work_for_each_callback, "more than once for one input"),
    (screens, "_drawn", nothing_on_the_page, "shows nothing"),
    (Callbacks, "_save", nothing_kept, "asks, and there is no session"),
    (step, "_take", first_language_of_the_flow, "the session is in"),
    (Stand, "store", deaf_to_languages, "the session is in"),
    (Stand, "text", texts_of_the_first_language, "is not in the language of its session"),
    (screens, "_drawn", secrets_on_the_page, "a secret stands in"),
    (Callbacks, "_run", secrets_in_the_log, "a secret stands in"),
    (callbacks, "dumps", secrets_in_the_receipt, "a secret stands in"),
    (session_module, "_sealed", secrets_in_the_store, "a secret stands in"),
]
