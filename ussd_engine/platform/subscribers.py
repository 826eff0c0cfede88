"""What a subscriber sees of the own record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from ussd_engine.platform.tables import accounts, profiles

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Subscriber:
    """`account_numbers` are the platform's own records, oldest first."""

    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    account_numbers: tuple[str, ...] = field(repr=False)


def get(connection: Connection, customer_id: str) -> Subscriber | None:
    """None for a customer without a profile."""
    wanted = select(profiles.c.first_name, profiles.c.last_name).where(profiles.c.customer_id == customer_id)
    names = connection.execute(wanted).first()
    if names is None:
        return None
    numbers = connection.execute(
        select(accounts.c.account_number)
        .where(accounts.c.customer_id == customer_id)
        .order_by(accounts.c.created_at, accounts.c.account_number)
    )
    return Subscriber(names[0], names[1], tuple(row[0] for row in numbers))
