"""The feed as a Redis Stream: every worker appends to it, and one reader per worker serves all its listeners.

The reader waits with XREAD BLOCK on a connection of its own, since a command that blocks holds up all behind
it. It runs while there are listeners. When it cannot go on without a doubt that something was missed, it ends
them all: each resumes after its last position, which tells for certain.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from adapters.events.fanout import EMPTY, INBOX, PAGE, Fanout, View, parse, show
from adapters.sessions.link import RedisLink, pack
from ussd_engine.errors import UssdError
from ussd_engine.logs import describe
from ussd_engine.ports import Event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from adapters.events.fanout import Entry, Position
    from ussd_engine.ports import FeedEvent, FeedStart

log = structlog.get_logger(__name__)

SEEN_FOR_S = 7 * 24 * 3600
"""How long an event is known to be published: a workflow that resumes after a long weekend says it once."""

_PUBLISH = """\
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local before = redis.call('XLEN', KEYS[1])
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 3))
if before == 0 then
  redis.call('SET', KEYS[3], '1')
elseif redis.call('XLEN', KEYS[1]) <= before then
  redis.call('DEL', KEYS[3])
end
redis.call('SET', KEYS[2], '1', 'EX', ARGV[2])
return 1
"""
_LOOK = """\
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not oldest then
  return false
end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local found = redis.call('XREAD', 'COUNT', ARGV[2], 'STREAMS', KEYS[1], ARGV[1])
return {oldest[1], newest[1], redis.call('EXISTS', KEYS[2]), found and found[1][2] or {}}
"""
"""Ends and entries of one moment: between two commands the stream could be trimmed, and nobody would know."""


class RedisEvents:
    """The port Events on one Redis. `url` is redis://, rediss:// or unix://.

    The stream is `{prefix}:feed`, with the braces, which keep it in one slot of a cluster with the markers:
    `{prefix}:seen:<event_id>`, and `{prefix}:whole`, which stands until the first entry leaves the stream. Its entries
    have the fields event_id, kind, at (ISO 8601), phone_masked and detail (JSON); about `keep_events` of them stay, as
    Redis trims by whole nodes. `inbox` new ones may wait for a listener. Every call ends within `timeout_s`, with
    StoreUnavailable when Redis did not answer.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        keep_events: int,
        prefix: str = "ussd:events",
        inbox: int = INBOX,
    ) -> None:
        self._link = RedisLink(url, timeout_s=timeout_s)
        self._reading_link = RedisLink(url, timeout_s=timeout_s)
        self._block_ms = max(1, int(timeout_s * 500))  # an answer must come well before the link gives up
        self._keep_events = keep_events
        self._stream = f"{{{prefix}}}:feed"
        self._seen = f"{{{prefix}}}:seen:"
        self._whole = f"{{{prefix}}}:whole"
        self._fanout = Fanout(self._look, self._joined, inbox=inbox)
        self._reader: asyncio.Task[None] | None = None

    async def publish(self, event: Event) -> None:
        keys = (self._stream, self._seen + event.event_id, self._whole)
        fields = _fields(event)
        await self._link.call(pack("EVAL", _PUBLISH, 3, *keys, self._keep_events, SEEN_FOR_S, *fields))

    def follow(self, after: str | None) -> AsyncGenerator[FeedStart | FeedEvent, None]:
        return self._fanout.follow(after)

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
        self._fanout.end("the feed is closed")
        await self._reading_link.close()
        await self._link.close()

    async def _look(self, after: Position) -> View:
        found = await self._link.call(pack("EVAL", _LOOK, 2, self._stream, self._whole, show(after), PAGE))
        if found is None:
            return EMPTY
        oldest, newest, whole, entries = found
        return View(
            oldest=parse(oldest.decode()),
            newest=parse(newest.decode()),
            whole=whole == 1,
            entries=tuple(_entry(place, fields) for place, fields in entries),
        )

    def _joined(self, position: Position) -> None:
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(position))

    async def _read(self, position: Position) -> None:
        """Hand what comes after `position` to the listeners, as long as there are any."""
        try:
            while not self._fanout.idle:
                await self._until_new(position)
                view = await self._look(position)
                if not view.reaches_back_to(position):
                    self._fanout.end("the feed no longer has all that the listeners wait for")
                    return
                for entry in view.entries:
                    self._fanout.deliver(entry)
                    position = entry[0]
        except UssdError as error:
            log.warning("feed_interrupted", **describe(error))
            self._fanout.end(str(error))
        except Exception as error:  # noqa: BLE001 - or listeners would wait for a reader that is no more
            log.error("feed_failed", **describe(error))  # noqa: TRY400 - the message may be personal
            self._fanout.end("the feed cannot be read")
        finally:
            self._reader = None

    async def _until_new(self, position: Position) -> None:
        """Return when there is something after `position`, and once in a while when there is nothing."""
        where = ("STREAMS", self._stream, show(position))
        await self._reading_link.call(pack("XREAD", "COUNT", 1, "BLOCK", self._block_ms, *where))


def _fields(event: Event) -> tuple[str, ...]:
    return (
        *("event_id", event.event_id),
        *("kind", event.kind),
        *("at", event.at.isoformat()),
        *("phone_masked", event.phone_masked),
        *("detail", json.dumps(dict(event.detail), ensure_ascii=False, sort_keys=True)),
    )


def _entry(place: bytes, fields: list[bytes]) -> Entry:
    texts = iter([field.decode() for field in fields])
    found = dict(zip(texts, texts, strict=True))
    event = Event(
        found["event_id"],
        found["kind"],
        datetime.fromisoformat(found["at"]),
        found["phone_masked"],
        json.loads(found["detail"]),
    )
    return parse(place.decode()), event
