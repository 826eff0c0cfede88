"""`register_account_cbs`: one opening at the bank, followed until its outcome is certain.

The bank's answer is never just yes or no. What is not certain is asked for by our external id, with growing
delays that survive a restart, until the bank tells or the time is up and staff take over. Only when the bank has
never heard of the opening is it sent again, under the same idempotency key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import structlog

from ussd_engine.errors import BankUnavailable
from ussd_engine.platform import operations
from ussd_engine.platform.operations import derived_id
from ussd_engine.ports import (
    Duplicate,
    InProgress,
    NotFound,
    Opened,
    OpenOutcome,
    PendingApproval,
    Rejected,
    Unknown,
)
from ussd_engine.services.workflows import StepFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ussd_engine.platform.database import Database
    from ussd_engine.platform.operations import Claim
    from ussd_engine.ports import Clock, CoreBanking, NewAccount
    from ussd_engine.services.backoff import Backoff
    from ussd_engine.services.workflows import Json, Workflows

log = structlog.get_logger(__name__)

SETTLED: Mapping[str, Json] = {
    "unavailable": {"kind": "failed", "code": "cbs_unavailable"},
    "rejected": {"kind": "refused", "code": "rejected"},
    "exists": {"kind": "refused", "code": "customer_exists"},
}
"""Answers that end the story without an account. Besides them only `opened` is certain."""


class Opening:
    """`reconcile` says how often, and in all how long, the bank is asked before staff take over."""

    def __init__(
        self,
        database: Database,
        bank: CoreBanking,
        clock: Clock,
        workflows: Workflows,
        reconcile: Backoff,
    ) -> None:
        self._database = database
        self._bank = bank
        self._clock = clock
        self._workflows = workflows
        self._reconcile = reconcile

    async def register_account_cbs(self, claim: Claim, request: NewAccount) -> Json:
        """Within a workflow: the ending of the opening, in the words of `Procedure`."""
        answer = await self._open(claim, request)
        if answer["kind"] == "duplicate":
            answer = weigh(answer, await self._find(claim))
        noted: Json | None = None
        for delay in self._reconcile.delays():
            if _is_settled(answer):
                break
            if answer != noted:
                await self._note(claim, answer)
                noted = answer
            self._workflows.announce({"kind": "pending"})
            await self._workflows.sleep(delay)
            answer = await self._ask_again(claim, request, answer)
        return _ending(answer)

    async def _ask_again(self, claim: Claim, request: NewAccount, doubt: Json) -> Json:
        found = await self._find(claim)
        if found["kind"] == "not_found" and doubt["kind"] == "unknown":
            found = await self._open(claim, request)
            if found["kind"] == "duplicate":
                return found  # it may be ours after all: looked up next time
        return weigh(doubt, found)

    async def _note(self, claim: Claim, answer: Json) -> None:
        """Record that it takes longer, and what the bank calls it, for staff and for a second dial."""

        async def write() -> Json:
            async with self._database.write() as connection:
                await operations.mark_reconciling(connection, claim.id, answer.get("reference"))
            return {}

        await self._workflows.persist("mark_reconciling", write)

    async def _open(self, claim: Claim, request: NewAccount) -> Json:
        try:
            return await self._workflows.step("account_open_cbs", lambda: self._call_open(claim, request))
        except StepFailed:
            return {"kind": "unknown"}  # it may have failed after the bank was asked

    async def _find(self, claim: Claim) -> Json:
        try:
            return await self._workflows.step("account_find_cbs", lambda: self._call_find(claim))
        except StepFailed:
            return {"kind": "unavailable"}

    async def _call_open(self, claim: Claim, request: NewAccount) -> Json:
        async with self._database.write() as connection:
            first = await operations.mark_attempted(connection, claim.id, self._clock.now())
        if not first:
            # The process may have died after the bank had opened: ask before telling it again.
            found = await self._call_find(claim)
            if found["kind"] != "not_found":
                return found if found["kind"] != "unavailable" else {"kind": "unknown"}
        key = derived_id(claim.id, "bank-idempotency-key")
        try:
            outcome = await self._bank.open_account(request, idempotency_key=key, external_id=claim.id)
        except BankUnavailable:
            return {"kind": "unavailable" if first else "unknown"}
        log.info("account_open_answered", operation_id=claim.id, outcome=type(outcome).__name__)
        return answer_of(outcome)

    async def _call_find(self, claim: Claim) -> Json:
        try:
            outcome = await self._bank.find_opening(claim.id)
        except BankUnavailable:
            return {"kind": "unavailable"}
        log.info("account_find_answered", operation_id=claim.id, outcome=type(outcome).__name__)
        return answer_of(outcome)


def answer_of(outcome: OpenOutcome | NotFound) -> Json:
    """The bank's answer as plain data."""
    match outcome:
        case Opened(customer_ref, account_number):
            return {"kind": "opened", "customer_ref": customer_ref, "account_number": account_number}
        case PendingApproval(reference):
            return {"kind": "pending_approval", "reference": reference}
        case Duplicate(name):
            return {"kind": "duplicate", "field": name}
        case Rejected(reason):
            return {"kind": "rejected", "reason": reason}
        case InProgress():
            return {"kind": "in_progress"}
        case Unknown():
            return {"kind": "unknown"}
        case NotFound():
            return {"kind": "not_found"}
        case _:
            assert_never(outcome)


def weigh(doubt: Json, found: Json) -> Json:
    """What is known after the bank was asked by our external id while `doubt` was the last word.

    No answer changes nothing. A duplicate that is not ours is somebody else's account.
    """
    match found["kind"]:
        case "unavailable":
            return doubt
        case "not_found":
            return {"kind": "exists"} if doubt["kind"] == "duplicate" else doubt
        case "duplicate":
            return {"kind": "exists"}
        case "unknown" if doubt["kind"] != "unknown":
            return doubt
        case _:
            return found


def _is_settled(answer: Json) -> bool:
    return answer["kind"] == "opened" or answer["kind"] in SETTLED


def _ending(answer: Json) -> Json:
    if answer["kind"] == "opened":
        return {**answer, "kind": "success"}
    if answer["kind"] == "rejected":
        return {**SETTLED["rejected"], "reason": answer["reason"]}
    return SETTLED.get(answer["kind"], {"kind": "in_doubt"})
