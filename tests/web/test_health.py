"""Liveness and readiness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ussd_engine.errors import StoreUnavailable

if TYPE_CHECKING:
    from tests.web.conftest import Front


async def test_a_living_process_says_so(front: Front) -> None:
    """Liveness asks nobody else: a bank that is down is no reason to kill this process."""
    front.failing["store"] = StoreUnavailable("down")
    assert (await front.call("GET", "/healthz")).json == {"status": "ok"}


async def test_ready_when_everything_answers(front: Front) -> None:
    """A load balancer sends callbacks here when all parts answer."""
    reply = await front.call("GET", "/readyz")
    assert (reply.status, reply.json) == (
        200,
        {"status": "ready", "checks": {"store": "ok", "database": "ok"}},
    )


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (StoreUnavailable("redis.sample:6379"), "store_unavailable"),
        (OSError("redis.sample:6379"), "OSError"),
        (TimeoutError(), "timeout"),
    ],
)
async def test_not_ready_names_the_part(front: Front, error: Exception, shown: str) -> None:
    """An operator reads which part fails, and nobody reads where it lives."""
    front.failing["store"] = error
    reply = await front.call("GET", "/readyz")
    assert (reply.status, reply.json) == (
        503,
        {"status": "not_ready", "checks": {"store": shown, "database": "ok"}},
    )
    assert "redis.sample" not in repr(front.logs)


async def test_head_is_taken(front: Front) -> None:
    """Probes that ask with HEAD get the same status."""
    assert (await front.call("HEAD", "/readyz")).status == 200
