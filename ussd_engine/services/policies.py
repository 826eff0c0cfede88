"""What the policy of the USSD role allows: which actions, which KYC tier, how many openings a day.

A subscriber acts under the role, on the phone as well as through a program. The rules come from the settings and
stand in the database too, where the bank's people see what holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from ussd_engine.errors import NotAllowed
from ussd_engine.platform.reference import USSD_POLICY_ID
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import operations, policy_counters

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import ColumnElement, Connection


@dataclass(frozen=True, slots=True)
class Policy:
    """`actions` are those of the flow language; `openings_per_day` counts days of UTC, None for no limit."""

    actions: frozenset[str]
    kyc_tier: int
    openings_per_day: int | None

    def rules(self) -> dict[str, Any]:
        """As plain data, the same for the same policy."""
        return {
            "actions": sorted(self.actions),
            "kyc_tiers": [self.kyc_tier],
            "openings_per_day": self.openings_per_day,
        }

    def require(self, action: str) -> None:
        """Raises NotAllowed."""
        if action not in self.actions:
            raise NotAllowed(f"the policy of the USSD role does not allow '{action}'")

    def count_opening(self, connection: Connection, operation_id: str, now: datetime) -> bool:
        """Count one opening of today, within the caller's transaction. False when there is no room for it."""
        if self.openings_per_day is None:
            return True
        table, day = policy_counters, now.date()
        today = {"policy_id": USSD_POLICY_ID, "action": "account.open", "day": day}
        insert_if_absent(connection, table, **today, used=0)
        room = _openings_of(day) & (table.c.used < self.openings_per_day)
        counted = connection.execute(update(table).where(room).values(used=table.c.used + 1)).rowcount == 1
        if counted:
            connection.execute(
                update(operations).where(operations.c.id == operation_id).values(counted_on=day)
            )
        return counted


def give_back(connection: Connection, operation_id: str) -> None:
    """Make room again for the opening that came to nothing, on the day that it was counted; once."""
    mine = (operations.c.id == operation_id) & operations.c.counted_on.is_not(None)
    day = connection.execute(select(operations.c.counted_on).where(mine).with_for_update()).scalar()
    if day is None:
        return
    connection.execute(update(operations).where(mine).values(counted_on=None))
    table = policy_counters
    connection.execute(update(table).where(_openings_of(day)).values(used=table.c.used - 1))


def _openings_of(day: date) -> ColumnElement[bool]:
    table = policy_counters.c
    return (table.policy_id == USSD_POLICY_ID) & (table.action == "account.open") & (table.day == day)
