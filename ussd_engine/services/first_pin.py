"""How a subscriber without a PIN chooses one: who tells the date of birth that the bank holds, as for a registration.

The phone alone is not enough: whoever has it in the hand could choose the PIN. So it is an operation as a registration
is, with the same gate before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ussd_engine.errors import CustomerNotFound
from ussd_engine.platform import pins
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.directory import by_bank_ref
from ussd_engine.platform.operations import Claim, Kind, Operation
from ussd_engine.services.birth_date_gate import settle
from ussd_engine.services.operations import FAULT, OperationPending, Procedure, Refused, Success
from ussd_engine.services.pin_hashes import hashed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.database import Database
    from ussd_engine.platform.directory import Directory
    from ussd_engine.ports import Clock
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.birth_date_gate import BirthDateGate
    from ussd_engine.services.operations import Operations
    from ussd_engine.services.pin_hashes import HashRoom
    from ussd_engine.services.policies import Policy
    from ussd_engine.services.workflows import Json

SET: Kind = "pin.set"
"""The action, its workflow and its kind of operation."""
SMS: Mapping[str, str] = {"success": "pin_set", "refused": "pin_not_set", "failed": "pin_not_set"}


@dataclass(frozen=True, slots=True)
class FirstPin:
    phone_number: str = field(repr=False)
    date_of_birth: date = field(repr=False)
    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FirstPins:
    """For active users who have no PIN, or none any more."""

    gate: BirthDateGate
    operations: Operations
    hashes: HashRoom
    policy: Policy
    directory: Directory
    database: Database
    keys: KeyRing
    clock: Clock

    async def choose(self, workflow_id: str, asked: FirstPin, *, wait_s: float) -> OperationPending | None:
        """None when the PIN is set; the same workflow id sets it once.

        Raises CustomerNotFound where nobody is subscribed by this number, or not who has it at the bank;
        IdentityNotVerified (a wrong date of birth, an absent one and a locked gate look the same), PinExists,
        NotAllowed, Busy, BankUnavailable, DatabaseUnavailable.
        """
        self.policy.require(SET)
        deadline = self.clock.monotonic() + wait_s
        known = await self.database.read(lambda c: self.directory.subscriber(c, asked.phone_number))
        if known is None:
            raise CustomerNotFound("nobody is subscribed by this phone number")
        hash_ = await self.hashes.computed(lambda: hashed(asked.pin), wait_s)
        payload = {
            "workflow_id": workflow_id,
            "phone_number": asked.phone_number,
            "date_of_birth": asked.date_of_birth.isoformat(),
            "hash": hash_,
            "language": known.language,
        }
        left = max(deadline - self.clock.monotonic(), 0.0)
        done = await self.operations.perform(_claim(payload), wait_s=left)
        return done if isinstance(done, OperationPending) else None

    async def workflow(self, payload: Json) -> Json:
        """The durable body, registered under `SET`."""
        procedure = Procedure(
            claim=_claim(payload),
            story=lambda operation: self.gate.verify(operation, payload["date_of_birth"], self._against),
            fault=FAULT,
            record=lambda connection, operation, ending, now: self._record(
                connection, operation, ending, payload["hash"], now
            ),
            settle=settle,
            sms=SMS,
            language=payload["language"],
            values=_sms_values,
        )
        return await self.operations.conduct(procedure)

    def _against(self, connection: Connection, phone_number: str, customer_ref: str) -> str | None:
        user_id = self._user_id(connection, phone_number, customer_ref)
        if user_id is None:
            return "customer_not_found"
        return "pin_exists" if pins.find(connection, self.keys, user_id) else None

    def _user_id(self, connection: Connection, phone_number: str, customer_ref: str) -> str | None:
        """None where the bank's customer under the number is not the one who is subscribed by it."""
        at_bank = by_bank_ref(connection, customer_ref)
        here = self.directory.subscriber(connection, phone_number)
        same = at_bank is not None and here is not None and at_bank.customer_id == here.customer_id
        return here.user_id if here and same else None

    def _record(
        self, connection: Connection, operation: Operation, ending: Json, hash_: str, now: datetime
    ) -> Success | Refused:
        # Here once more: only within the transaction is it certain that nothing else has come between.
        user_id = self._user_id(connection, operation.phone_number, ending["holder"]["bank_ref"])
        if user_id is None:
            return Refused("customer_not_found")
        if not pins.keep(connection, self.keys, user_id, hash_, operation.workflow_id, now):
            return Refused("pin_exists")
        noted = AuditEntry(operation.channel, SET, "users", user_id, operation.workflow_id)
        return Success({}, None, (noted,))


def _claim(payload: Json) -> Claim:
    return Claim(
        kind=SET,
        phone_number=payload["phone_number"],
        workflow_id=payload["workflow_id"],
        channel="ussd",
        asked=None,  # as for a registration
        request=payload,
    )


def _sms_values(ending: Json) -> Mapping[str, str]:
    return {"first_name": ending["holder"]["first_name"]} if "holder" in ending else {}
