"""What the operator knows of a number, before the date of birth counts."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from adapters.numbers.sandbox import RECYCLED, SWAPPED, UNAVAILABLE, SandboxNumberChecks
from tests.web.parts import FixedClock
from ussd_engine.services.number_gate import NumberGate

if TYPE_CHECKING:
    from ussd_engine.ports import NumberChecks

SINCE = date(2020, 1, 1)


def gate(when_unavailable: Any = "refuse", checks: NumberChecks | None = None) -> NumberGate:
    return NumberGate(
        checks or SandboxNumberChecks(FixedClock()), sim_swap_within_h=72, when_unavailable=when_unavailable
    )


@pytest.mark.parametrize(
    ("phone", "since", "reason"),
    [
        ("+254711000001", SINCE, None),
        (SWAPPED, None, "sim_swapped"),
        ("+254711000001", None, "number_checks_unavailable"),
        (RECYCLED, SINCE, "number_recycled"),
        (RECYCLED, None, "number_checks_unavailable"),
        (UNAVAILABLE, SINCE, "number_checks_unavailable"),
    ],
)
async def test_a_number_in_other_hands_is_refused(phone: str, since: date | None, reason: str | None) -> None:
    """With the reason, for the audit log. Where the bank does not tell since when, nobody can ask about recycling."""
    assert await gate().refuses(phone, since) == reason


async def test_the_answer_for_a_silent_operator_is_configured() -> None:
    """A bank may prefer that nobody registers, or that registrations go on; a known swap is refused either way."""
    assert await gate("allow").refuses(UNAVAILABLE, SINCE) is None
    assert await gate("allow").refuses(RECYCLED, None) is None
    assert await gate("allow").refuses(SWAPPED, SINCE) == "sim_swapped"


async def test_a_fault_of_the_adapter_is_no_answer() -> None:
    """A check that breaks is as one that does not answer."""

    class Broken(SandboxNumberChecks):
        async def sim_swapped(self, phone_number: str, within_h: int) -> bool:
            raise KeyError(phone_number)

    assert (
        await gate(checks=Broken(FixedClock())).refuses("+254711000001", None) == "number_checks_unavailable"
    )
