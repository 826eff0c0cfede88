"""Opening an account at the bank for a new customer, at most once, whatever happens on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from ussd_engine.platform import customers
from ussd_engine.platform.customers import Person
from ussd_engine.platform.operations import Channel, Claim, Operation
from ussd_engine.ports import NewAccount
from ussd_engine.services.operations import OperationPending, Procedure, Success
from ussd_engine.services.subscription import search_cbs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from ussd_engine.platform.database import Database
    from ussd_engine.ports import CoreBanking
    from ussd_engine.services.admission import Admission
    from ussd_engine.services.opening import Opening
    from ussd_engine.services.operations import Operations
    from ussd_engine.services.workflows import Json, Workflows

SMS: Mapping[str, str] = {
    "success": "account_opened",
    "refused": "account_rejected",
    "failed": "account_failed",
    "in_doubt": "account_delayed",
}


@dataclass(frozen=True, slots=True)
class OpenAccountRequest:
    """`product` is the bank's product code; None leaves the choice to the bank's adapter."""

    phone_number: str = field(repr=False)
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    date_of_birth: date = field(repr=False)
    language: str
    national_id: str | None = field(repr=False)
    gender: str | None
    product: str | None
    channel: Channel


@dataclass(frozen=True, slots=True)
class AccountOpened:
    """Open at the bank and recorded here; the user's activation is staged as `change_id`."""

    account_number: str
    customer_id: str
    change_id: str


class Accounts:
    def __init__(
        self,
        database: Database,
        bank: CoreBanking,
        workflows: Workflows,
        operations: Operations,
        opening: Opening,
        admission: Admission,
    ) -> None:
        self._database = database
        self._bank = bank
        self._workflows = workflows
        self._operations = operations
        self._opening = opening
        self._admission = admission

    async def register(
        self, workflow_id: str, request: OpenAccountRequest, *, wait_s: float
    ) -> AccountOpened | OperationPending:
        """Open an account; the same workflow id, and the same phone number meanwhile, never opens twice.

        Raises CustomerExists, AccountRejected, BankUnavailable (nothing was opened; it may be tried again).
        """
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
        }
        done = await self._operations.perform(_claim(payload), payload, wait_s=wait_s)
        if isinstance(done, OperationPending):
            return done
        return AccountOpened(done["account_number"], done["customer_id"], done["change_id"])

    async def workflow(self, payload: Json) -> Json:
        """The durable body, registered as `account.open`."""

        async def record(
            connection: AsyncConnection, operation: Operation, ending: Json, now: datetime
        ) -> Success:
            return await self._record(connection, operation, _person(payload, ending), payload, now)

        procedure = Procedure(
            claim=_claim(payload),
            story=lambda: self._story(payload),
            record=record,
            sms=SMS,
            language=payload["language"],
            values=lambda ending: {
                "first_name": payload["first_name"],
                "account_number": ending.get("account_number", ""),
            },
        )
        return await self._operations.conduct(procedure)

    async def _story(self, payload: Json) -> Json:
        phone = payload["phone_number"]
        known = await self._workflows.step("get_customer_by_phone_number", lambda: self._is_known(phone))
        if known["known"]:
            return {"kind": "refused", "code": "customer_exists"}
        found = await self._workflows.step("customer_search_cbs", lambda: search_cbs(self._bank, phone))
        match found["kind"]:
            case "unavailable":
                return {"kind": "failed", "code": "cbs_unavailable"}
            case "found":
                return {"kind": "refused", "code": "customer_exists"}
        return await self._opening.register_account_cbs(_claim(payload), _new_account(payload))

    async def _is_known(self, phone_number: str) -> Json:
        async with self._database.read() as connection:
            known = await customers.get_customer_by_phone_number(connection, phone_number)
        return {"known": known is not None}

    async def _record(
        self,
        connection: AsyncConnection,
        operation: Operation,
        person: Person,
        payload: Json,
        now: datetime,
    ) -> Success:
        admitted = await self._admission.admit(connection, operation, person, payload["language"], now)
        result = {
            "account_number": person.account_numbers[0],
            "customer_id": admitted.customer_id,
            "change_id": admitted.change_id,
        }
        return Success(result, SMS["success"])


def _claim(payload: Json) -> Claim:
    """The language and the channel are not what is asked: the account is the same."""
    asked = [
        payload[key]
        for key in ("first_name", "last_name", "date_of_birth", "national_id", "gender", "product")
    ]
    return Claim(
        "account.open", payload["phone_number"], payload["workflow_id"], payload["channel"], json.dumps(asked)
    )


def _new_account(payload: Json) -> NewAccount:
    return NewAccount(
        phone_number=payload["phone_number"],
        first_name=payload["first_name"],
        last_name=payload["last_name"],
        date_of_birth=date.fromisoformat(payload["date_of_birth"]),
        national_id=payload["national_id"],
        gender=payload["gender"],
        product=payload["product"],
    )


def _person(payload: Json, opened: Json) -> Person:
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
        source="subscriber",
    )
