"""What is looked after now and then, in every worker: each task finds out by itself what there is to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

from ussd_engine.logs import describe

log = structlog.get_logger(__name__)

EVERY_S = 30.0

Tasks = Mapping[str, Callable[[], Awaitable[None]]]


@asynccontextmanager
async def maintained(tasks: Tasks, every_s: float = EVERY_S) -> AsyncIterator[None]:
    """Run all tasks, by name, at the start and then again and again while the block lasts."""
    loop = asyncio.create_task(_run(tasks, every_s))
    try:
        yield
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def _run(tasks: Tasks, every_s: float) -> None:
    while True:
        for name, task in tasks.items():
            try:
                await task()
            except Exception as error:  # noqa: BLE001 - the next round tries again
                log.error("maintenance_failed", task=name, **describe(error))  # noqa: TRY400 - wordless
        await asyncio.sleep(every_s)
