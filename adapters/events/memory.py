"""The feed as a list in one process: for `ussd play` and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ussd_engine.ports import Event


class MemoryEvents:
    """The port Events. `published` is the feed, oldest first."""

    def __init__(self) -> None:
        self.published: list[Event] = []
        self._seen: set[str] = set()

    async def publish(self, event: Event) -> None:
        if event.event_id not in self._seen:
            self._seen.add(event.event_id)
            self.published.append(event)

    async def close(self) -> None:
        """Keep the feed: whoever holds it may still want to read it."""
