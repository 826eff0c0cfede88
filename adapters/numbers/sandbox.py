"""A mobile operator to play with: some numbers behave specially, every other is as it always was.

=================  ========================================================
``+254700000011``  its SIM was swapped an hour ago
``+254700000012``  was given to another subscriber a month ago
``+254700000013``  the operator does not answer
=================  ========================================================
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ussd_engine.errors import NumberChecksUnavailable

if TYPE_CHECKING:
    from datetime import date

    from ussd_engine.ports import Clock

SWAPPED: Final = "+254700000011"
RECYCLED: Final = "+254700000012"
UNAVAILABLE: Final = "+254700000013"
SWAPPED_H_AGO: Final = 1
RECYCLED_AGO: Final = timedelta(days=30)


class SandboxNumberChecks:
    """Port `NumberChecks`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def sim_swapped(self, phone_number: str, within_h: int) -> bool:
        _reach(phone_number)
        return phone_number == SWAPPED and within_h >= SWAPPED_H_AGO

    async def recycled(self, phone_number: str, since: date | None) -> bool:
        _reach(phone_number)
        if since is None:
            raise NumberChecksUnavailable("the bank does not tell since when it knows the number")
        return phone_number == RECYCLED and since < (self._clock.now() - RECYCLED_AGO).date()

    async def close(self) -> None:
        """There is nothing to close."""


def _reach(phone_number: str) -> None:
    if phone_number == UNAVAILABLE:
        raise NumberChecksUnavailable("the sandbox operator does not answer for this number")
