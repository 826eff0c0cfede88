"""The memory store alone."""

from __future__ import annotations

from adapters.sessions.memory import MemorySessionStore
from tests.adapters.sessions.support import HandClock


async def test_sessions_that_nobody_loads_again_do_not_pile_up() -> None:
    """Expired values are dropped, although nobody asks for them."""
    clock = HandClock()
    store = MemorySessionStore(clock)
    for number in range(10_000):
        await store.save(f"session {number}", b"value", expected=None, ttl_ms=1000)
        clock.advance(0.1)
    assert len(store._entries) < 2000
    assert await store.load("session 9999") == b"value"
