"""A deadline that holds whatever the work is stuck in."""

from __future__ import annotations

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

from ussd_engine.services.deadline import within


async def test_work_that_is_done_in_time_gives_its_result() -> None:
    """What ends in time is as if there were no deadline, errors included."""

    async def work(error: Exception | None) -> str:
        await asyncio.sleep(0)
        if error:
            raise error
        return "done"

    assert await within(5, work(None)) == "done"
    with pytest.raises(LookupError):
        await within(5, work(LookupError()))


async def test_work_that_is_stuck_in_a_thread_does_not_hold_the_caller() -> None:
    """The caller goes on while the thread still stands; what it fails with later is logged without its words."""
    release = threading.Event()

    async def work() -> None:
        try:
            await asyncio.to_thread(release.wait)
        finally:
            stuck = asyncio.ensure_future(asyncio.to_thread(release.wait))
            await asyncio.shield(stuck)
            raise LookupError("Jane Sample")

    with capture_logs() as logs:
        with pytest.raises(TimeoutError):
            await within(0.05, work())
        assert not release.is_set()
        release.set()
        while not logs:
            await asyncio.sleep(0.01)
    assert [(entry["event"], entry["error"]) for entry in logs] == [("late_failure", "LookupError")]


async def test_a_caller_that_is_cancelled_cancels_the_work() -> None:
    """Nothing goes on for somebody who has gone."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    caller = asyncio.create_task(within(60, work()))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await ended.wait()
