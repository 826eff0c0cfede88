"""Is this caller a subscriber, and how an existing customer of the bank becomes one.

Before the date of birth is looked at, the attempt is counted, against the phone number and against the customer, and
the number itself may be checked. Whatever stands against a registration then, the answer is the same.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Literal

from ussd_engine.platform import changes, customers, gate
from ussd_engine.platform.customers import LIVE, KnownCustomer, Person
from ussd_engine.platform.operations import Channel, Claim, Kind, Operation
from ussd_engine.ports import Found, NotFound
from ussd_engine.services.bank import details_cbs, search_cbs
from ussd_engine.services.operations import FAULT, OperationPending, Procedure, Refused, Success

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.customers import Directory
    from ussd_engine.platform.database import Database
    from ussd_engine.ports import Clock, CoreBanking, Holder
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.admission import Admission
    from ussd_engine.services.number_gate import NumberGate
    from ussd_engine.services.operations import Operations
    from ussd_engine.services.policies import Policy
    from ussd_engine.services.workflows import Json, Workflows

ACTION: Kind = "subscription.register"
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
    maker: str


@dataclass(frozen=True, slots=True)
class Registered:
    """Recorded, and staged for approval as `change_id`."""

    customer_id: str
    user_id: str
    change_id: str


class Subscriptions:
    """`limit` is the gate's; `numbers` asks about a phone number before the gate, None where nobody is asked."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        bank: CoreBanking,
        directory: Directory,
        policy: Policy,
        limit: gate.Limit,
        numbers: NumberGate | None,
        workflows: Workflows,
        operations: Operations,
        admission: Admission,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._bank = bank
        self._directory = directory
        self._policy = policy
        self._limit = limit
        self._numbers = numbers
        self._workflows = workflows
        self._operations = operations
        self._admission = admission

    async def check(self, phone_number: str) -> SubscriptionStatus:
        """Where this phone number stands. Raises NotAllowed, and BankUnavailable when only the bank could tell."""
        self._policy.require("subscription.check")
        standing = await self._directory.standing(self._database, phone_number)
        known = standing.known
        if standing.contested:
            return await self._database.read(lambda c: self._waiting(c, phone_number, known))
        if known and known.user_status == "active":
            return _status("subscribed", known)
        if standing.unfinished or (known and known.user_status == "pending"):
            return _status("pending_approval", known)
        match await self._bank.search_by_phone(phone_number):
            case Found():
                return SubscriptionStatus("existing_customer", exists_on_cbs=True)
            case NotFound():
                return SubscriptionStatus("new_customer", exists_on_cbs=False)

    def _waiting(
        self, connection: Connection, phone_number: str, known: KnownCustomer | None
    ) -> SubscriptionStatus:
        """With the customer and the user that the number will have."""
        change = changes.admission_of(connection, self._keys, phone_number)
        if change is None or change.entity != "customers":
            return _status("pending_approval", known)
        user = change.after["user"]
        return SubscriptionStatus(
            "pending_approval",
            exists_on_cbs=True,
            language=user["language"],
            customer_id=change.entity_id,
            user_id=user["id"],
        )

    async def register(
        self, workflow_id: str, request: RegisterSubscription, *, wait_s: float
    ) -> Registered | OperationPending:
        """Register an existing customer of the bank; the same workflow id never registers twice.

        Raises CustomerNotFound, IdentityNotVerified (a wrong date of birth, an absent one and a locked gate look the
        same), AlreadySubscribed, NotAllowed, BankUnavailable.
        """
        self._policy.require(ACTION)
        payload = {
            "workflow_id": workflow_id,
            "phone_number": request.phone_number,
            "date_of_birth": request.date_of_birth.isoformat(),
            "language": request.language,
            "channel": request.channel,
            "maker": request.maker,
        }
        done = await self._operations.perform(_claim(payload), wait_s=wait_s)
        if isinstance(done, OperationPending):
            return done
        return Registered(done["customer_id"], done["user_id"], done["change_id"])

    async def workflow(self, payload: Json) -> Json:
        """The durable body, registered as `subscription.register`."""
        procedure = Procedure(
            claim=_claim(payload),
            story=lambda operation: self._story(operation, payload["date_of_birth"]),
            fault=FAULT,
            record=lambda connection, operation, ending, now: self._record(
                connection, operation, ending, payload, now
            ),
            settle=self._settle,
            sms=SMS,
            language=payload["language"],
            values=_sms_values,
        )
        return await self._operations.conduct(procedure)

    async def _story(self, operation: Operation, date_of_birth: str) -> Json:
        phone = operation.phone_number
        found = await search_cbs(self._bank, phone)
        match found["kind"]:
            case "unavailable":
                return {"kind": "failed", "code": "cbs_unavailable"}
            case "not_found":
                return {"kind": "refused", "code": "customer_not_found"}
        customer_ref = found["customer_ref"]
        live = await self._workflows.insist(
            lambda: self._database.read(lambda c: self._is_live(c, phone, customer_ref))
        )
        if live:
            return {"kind": "refused", "code": "already_subscribed"}
        subjects = self._subjects(phone, customer_ref)
        reserved = await self._workflows.insist(
            lambda: self._database.write(
                lambda c: gate.reserve(c, operation.id, subjects, self._limit, self._clock.now())
            )
        )
        ending = await self._verify(phone, customer_ref, date.fromisoformat(date_of_birth), reserved=reserved)
        return {**ending, "subjects": subjects}

    def _is_live(self, connection: Connection, phone_number: str, customer_ref: str) -> bool:
        """Whether the bank's customer has a user here already, under this phone number.

        A user under the number that is another customer's is no answer: somebody else has the number now, or had it.
        """
        by_ref = customers.by_bank_ref(connection, customer_ref)
        if by_ref is None or by_ref.user_status not in LIVE:
            return False
        by_phone = self._directory.by_phone_number(connection, phone_number)
        return by_phone is not None and by_phone.customer_id == by_ref.customer_id

    async def _verify(self, phone_number: str, customer_ref: str, born: date, *, reserved: bool) -> Json:
        """The gate: the holder's data leaves here only when the date of birth is right and the gate is open.

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

    def _settle(self, connection: Connection, operation: Operation, ending: Json, now: datetime) -> None:
        if "gate" in ending:
            gate.settle(connection, operation.id, ending["subjects"], ending["gate"], now)

    def _subjects(self, phone_number: str, customer_ref: str) -> list[str]:
        return [
            self._keys.digest("gate", "phone", phone_number),
            self._keys.digest("gate", "customer", customer_ref),
        ]

    def _record(
        self, connection: Connection, operation: Operation, ending: Json, payload: Json, now: datetime
    ) -> Success | Refused:
        """`register_ussd_customer`: customer and user linked, profile and contact filled from the bank."""
        person = _person(ending["holder"], operation.phone_number)
        # Here and not before: only within the transaction is it certain that nobody else was faster.
        if self._is_live(connection, person.phone_number, person.bank_ref):
            return Refused("already_subscribed")
        language, maker = payload["language"], str(payload.get("maker", payload["channel"]))
        admitted = self._admission.admit(connection, operation, person, language, maker, now)
        if admitted is None:
            return Refused("already_subscribed")
        result = {
            "customer_id": admitted.customer_id,
            "user_id": admitted.user_id,
            "change_id": admitted.change_id,
        }
        return Success(result, "subscription_active" if admitted.active else None, admitted.audit)


def same_date_of_birth(held: date | None, given: date) -> bool:
    """In constant time, and never for a customer whose date of birth the bank does not have."""
    at_bank = held.isoformat().encode() if held else NO_DATE
    return hmac.compare_digest(at_bank, given.isoformat().encode()) and held is not None


def _claim(payload: Json) -> Claim:
    return Claim(
        kind=ACTION,
        phone_number=payload["phone_number"],
        workflow_id=payload["workflow_id"],
        channel=payload["channel"],
        asked=None,  # a date of birth that joins the one under way would be known to be the same, uncounted
        request=payload,
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
        "passport": holder.passport,
        "customer_number": holder.customer_number,
        "further_phones": list(holder.further_phones),
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
        kyc_tier=None,
        source="bank",
        passport=fields["passport"],
        customer_number=fields["customer_number"],
        further_phones=tuple(fields["further_phones"]),
    )


def _sms_values(ending: Json) -> Mapping[str, str]:
    return {"first_name": ending["holder"]["first_name"]} if "holder" in ending else {}
