"""A deadline that holds whatever the work is stuck in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger(__name__)


class TooLate(TimeoutError):
    """The time of `within` was up; not to be taken for a timeout that the work itself met."""


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or TooLate at once when the time is up.

    `asyncio.timeout` waits until what it has cancelled has ended, and a call that stands in another thread, such
    as a locked database, ends only when it will. Here it is cancelled and left behind.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_left_behind)
    if not task.done():
        raise TooLate
    return task.result()


def _left_behind(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.warning("late_failure", error=type(task.exception()).__name__)
