"""The feed as a Redis Stream, which a dashboard reads with XREAD."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from adapters.sessions.link import RedisLink, pack

if TYPE_CHECKING:
    from ussd_engine.ports import Event

KEEP_EVENTS = 10_000
"""About so many events stay in the feed (Redis trims by whole nodes); older ones are history, not a feed."""
SEEN_FOR_S = 7 * 24 * 3600
"""How long an event is known to be published: a workflow that resumes after a long weekend says it once."""

_PUBLISH = """\
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[2], '1', 'EX', ARGV[2])
return 1
"""


class RedisEvents:
    """The port Events on one Redis. `url` is redis://, rediss:// or unix://.

    The stream is `{prefix}:feed`, with the braces, which keep it in one slot of a cluster with the markers
    `{prefix}:seen:<event_id>`. Its entries have the fields event_id, kind, at (ISO 8601), phone_masked and
    detail (JSON). Every call ends within `timeout_s`, with StoreUnavailable when Redis did not answer.
    """

    def __init__(self, url: str, *, timeout_s: float, prefix: str = "ussd:events") -> None:
        self._link = RedisLink(url, timeout_s=timeout_s)
        self._stream = f"{{{prefix}}}:feed"
        self._seen = f"{{{prefix}}}:seen:"

    async def publish(self, event: Event) -> None:
        keys = (self._stream, self._seen + event.event_id)
        await self._link.call(pack("EVAL", _PUBLISH, 2, *keys, KEEP_EVENTS, SEEN_FOR_S, *_fields(event)))

    async def close(self) -> None:
        await self._link.close()


def _fields(event: Event) -> tuple[str, ...]:
    return (
        *("event_id", event.event_id),
        *("kind", event.kind),
        *("at", event.at.isoformat()),
        *("phone_masked", event.phone_masked),
        *("detail", json.dumps(dict(event.detail), ensure_ascii=False, sort_keys=True)),
    )
