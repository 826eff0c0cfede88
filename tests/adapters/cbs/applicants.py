"""Sample people who want an account."""

from __future__ import annotations

from datetime import date

from ussd_engine.ports import NewAccount


def applicant(phone_number: str, *, national_id: str | None = None) -> NewAccount:
    return NewAccount(
        phone_number=phone_number,
        first_name="Jo",
        last_name="Sample",
        date_of_birth=date(1995, 3, 4),
        national_id=national_id,
        gender="female",
        product="BASIC",
    )
