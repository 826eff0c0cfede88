"""Opening an account at the bank for a new customer, at most once, whatever happens on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from ussd_engine.platform.customers import Person
from ussd_engine.platform.operations import Channel, Claim, Kind, Operation
from ussd_engine.ports import NewAccount
from ussd_engine.services.operations import (
    IN_DOUBT,
    OperationPending,
    Procedure,
    Refused,
    Success,
)
from ussd_engine.services.policies import give_back

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.database import Database
    from ussd_engine.platform.directory import Directory
    from ussd_engine.services.admission import Admission
    from ussd_engine.services.opening import Opening
    from ussd_engine.services.operations import Operations
    from ussd_engine.services.policies import Policy
    from ussd_engine.services.workflows import Json, Workflows

ACTION: Kind = "account.open"
SMS: Mapping[str, str] = {
    "success": "account_opened",
    "refused": "account_rejected",
    "failed": "account_failed",
    "in_doubt": "account_delayed",
}


@dataclass(frozen=True, slots=True)
class OpenAccountRequest:
    """`product` is the bank's product code; None leaves the choice to the bank's adapter. `maker` asks for it."""

    phone_number: str = field(repr=False)
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    date_of_birth: date = field(repr=False)
    language: str
    national_id: str | None = field(repr=False)
    gender: str | None
    product: str | None
    channel: Channel
    maker: str


@dataclass(frozen=True, slots=True)
class AccountOpened:
    """Open at the bank and staged here; `change_id` is the change that makes the customer's user active."""

    account_number: str
    customer_id: str
    change_id: str


class Accounts:
    def __init__(
        self,
        database: Database,
        directory: Directory,
        policy: Policy,
        workflows: Workflows,
        operations: Operations,
        opening: Opening,
        admission: Admission,
    ) -> None:
        self._database = database
        self._directory = directory
        self._policy = policy
        self._workflows = workflows
        self._operations = operations
        self._opening = opening
        self._admission = admission

    async def register(
        self, workflow_id: str, request: OpenAccountRequest, *, wait_s: float
    ) -> AccountOpened | OperationPending:
        """Open an account; the same workflow id, and the same phone number meanwhile, never opens twice.

        Raises CustomerExists, AccountRejected, NotAllowed, BankUnavailable (nothing was opened; it may be tried
        again).
        """
        self._policy.require(ACTION)
        payload = {
            "workflow_id": workflow_id,
            "phone_number": request.phone_number,
            "first_name": request.first_name,
            "last_name": request.last_name,
            "date_of_birth": request.date_of_birth.isoformat(),
            "language": request.language,
            "national_id": request.national_id,
            "gender": request.gender,
            "product": request.product,
            "channel": request.channel,
            "maker": request.maker,
            "kyc_tier": self._policy.kyc_tier,  # it is opened in this one, whatever the settings say later
        }
        done = await self._operations.perform(_claim(payload), wait_s=wait_s)
        if isinstance(done, OperationPending):
            return done
        return AccountOpened(done["account_number"], done["customer_id"], done["change_id"])

    async def workflow(self, payload: Json) -> Json:
        """The durable body, registered as `account.open`."""
        procedure = Procedure(
            claim=_claim(payload),
            story=lambda operation: self._story(operation, payload),
            fault=IN_DOUBT,
            record=lambda connection, operation, ending, now: self._record(
                connection, operation, payload, ending, now
            ),
            sms=SMS,
            language=payload["language"],
            values=lambda ending: {
                "first_name": payload["first_name"],
                "account_number": ending.get("account_number", ""),
            },
            settle=_settle,
            allowed=self._policy.count_opening,
        )
        return await self._operations.conduct(procedure)

    async def _story(self, operation: Operation, payload: Json) -> Json:
        # One that was begun before may have been opened and be known by that.
        if operation.fresh:
            standing = await self._workflows.insist(
                lambda: self._directory.standing(self._database, operation.phone_number)
            )
            if standing.known:
                return {"kind": "refused", "code": "customer_exists"}
        request = _new_account(payload, self._tier(payload))
        return await self._opening.register_account_cbs(operation, request)

    def _tier(self, payload: Json) -> int:
        """Of what was asked for before it was kept with the request, the tier of the settings."""
        return int(payload.get("kyc_tier", self._policy.kyc_tier))

    def _record(
        self, connection: Connection, operation: Operation, payload: Json, ending: Json, now: datetime
    ) -> Success | Refused:
        person = _person(payload, ending, self._tier(payload))
        language, maker = payload["language"], str(payload.get("maker", payload["channel"]))
        admitted = self._admission.admit(connection, operation, person, language, maker, now)
        if admitted is None:  # open at the bank, and a change of the same customer waits: nothing to refuse
            raise LookupError("another change of this customer has to be decided first")
        result = {
            "account_number": person.account_numbers[0],
            "customer_id": admitted.customer_id,
            "change_id": admitted.change_id,
        }
        return Success(result, SMS["success"], admitted.audit)


def _settle(connection: Connection, operation: Operation, ending: Json, _now: datetime) -> None:
    """What is open, or may be, keeps its place under the limit of its day; what came to nothing gives it back."""
    if ending["kind"] in {"refused", "failed"}:
        give_back(connection, operation.id)


def _claim(payload: Json) -> Claim:
    """The language and the channel are not what is asked: the account is the same."""
    asked = [
        payload[key]
        for key in ("first_name", "last_name", "date_of_birth", "national_id", "gender", "product")
    ]
    return Claim(
        kind=ACTION,
        phone_number=payload["phone_number"],
        workflow_id=payload["workflow_id"],
        channel=payload["channel"],
        asked=json.dumps(asked),
        request=payload,
    )


def _new_account(payload: Json, kyc_tier: int) -> NewAccount:
    return NewAccount(
        phone_number=payload["phone_number"],
        first_name=payload["first_name"],
        last_name=payload["last_name"],
        date_of_birth=date.fromisoformat(payload["date_of_birth"]),
        national_id=payload["national_id"],
        gender=payload["gender"],
        product=payload["product"],
        kyc_tier=kyc_tier,
    )


def _person(payload: Json, opened: Json, kyc_tier: int) -> Person:
    return Person(
        bank_ref=opened["customer_ref"],
        phone_number=payload["phone_number"],
        first_name=payload["first_name"],
        last_name=payload["last_name"],
        date_of_birth=date.fromisoformat(payload["date_of_birth"]),
        national_id=payload["national_id"],
        gender=payload["gender"],
        email=None,
        account_numbers=(opened["account_number"],),
        product=payload["product"],
        kyc_tier=kyc_tier,
        source="subscriber",
    )
