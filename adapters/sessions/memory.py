"""Sessions in the memory of one process: for `ussd play` and for tests. They end with the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ussd_engine.ports import Clock

_SWEEP_AT_LEAST = 1024
"""Below this many entries, expired ones are not worth looking for."""


class MemorySessionStore:
    """The port SessionStore on a dict; `clock.monotonic()` tells when a value's time is up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.mark: bytes | None = None
        self._entries: dict[str, tuple[bytes, float]] = {}
        self._sweep_at = _SWEEP_AT_LEAST

    async def load(self, key: str) -> bytes | None:
        return self._live(key)

    async def set_mark(self, mark: bytes) -> None:
        self.mark = mark

    async def save(self, key: str, value: bytes, *, expected: bytes | None, ttl_ms: int) -> bool:
        check_ttl(ttl_ms)
        if self._live(key) != expected:
            return False
        self._entries[key] = (bytes(value), self._clock.monotonic() + ttl_ms / 1000)
        if len(self._entries) >= self._sweep_at:
            self._sweep()
        return True

    async def each(self) -> AsyncGenerator[bytes, None]:
        for key in list(self._entries):
            value = self._live(key)
            if value is not None:
                yield value

    async def ping(self) -> None:
        """It always answers."""

    async def close(self) -> None:
        self._entries.clear()

    def _live(self, key: str) -> bytes | None:
        value, expires_at = self._entries.get(key, (None, 0.0))
        return value if self._clock.monotonic() < expires_at else None

    def _sweep(self) -> None:
        """Forget what expired. Done each time the dict has doubled, so its cost per save stays constant."""
        now = self._clock.monotonic()
        self._entries = {key: entry for key, entry in self._entries.items() if now < entry[1]}
        self._sweep_at = max(_SWEEP_AT_LEAST, 2 * len(self._entries))


def check_ttl(ttl_ms: int) -> None:
    """Raise ValueError: a time to live below one millisecond is a mistake of the caller, in every store."""
    if ttl_ms < 1:
        raise ValueError(f"ttl_ms is {ttl_ms}; it must be at least 1")
