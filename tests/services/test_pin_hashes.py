"""How many PINs are hashed at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ussd_engine.errors import Busy
from ussd_engine.services.pin_hashes import AT_ONCE, HashRoom


async def test_who_gives_up_makes_no_room() -> None:
    """A hash that nobody waits for any more still takes its core until it is computed."""
    room, began, over = HashRoom(), threading.Semaphore(0), threading.Event()

    def slow() -> None:
        began.release()
        over.wait()

    try:
        waiting = [asyncio.create_task(room.computed(slow, 60)) for _ in range(AT_ONCE)]
        for _ in waiting:
            await asyncio.to_thread(began.acquire)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(Busy):
            await room.computed(lambda: "a hash", 0.05)
        over.set()
        assert await room.computed(lambda: "a hash", 60) == "a hash"
    finally:
        over.set()
        await room.close()
