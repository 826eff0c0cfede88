"""Is this caller a subscriber, and how an existing customer of the bank becomes one."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Literal

from ussd_engine.errors import BankUnavailable
from ussd_engine.platform import customers
from ussd_engine.platform.customers import LIVE, KnownCustomer, Person
from ussd_engine.platform.operations import Channel, Claim, Operation
from ussd_engine.ports import Found, NotFound
from ussd_engine.services.operations import OperationPending, Procedure, Refused, Success

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from ussd_engine.platform.database import Database
    from ussd_engine.ports import CoreBanking, Holder
    from ussd_engine.services.admission import Admission
    from ussd_engine.services.operations import Operations
    from ussd_engine.services.workflows import Json, Workflows

SMS: Mapping[str, str] = {
    "success": "subscription_received",
    "refused": "subscription_failed",
    "failed": "subscription_failed",
}
NO_DATE = b"0000-00-00"
"""Compared against when the bank holds no date of birth: it takes as long as a wrong one, and never matches."""


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """`customer_id` and `user_id` are the platform's; `language` is the user's own."""

    status: Literal["subscribed", "pending_approval", "existing_customer", "new_customer"]
    exists_on_cbs: bool
    language: str | None = None
    customer_id: str | None = None
    user_id: str | None = None

    @property
    def subscribed(self) -> bool:
        return self.status == "subscribed"


@dataclass(frozen=True, slots=True)
class RegisterSubscription:
    phone_number: str = field(repr=False)
    date_of_birth: date = field(repr=False)
    language: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class Registered:
    """Recorded, and staged for approval as `change_id`."""

    customer_id: str
    user_id: str
    change_id: str


class Subscriptions:
    def __init__(
        self,
        database: Database,
        bank: CoreBanking,
        workflows: Workflows,
        operations: Operations,
        admission: Admission,
    ) -> None:
        self._database = database
        self._bank = bank
        self._workflows = workflows
        self._operations = operations
        self._admission = admission

    async def check(self, phone_number: str) -> SubscriptionStatus:
        """Where this phone number stands. Raises BankUnavailable when only the bank could tell."""
        known, waiting = await customers.standing(self._database, phone_number)
        if known and known.user_status == "active":
            return _status("subscribed", known)
        if waiting or (known and known.user_status == "pending"):
            return _status("pending_approval", known)
        match await self._bank.search_by_phone(phone_number):
            case Found():
                return SubscriptionStatus("existing_customer", exists_on_cbs=True)
            case NotFound():
                return SubscriptionStatus("new_customer", exists_on_cbs=False)

    async def register(
        self, workflow_id: str, request: RegisterSubscription, *, wait_s: float
    ) -> Registered | OperationPending:
        """Register an existing customer of the bank; the same workflow id never registers twice.

        Raises CustomerNotFound, IdentityNotVerified (a wrong date of birth and an absent one look the same),
        AlreadySubscribed, BankUnavailable.
        """
        payload = {
            "workflow_id": workflow_id,
            "phone_number": request.phone_number,
            "date_of_birth": request.date_of_birth.isoformat(),
            "language": request.language,
            "channel": request.channel,
        }
        done = await self._operations.perform(_claim(payload), payload, wait_s=wait_s)
        if isinstance(done, OperationPending):
            return done
        return Registered(done["customer_id"], done["user_id"], done["change_id"])

    async def workflow(self, payload: Json) -> Json:
        """The durable body, registered as `subscription.register`."""

        async def record(
            connection: AsyncConnection, operation: Operation, ending: Json, now: datetime
        ) -> Success | Refused:
            return await self._record(connection, operation, ending, payload["language"], now)

        procedure = Procedure(
            claim=_claim(payload),
            story=lambda: self._story(payload),
            record=record,
            sms=SMS,
            language=payload["language"],
            values=_sms_values,
        )
        return await self._operations.conduct(procedure)

    async def _story(self, payload: Json) -> Json:
        phone = payload["phone_number"]
        if (await self._workflows.step("get_customer_by_phone_number", lambda: self._is_live(phone)))["live"]:
            return {"kind": "refused", "code": "already_subscribed"}
        found = await self._workflows.step("customer_search_cbs", lambda: search_cbs(self._bank, phone))
        match found["kind"]:
            case "unavailable":
                return {"kind": "failed", "code": "cbs_unavailable"}
            case "not_found":
                return {"kind": "refused", "code": "customer_not_found"}
        return await self._workflows.step(
            "account_details_cbs", lambda: self._verify(found["customer_ref"], payload["date_of_birth"])
        )

    async def _is_live(self, phone_number: str) -> Json:
        async with self._database.read() as connection:
            known = await customers.get_customer_by_phone_number(connection, phone_number)
        return {"live": bool(known and known.user_status in LIVE)}

    async def _verify(self, customer_ref: str, date_of_birth: str) -> Json:
        """The gate: the holder's data leaves this step only when the date of birth is right."""
        try:
            holder = await self._bank.account_details(customer_ref)
        except BankUnavailable:
            return {"kind": "failed", "code": "cbs_unavailable"}
        if isinstance(holder, NotFound):
            return {"kind": "refused", "code": "customer_not_found"}
        if not same_date_of_birth(holder.date_of_birth, date.fromisoformat(date_of_birth)):
            return {"kind": "refused", "code": "identity_not_verified"}
        return {"kind": "success", "holder": _holder_fields(holder)}

    async def _record(
        self, connection: AsyncConnection, operation: Operation, ending: Json, language: str, now: datetime
    ) -> Success | Refused:
        """`register_ussd_customer`: customer and user linked, profile and contact filled from the bank."""
        person = _person(ending["holder"], operation.phone_number)
        # Here and not before: only within the transaction is it certain that nobody else was faster.
        if await customers.has_live_user(connection, person):
            return Refused("already_subscribed")
        admitted = await self._admission.admit(connection, operation, person, language, now)
        result = {
            "customer_id": admitted.customer_id,
            "user_id": admitted.user_id,
            "change_id": admitted.change_id,
        }
        return Success(result, "subscription_active" if admitted.active else None)


def same_date_of_birth(held: date | None, given: date) -> bool:
    """In constant time, and never for a customer whose date of birth the bank does not have."""
    at_bank = held.isoformat().encode() if held else NO_DATE
    return hmac.compare_digest(at_bank, given.isoformat().encode()) and held is not None


async def search_cbs(bank: CoreBanking, phone_number: str) -> Json:
    """A step: what the bank knows of the number, as plain data."""
    try:
        found = await bank.search_by_phone(phone_number)
    except BankUnavailable:
        return {"kind": "unavailable"}
    match found:
        case Found(customer_ref):
            return {"kind": "found", "customer_ref": customer_ref}
        case NotFound():
            return {"kind": "not_found"}


def _claim(payload: Json) -> Claim:
    return Claim(
        "subscription.register",
        payload["phone_number"],
        payload["workflow_id"],
        payload["channel"],
        payload["date_of_birth"],
    )


def _status(
    status: Literal["subscribed", "pending_approval"], known: KnownCustomer | None
) -> SubscriptionStatus:
    """Of a customer that the platform knows, which it has from the bank; or of an opening that still runs."""
    if known is None:
        return SubscriptionStatus(status, exists_on_cbs=False)
    return SubscriptionStatus(
        status,
        exists_on_cbs=True,
        language=known.language,
        customer_id=known.customer_id,
        user_id=known.user_id,
    )


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
    }


def _person(fields: Json, phone_number: str) -> Person:
    """The phone number is the one that dialled and that the bank found the holder by."""
    return Person(
        bank_ref=fields["bank_ref"],
        phone_number=phone_number,
        first_name=fields["first_name"],
        last_name=fields["last_name"],
        date_of_birth=date.fromisoformat(fields["date_of_birth"]),
        national_id=fields["national_id"],
        gender=fields["gender"],
        email=fields["email"],
        account_numbers=tuple(fields["account_numbers"]),
        product=None,
        source="bank",
    )


def _sms_values(ending: Json) -> Mapping[str, str]:
    return {"first_name": ending["holder"]["first_name"]} if "holder" in ending else {}
