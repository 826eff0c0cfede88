"""What is typed, line by line."""

from __future__ import annotations

import asyncio
import codecs
import os
import threading
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READ_BYTES: Final = 4096


async def lines(keyboard: TextIO) -> AsyncIterator[str]:
    """Lines from a terminal, a pipe or a file, without their ends.

    A thread reads, as a loop cannot wait for a file. It reads the descriptor itself: a thread that waits inside
    a buffered reader when the process ends takes the interpreter down with it.
    """
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    loop, descriptor = asyncio.get_running_loop(), keyboard.fileno()
    threading.Thread(target=_read, args=(descriptor, loop, queue), daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line


def _read(descriptor: int, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[str | None]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    waiting = ""
    while chunk := os.read(descriptor, READ_BYTES):
        *whole, waiting = (waiting + decoder.decode(chunk)).split("\n")
        for line in whole:
            loop.call_soon_threadsafe(queue.put_nowait, line.removesuffix("\r"))
    if waiting:
        loop.call_soon_threadsafe(queue.put_nowait, waiting)
    loop.call_soon_threadsafe(queue.put_nowait, None)
