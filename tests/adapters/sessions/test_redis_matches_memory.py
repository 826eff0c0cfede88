"""The memory store stands in for Redis in other tests, so it must do what the real Redis does."""

from __future__ import annotations

import asyncio

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from adapters.sessions.memory import MemorySessionStore
from adapters.sessions.redis import RedisSessionStore
from tests.adapters.sessions.support import HandClock

PREFIX = "twins:"
KEYS = st.sampled_from(["a", "b"])
VALUES = st.sampled_from([b"", b"\0", b"one", b"two"])
# Whole minutes, so that the milliseconds that the test itself takes never decide.
TTLS_MS = st.sampled_from([60_000, 180_000])


def _twins(url: str) -> type[RuleBasedStateMachine]:
    class Twins(RuleBasedStateMachine):
        """The same operations on both; every answer must be the same."""

        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.clock = HandClock()
            self.memory = MemorySessionStore(self.clock)
            self.redis = RedisSessionStore(url, timeout_s=5, prefix=PREFIX)
            self.admin = redis.Redis.from_url(url)
            self.admin.flushall()

        @rule(key=KEYS)
        def load(self, key: str) -> None:
            assert self._stored(key) == self.runner.run(self.memory.load(key))

        @rule(key=KEYS, value=VALUES, expected=st.none() | VALUES, ttl_ms=TTLS_MS)
        def save(self, key: str, value: bytes, expected: bytes | None, ttl_ms: int) -> None:
            self._save_in_both(key, value, expected, ttl_ms)

        @rule(key=KEYS, value=VALUES, ttl_ms=TTLS_MS)
        def go_on(self, key: str, value: bytes, ttl_ms: int) -> None:
            self._save_in_both(key, value, self._stored(key), ttl_ms)

        @rule(seconds=st.sampled_from([30, 90]))
        def wait(self, seconds: int) -> None:
            self.clock.advance(seconds)
            for key in self.admin.scan_iter():
                left_ms = self.admin.pttl(key)
                # The milliseconds that have really passed are given back.
                self.admin.pexpire(key, -(-left_ms // 30_000) * 30_000 - seconds * 1000)

        @invariant()
        def both_hold_the_same(self) -> None:
            for key in ("a", "b"):
                self.load(key)

        def teardown(self) -> None:
            self.runner.run(self.redis.close())
            self.runner.close()
            self.admin.close()

        def _stored(self, key: str) -> bytes | None:
            return self.runner.run(self.redis.load(key))

        def _save_in_both(self, key: str, value: bytes, expected: bytes | None, ttl_ms: int) -> None:
            in_memory = self.runner.run(self.memory.save(key, value, expected=expected, ttl_ms=ttl_ms))
            in_redis = self.runner.run(self.redis.save(key, value, expected=expected, ttl_ms=ttl_ms))
            assert in_redis is in_memory

    return Twins


def test_memory_and_redis_answer_alike(redis_url: str) -> None:
    """Whatever is done to both stores, in whatever order, they give the same answers."""
    run_state_machine_as_test(
        _twins(redis_url),
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
