"""Is this caller a subscriber, and how an existing customer of the bank becomes one, by the date of birth."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Literal

from ussd_engine.platform import changes
from ussd_engine.platform.customers import LIVE, Person
from ussd_engine.platform.directory import KnownCustomer, by_bank_ref
from ussd_engine.platform.operations import Channel, Claim, Kind, Operation
from ussd_engine.ports import Found, NotFound
from ussd_engine.services.birth_date_gate import settle
from ussd_engine.services.operations import FAULT, OperationPending, Procedure, Refused, Success

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.database import Database
    from ussd_engine.platform.directory import Directory
    from ussd_engine.ports import CoreBanking
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.admission import Admission
    from ussd_engine.services.birth_date_gate import BirthDateGate
    from ussd_engine.services.operations import Operations
    from ussd_engine.services.policies import Policy
    from ussd_engine.services.workflows import Json

ACTION: Kind = "subscription.register"
SMS: Mapping[str, str] = {
    "success": "subscription_received",
    "refused": "subscription_failed",
    "failed": "subscription_failed",
}


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
    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        bank: CoreBanking,
        directory: Directory,
        policy: Policy,
        gate: BirthDateGate,
        operations: Operations,
        admission: Admission,
    ) -> None:
        self._database = database
        self._keys = keys
        self._bank = bank
        self._directory = directory
        self._policy = policy
        self._gate = gate
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
            story=lambda operation: self._gate.verify(operation, payload["date_of_birth"], self._against),
            fault=FAULT,
            record=lambda connection, operation, ending, now: self._record(
                connection, operation, ending, payload, now
            ),
            settle=settle,
            sms=SMS,
            language=payload["language"],
            values=_sms_values,
        )
        return await self._operations.conduct(procedure)

    def _against(self, connection: Connection, phone_number: str, customer_ref: str) -> str | None:
        return "already_subscribed" if self._is_live(connection, phone_number, customer_ref) else None

    def _is_live(self, connection: Connection, phone_number: str, customer_ref: str) -> bool:
        """Whether the bank's customer has a user here already, under this phone number.

        A user under the number that is another customer's is no answer: somebody else has the number now, or had it.
        """
        by_ref = by_bank_ref(connection, customer_ref)
        if by_ref is None or by_ref.user_status not in LIVE:
            return False
        by_phone = self._directory.by_phone_number(connection, phone_number)
        return by_phone is not None and by_phone.customer_id == by_ref.customer_id

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
