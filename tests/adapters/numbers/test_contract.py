"""What every check of numbers does, the shipped fake included."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from ussd_engine.errors import NumberChecksUnavailable

if TYPE_CHECKING:
    from ussd_engine.ports import NumberChecks

LONG_AGO = date(2020, 1, 1)


@pytest.mark.parametrize(
    ("phone", "swapped"), [("+254700000011", True), ("+254700000012", False), ("+254711000001", False)]
)
async def test_a_swapped_sim_is_told(checks: NumberChecks, phone: str, swapped: bool) -> None:
    """Only the number that got another SIM within the hours that were asked for."""
    assert await checks.sim_swapped(phone, 240) is swapped


@pytest.mark.parametrize(
    ("phone", "since", "recycled"),
    [
        ("+254700000012", LONG_AGO, True),
        ("+254700000012", date(2026, 6, 30), False),
        ("+254700000011", LONG_AGO, False),
        ("+254711000001", LONG_AGO, False),
    ],
)
async def test_a_number_with_another_subscriber_is_told(
    checks: NumberChecks, phone: str, since: date, recycled: bool
) -> None:
    """Only when it was given away after the day that was asked for."""
    assert await checks.recycled(phone, since) is recycled


async def test_without_a_day_there_is_no_answer(checks: NumberChecks) -> None:
    """A bank that does not know since when it knows a number leaves the question open, and not answered with no."""
    with pytest.raises(NumberChecksUnavailable):
        await checks.recycled("+254711000001", None)
