"""Sessions in Redis: one string per session, two round trips per turn."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from adapters.sessions.link import RedisLink, pack
from adapters.sessions.memory import check_ttl

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_SAVE = """\
local stored = redis.call('GET', KEYS[1])
if stored == (ARGV[4] or false) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
if ARGV[3] == '1' and stored == ARGV[1] then
  return 1
end
return 0
"""
"""Compare and set. ARGV: value, time to live in ms, '1' when sent again, the expected value if any.

Sent again after a lost answer, it may find its own value in place: that save is the one that succeeded. The
expected value is compared first, so that saving the same value again still renews the time to live.
"""
_SAVE_SHA = hashlib.sha1(_SAVE.encode(), usedforsecurity=False).hexdigest()

SCAN_COUNT = 500
"""Keys that Redis looks at in one step of a scan, in which it answers nobody else: well below a millisecond."""


class RedisSessionStore:
    """The port SessionStore on one Redis. `url` is redis://, rediss:// or unix://; each key gets `prefix`.

    Every call ends within `timeout_s`. Each session is one key, and the mark is one, read along with a session.
    """

    def __init__(self, url: str, *, timeout_s: float, prefix: str = "ussd:session:") -> None:
        self._link = RedisLink(url, timeout_s=timeout_s)
        self._prefix = prefix
        self._mark_key = f"{prefix}mark"
        self.mark: bytes | None = None

    async def load(self, key: str) -> bytes | None:
        stored: bytes | None
        stored, self.mark = await self._link.call(pack("MGET", self._prefix + key, self._mark_key))
        return stored

    async def set_mark(self, mark: bytes) -> None:
        await self._link.call(pack("SET", self._mark_key, mark))

    async def save(self, key: str, value: bytes, *, expected: bytes | None, ttl_ms: int) -> bool:
        check_ttl(ttl_ms)
        compared = () if expected is None else (expected,)
        full_key = self._prefix + key

        def again(maybe_done: bool) -> bytes:
            # With its text, because a restarted Redis has forgotten the script.
            return pack("EVAL", _SAVE, 1, full_key, value, ttl_ms, int(maybe_done), *compared)

        hot = pack("EVALSHA", _SAVE_SHA, 1, full_key, value, ttl_ms, 0, *compared)
        stored: int = await self._link.call(hot, again)
        return stored == 1

    async def each(self) -> AsyncGenerator[bytes, None]:
        given = {self._mark_key.encode()}
        cursor = b"0"
        while True:
            page = pack("SCAN", cursor, "MATCH", f"{self._prefix}*", "COUNT", SCAN_COUNT)
            cursor, found = await self._link.call(page)
            keys = set(found) - given  # Redis may give a key twice
            given |= keys
            if keys:
                for value in await self._link.call(pack("MGET", *keys)):
                    if value is not None:
                        yield value
            if cursor == b"0":
                return

    async def ping(self) -> None:
        await self._link.call(pack("PING"))

    async def close(self) -> None:
        await self._link.close()
