"""From one feed to many listeners: each reads back what it missed, and then gets what is new.

A listener first reads what the feed keeps, page by page and at its own pace. Close to the end it gets an inbox,
reads once more what may have come before the inbox was there, and goes on with the inbox. What it meets twice
on the way it knows by its position.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ussd_engine.errors import BadPosition, ListenerTooSlow, StoreUnavailable, UssdError
from ussd_engine.ports import Event, FeedEvent, FeedStart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

Position = tuple[int, int]
"""As the ids of a Redis Stream: milliseconds, and a number among the entries of the same one."""
Entry = tuple[Position, Event]

ORIGIN: Position = (0, 0)
"""Before every entry."""
PART_MAX = 2**64 - 1
PAGE = 500
"""Entries that are read back at once: some 100 kB, a few milliseconds of Redis."""
INBOX = 1000
"""New entries that may wait for a listener; one that is so far behind has stopped reading."""

_POSITION = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")


def parse(text: str) -> Position:
    found = _POSITION.fullmatch(text)
    if found is None or max(position := (int(found[1]), int(found[2]))) > PART_MAX:
        raise BadPosition("no position in a feed: it is two numbers with a dash between, such as 0-0")
    return position


def show(position: Position) -> str:
    return f"{position[0]}-{position[1]}"


@dataclass(frozen=True, slots=True)
class View:
    """What a feed holds at one moment. `entries` are the first PAGE of those that were asked for.

    `whole`: nothing has ever left it.
    """

    oldest: Position
    newest: Position
    whole: bool
    entries: tuple[Entry, ...]

    @property
    def floor(self) -> Position:
        """All that came after it is still here."""
        milliseconds, number = self.oldest
        if self.oldest == ORIGIN:
            return ORIGIN
        return (milliseconds, number - 1) if number else (milliseconds - 1, PART_MAX)

    def reaches_back_to(self, position: Position) -> bool:
        """Whether no event after `position` is missing. One beyond the end says that the feed lost its end."""
        return self.floor <= position <= self.newest or (position == ORIGIN and self.whole)


EMPTY = View(ORIGIN, ORIGIN, whole=True, entries=())


class Fanout:
    """`look` shows the feed with the entries after a position; `joined` hears where a new inbox begins."""

    def __init__(
        self,
        look: Callable[[Position], Awaitable[View]],
        joined: Callable[[Position], None] = lambda _: None,
        *,
        inbox: int,
    ) -> None:
        self._look = look
        self._joined = joined
        self._inbox = inbox
        self._inboxes: set[_Inbox] = set()

    @property
    def idle(self) -> bool:
        return not self._inboxes

    async def follow(self, after: str | None) -> AsyncGenerator[FeedStart | FeedEvent, None]:
        asked = ORIGIN if after is None else parse(after)
        view = await self._look(asked)
        position = view.newest if after is None else min(max(asked, view.floor), view.newest)
        yield FeedStart(show(position), gap=after is not None and not view.reaches_back_to(asked))
        async with aclosing(self._entries(position)) as entries:
            async for place, event in entries:
                if place > position:
                    position = place
                    yield FeedEvent(show(place), event)

    def deliver(self, entry: Entry) -> None:
        self._inboxes -= {inbox for inbox in self._inboxes if not inbox.put(entry)}

    def end(self, reason: str) -> None:
        """End every listener that waits for what is new."""
        for inbox in self._inboxes:
            inbox.end(StoreUnavailable(reason))
        self._inboxes.clear()

    async def _entries(self, position: Position) -> AsyncGenerator[Entry, None]:
        """All after `position`; those around the change from kept to new may come twice."""
        async with aclosing(self._kept(position)) as kept:
            async for entry in kept:
                position = entry[0]
                yield entry
        inbox = _Inbox(self._inbox)
        self._inboxes.add(inbox)
        try:
            self._joined(position)
            async with aclosing(self._kept(position)) as kept:
                async for entry in kept:
                    yield entry
            while True:
                yield await inbox.take()
        finally:
            self._inboxes.discard(inbox)

    async def _kept(self, position: Position) -> AsyncGenerator[Entry, None]:
        """What the feed keeps after `position`, to its end."""
        while True:
            view = await self._look(position)
            if not view.reaches_back_to(position):
                raise StoreUnavailable(f"the feed no longer has all that came after {show(position)}")
            for entry in view.entries:
                yield entry
            if len(view.entries) < PAGE:
                return
            position = view.entries[-1][0]


class _Inbox:
    """What waits for one listener, and at the end the reason why no more comes."""

    def __init__(self, room: int) -> None:
        self._queue: asyncio.Queue[Entry | UssdError] = asyncio.Queue(room)

    def put(self, entry: Entry) -> bool:
        """False when there is no room: then the listener is ended."""
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            self.end(ListenerTooSlow(f"{self._queue.maxsize} events wait: resume after the last one taken"))
            return False
        return True

    def end(self, error: UssdError) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(error)

    async def take(self) -> Entry:
        item = await self._queue.get()
        if isinstance(item, UssdError):
            raise item
        return item
