"""Slow salted hashes of PINs: what is kept of one, and how one that is typed is compared with it.

A PIN goes no further than here: what a workflow is given is a hash, or whether the PIN was right.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from ussd_engine.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LOG2_N, R, P = 14, 8, 1
"""Cost of scrypt (RFC 7914): 16 MiB and about 40 ms. It is stored with each hash, so it may be raised."""
SALT_BYTES = 16
AT_ONCE = 2
"""Hashes computed at the same time in one process: each takes a core and its memory."""


def hashed(pin: str) -> str:
    """A new salted hash, with all that it takes to compare."""
    salt = os.urandom(SALT_BYTES)
    body = _scrypt(pin, salt, LOG2_N, R, P)
    return f"scrypt.{LOG2_N}.{R}.{P}.{base64.b64encode(salt).decode()}.{base64.b64encode(body).decode()}"


def matches(pin: str, hash_: str) -> bool:
    """In constant time."""
    _, log2_n, r, p, salt, body = hash_.split(".")
    given = _scrypt(pin, base64.b64decode(salt), int(log2_n), int(r), int(p))
    return hmac.compare_digest(given, base64.b64decode(body))


def _scrypt(pin: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    n = 2**log2_n
    return hashlib.scrypt(pin.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


class HashRoom:
    """Where the hashes of one process are computed, a few at a time and beside the event loop.

    The threads are its own: a hash that nobody waits for any more keeps its place until it is computed.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pin-hash")

    async def computed(self, work: Callable[[], T], wait_s: float) -> T:
        """Raises Busy where so many hashes are asked for at once that this one has no turn in time."""
        try:
            async with asyncio.timeout(wait_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise Busy("too many PINs are typed at once; nothing was changed, try again later") from None

    async def close(self) -> None:
        """What is being computed ends first."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
