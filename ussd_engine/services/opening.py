"""`register_account_cbs`: one opening at the bank, followed until its outcome is certain.

The bank's answer is never just yes or no. What is not certain is asked for by our external id, with growing delays
that count from the beginning of the operation, until the bank tells or the time is up and staff take over. Only when
the bank has never heard of the opening is it sent again, under the same idempotency key. Whoever takes up an
operation that was begun before, after a crash or for staff, goes by the same rule: it may have been sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, assert_never

import structlog

from ussd_engine.errors import BankUnavailable
from ussd_engine.logs import describe
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
from ussd_engine.services.bank import search_cbs
from ussd_engine.services.operations import IN_DOUBT
from ussd_engine.services.workflows import Json

if TYPE_CHECKING:
    from ussd_engine.platform.database import Database
    from ussd_engine.platform.operations import Operation
    from ussd_engine.ports import Clock, CoreBanking, NewAccount
    from ussd_engine.services.backoff import Backoff
    from ussd_engine.services.workflows import Workflows

log = structlog.get_logger(__name__)

UNKNOWN: Json = {"kind": "unknown"}
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

    async def register_account_cbs(self, operation: Operation, request: NewAccount) -> Json:
        """Within a workflow: the ending of the opening, in the words of `Procedure`."""
        answer = await self._attempt(operation, request, first=operation.fresh)
        noted: Json | None = None
        spent_s = (self._clock.now() - operation.created_at).total_seconds()
        for delay in self._reconcile.delays(spent_s):
            if _is_settled(answer):
                break
            if answer != noted:
                await self._note(operation, answer)
                noted = answer
            self._workflows.announce({"kind": "pending"})
            await self._workflows.pause(delay)
            answer = await self._ask_again(operation, request, answer)
        return _ending(answer)

    async def _ask_again(self, operation: Operation, request: NewAccount, doubt: Json) -> Json:
        if doubt["kind"] != "unknown":
            return weigh(doubt, await self._find(operation))
        return await self._attempt(operation, request, first=False)

    async def _attempt(self, operation: Operation, request: NewAccount, *, first: bool) -> Json:
        """Open, for a number that the bank does not know.

        Not the first time, what was sent before may arrive at any moment. So the bank is asked by our external id
        before it is told again, and after the search: a customer that the search found and that is ours is there.
        """
        known = await search_cbs(self._bank, request.phone_number)
        if not first:
            found = await self._find(operation)
            if found["kind"] != "not_found":
                return weigh(UNKNOWN, found)
        match known["kind"]:
            case "unavailable":
                return known if first else UNKNOWN
            case "found":
                return {"kind": "exists"}
        return await self._open(operation, request, first=first)

    async def _note(self, operation: Operation, answer: Json) -> None:
        """Record that it takes longer, and what the bank calls it, for staff and for a second dial."""
        reference = answer.get("reference")
        await self._workflows.insist(
            lambda: self._database.write(lambda c: operations.mark_reconciling(c, operation.id, reference))
        )

    async def _open(self, operation: Operation, request: NewAccount, *, first: bool) -> Json:
        key = derived_id(operation.id, "bank-idempotency-key")
        try:
            outcome = await self._bank.open_account(request, idempotency_key=key, external_id=operation.id)
        except BankUnavailable:
            return {"kind": "unavailable"} if first else UNKNOWN
        except Exception as error:  # noqa: BLE001 - an adapter's fault; it may have come after the bank was asked
            log.error("account_open_failed", operation_id=operation.id, **describe(error))  # noqa: TRY400 - wordless
            return UNKNOWN
        log.info("account_open_answered", operation_id=operation.id, outcome=type(outcome).__name__)
        answer = answer_of(outcome)
        # a duplicate may be ours after all
        return weigh(answer, await self._find(operation)) if answer["kind"] == "duplicate" else answer

    async def _find(self, operation: Operation) -> Json:
        try:
            outcome = await self._bank.find_opening(operation.id)
        except BankUnavailable:
            return {"kind": "unavailable"}
        except Exception as error:  # noqa: BLE001 - an adapter's fault tells nothing of the opening
            log.error("account_find_failed", operation_id=operation.id, **describe(error))  # noqa: TRY400 - wordless
            return {"kind": "unavailable"}
        log.info("account_find_answered", operation_id=operation.id, outcome=type(outcome).__name__)
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
            return UNKNOWN
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
    return SETTLED.get(answer["kind"], IN_DOUBT)
