"""What the mobile operator knows of a phone number, asked before a date of birth counts for anything.

A SIM that was swapped just now, or a number that somebody else has had since the bank took it down, is not in the hand
of the bank's customer, whatever its present owner knows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import structlog

from ussd_engine.errors import NumberChecksUnavailable
from ussd_engine.logs import describe

if TYPE_CHECKING:
    from datetime import date

    from ussd_engine.ports import NumberChecks

log = structlog.get_logger(__name__)


class NumberGate:
    """`when_unavailable` is the answer where the operator gives none, or cannot be asked."""

    def __init__(
        self,
        checks: NumberChecks,
        *,
        sim_swap_within_h: int,
        when_unavailable: Literal["allow", "refuse"],
    ) -> None:
        self._checks = checks
        self._within_h = sim_swap_within_h
        self._when_unavailable = when_unavailable

    async def refuses(self, phone_number: str, since: date | None) -> str | None:
        """Why this number is refused: sim_swapped, number_recycled, number_checks_unavailable. None: it is not.

        `since` is from when the bank knows its customer under the number; None where the bank does not tell.
        """
        swapped, recycled = await asyncio.gather(
            self._swapped(phone_number), self._recycled(phone_number, since)
        )
        return swapped or recycled

    async def _swapped(self, phone_number: str) -> str | None:
        try:
            swapped = await self._checks.sim_swapped(phone_number, self._within_h)
        except Exception as error:  # noqa: BLE001 - an adapter's fault is no answer either
            return self._unavailable("sim_swap", error)
        return "sim_swapped" if swapped else None

    async def _recycled(self, phone_number: str, since: date | None) -> str | None:
        try:
            recycled = await self._checks.recycled(phone_number, since)
        except Exception as error:  # noqa: BLE001 - an adapter's fault is no answer either
            return self._unavailable("number_recycling", error)
        return "number_recycled" if recycled else None

    def _unavailable(self, check: str, error: Exception) -> str | None:
        known = isinstance(error, NumberChecksUnavailable)
        fault = {} if known else describe(error)
        log.warning("number_check_unavailable", check=check, then=self._when_unavailable, **fault)
        return "number_checks_unavailable" if self._when_unavailable == "refuse" else None
