"""Delivery reports in, and the list of messages out: the staff's side of the outbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ussd_engine.platform import deliveries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ussd_engine.platform.database import Database
    from ussd_engine.platform.deliveries import Listed
    from ussd_engine.ports import Clock, DeliveryReport
    from ussd_engine.sealing import KeyRing

log = structlog.get_logger(__name__)

Standing = deliveries.Standing

MATCH_AGAIN_AFTER_S = (0.2, 0.5, 1.0, 2.0)
"""A report can come before the sender's answer is on record here, which is a matter of milliseconds. No sender
promises to repeat a report that was refused, so it is held for that long and not sent back."""


class Deliveries:
    """`tell_failures` lets operators know of what has failed."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        tell_failures: Callable[[], Awaitable[None]],
        match_again_after_s: Sequence[float] = MATCH_AGAIN_AFTER_S,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._tell_failures = tell_failures
        self._waits = match_again_after_s

    async def record(self, report: DeliveryReport) -> bool:
        """Note a report. False when it belongs to no message, which is logged and no fault of the caller."""
        for wait_s in (0.0, *self._waits):
            await asyncio.sleep(wait_s)
            if await self._noted(report):
                log.info(
                    "sms_reported",
                    sender_ref=report.sender_ref,
                    delivery=report.delivery,
                    failure=report.failure,
                )
                if report.delivery == "failed":
                    await self._tell_failures()
                return True
        log.warning("sms_report_unmatched", sender_ref=report.sender_ref, delivery=report.delivery)
        return False

    async def listed(self, standing: Standing | None, limit: int, before: str | None = None) -> list[Listed]:
        """The newest first; see `platform.deliveries.listed`."""
        return await self._database.read(
            lambda connection: deliveries.listed(connection, self._keys, standing, limit, before)
        )

    async def _noted(self, report: DeliveryReport) -> bool:
        return await self._database.write(
            lambda connection: deliveries.record_report(
                connection, report.sender_ref, report.delivery, report.failure, self._clock.now()
            )
        )
