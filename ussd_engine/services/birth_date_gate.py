"""The gate by date of birth: who is a customer of the bank must tell it, to register and to choose a PIN.

Before the date of birth is looked at, the attempt is counted, against the phone number and against the customer, and
the number itself may be checked. Whatever stands against the attempt then, the answer is the same.
"""

from __future__ import annotations

import hmac
from datetime import date
from typing import TYPE_CHECKING

from ussd_engine.platform import gate
from ussd_engine.ports import NotFound
from ussd_engine.services.bank import details_cbs, search_cbs

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.database import Database
    from ussd_engine.platform.operations import Operation
    from ussd_engine.ports import Clock, CoreBanking, Holder
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.number_gate import NumberGate
    from ussd_engine.services.workflows import Json, Workflows

NO_DATE = b"0000-00-00"
"""Compared against when the bank holds no date of birth: it takes as long as a wrong one, and never matches."""


class BirthDateGate:
    """`limit` is that of wrong answers; `numbers` asks about a phone number first, None where nobody is asked."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        bank: CoreBanking,
        limit: gate.Limit,
        numbers: NumberGate | None,
        workflows: Workflows,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._bank = bank
        self._limit = limit
        self._numbers = numbers
        self._workflows = workflows

    async def verify(
        self,
        operation: Operation,
        date_of_birth: str,
        against: Callable[[Connection, str, str], str | None],
    ) -> Json:
        """The story of an operation: a success holds what the bank has of the `holder`. `settle` records what it cost.

        `against` is given the phone number and the bank's id of the customer with that number, and answers the code
        of what stands against the operation whatever the date of birth is; nothing is counted then.
        """
        phone = operation.phone_number
        found = await search_cbs(self._bank, phone)
        match found["kind"]:
            case "unavailable":
                return {"kind": "failed", "code": "cbs_unavailable"}
            case "not_found":
                return {"kind": "refused", "code": "customer_not_found"}
        customer_ref = found["customer_ref"]
        code = await self._workflows.insist(
            lambda: self._database.read(lambda c: against(c, phone, customer_ref))
        )
        if code is not None:
            return {"kind": "refused", "code": code}
        subjects = self._subjects(phone, customer_ref)
        reserved = await self._workflows.insist(
            lambda: self._database.write(
                lambda c: gate.reserve(c, operation.id, subjects, self._limit, self._clock.now())
            )
        )
        ending = await self._compare(
            phone, customer_ref, date.fromisoformat(date_of_birth), reserved=reserved
        )
        return {**ending, "subjects": subjects}

    async def _compare(self, phone_number: str, customer_ref: str, born: date, *, reserved: bool) -> Json:
        """The holder's data leaves here only when the date of birth is right and the gate is open.

        A locked gate asks and compares as well, so that its answer takes as long. `gate` is what becomes of the
        attempt that was counted.
        """
        holder = await details_cbs(self._bank, customer_ref)
        if holder is None:
            return {"kind": "failed", "code": "cbs_unavailable", "gate": "released"}
        if isinstance(holder, NotFound):
            return {"kind": "refused", "code": "customer_not_found", "gate": "released"}
        against = await self._numbers.refuses(phone_number, holder.since) if self._numbers else None
        right = same_date_of_birth(holder.date_of_birth, born)
        refused = {"kind": "refused", "code": "identity_not_verified"}
        if not reserved:
            return {**refused, "reason": "gate_locked"}
        if against is not None:
            return {**refused, "reason": against, "gate": "released"}
        if not right:
            return {**refused, "gate": "failed"}
        return {"kind": "success", "holder": _holder_fields(holder), "gate": "passed"}

    def _subjects(self, phone_number: str, customer_ref: str) -> list[str]:
        return [
            self._keys.digest("gate", "phone", phone_number),
            self._keys.digest("gate", "customer", customer_ref),
        ]


def settle(connection: Connection, operation: Operation, ending: Json, now: datetime) -> None:
    """What an attempt cost, in the transaction that records its ending."""
    if "gate" in ending:
        gate.settle(connection, operation.id, ending["subjects"], ending["gate"], now)


def same_date_of_birth(held: date | None, given: date) -> bool:
    """In constant time, and never for a customer whose date of birth the bank does not have."""
    at_bank = held.isoformat().encode() if held else NO_DATE
    return hmac.compare_digest(at_bank, given.isoformat().encode()) and held is not None


def _holder_fields(holder: Holder) -> Json:
    return {
        "bank_ref": holder.customer_ref,
        "first_name": holder.first_name,
        "last_name": holder.last_name,
        "date_of_birth": holder.date_of_birth.isoformat() if holder.date_of_birth else None,
        "national_id": holder.national_id,
        "gender": holder.gender,
        "email": holder.email,
        "account_numbers": list(holder.account_numbers),
        "passport": holder.passport,
        "customer_number": holder.customer_number,
        "further_phones": list(holder.further_phones),
    }
