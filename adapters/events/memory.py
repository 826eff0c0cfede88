"""The feed as a list in one process: for `ussd play` and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.events.fanout import EMPTY, INBOX, PAGE, Fanout, View
from ussd_engine.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from adapters.events.fanout import Position
    from ussd_engine.ports import Event, FeedEvent, FeedStart

KEEP_EVENTS = 10_000


class MemoryEvents:
    """The port Events. `published` is what the feed keeps, oldest first; the first event ever is at 1-0."""

    def __init__(self, *, keep_events: int = KEEP_EVENTS, inbox: int = INBOX) -> None:
        self.published: list[Event] = []
        self._gone = 0
        self._seen: set[str] = set()
        self._keep_events = keep_events
        self._closed = False
        self._fanout = Fanout(self._look, inbox=inbox)

    async def publish(self, event: Event) -> None:
        if event.event_id in self._seen:
            return
        self._seen.add(event.event_id)
        self.published.append(event)
        if len(self.published) > self._keep_events:
            del self.published[0]
            self._gone += 1
        self._fanout.deliver((self._newest, event))

    def follow(self, after: str | None) -> AsyncGenerator[FeedStart | FeedEvent, None]:
        return self._fanout.follow(after)

    async def close(self) -> None:
        """Keep the feed: whoever holds it may still want to read it."""
        self._closed = True
        self._fanout.end("the feed is closed")

    @property
    def _newest(self) -> Position:
        return (self._gone + len(self.published), 0)

    async def _look(self, after: Position) -> View:
        if self._closed:
            raise StoreUnavailable("the feed is closed")
        if not self.published:
            return EMPTY
        begin = max(after[0] - self._gone, 0)
        entries = enumerate(self.published[begin : begin + PAGE], start=self._gone + begin + 1)
        return View(
            oldest=(self._gone + 1, 0),
            newest=self._newest,
            whole=self._gone == 0,
            entries=tuple(((number, 0), event) for number, event in entries),
        )
