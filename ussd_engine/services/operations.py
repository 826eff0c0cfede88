"""How a registration, an opening or the choice of a PIN runs, whichever it is.

`perform` is the caller's side: it waits as long as the caller can and then promises an SMS. `conduct` is the
workflow's side: claim the operation, live through its story, record the ending in one transaction, then tell.
Both meet in the operation's row: a promise is only made while the row is unfinished, and the transaction that
finishes the row sees the promise and queues the SMS.

The row is also what a workflow that was interrupted goes by: it begins again, finds the operation begun before
(not `fresh`) or finished, and goes on from there.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, NoReturn

import structlog
from sqlalchemy import Connection

from ussd_engine.errors import (
    AccountRejected,
    AlreadySubscribed,
    BankUnavailable,
    Busy,
    CustomerExists,
    CustomerNotFound,
    IdentityNotVerified,
    NotAllowed,
    PinExists,
    UssdError,
)
from ussd_engine.logs import describe
from ussd_engine.platform import audit, operations, outbox
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.operations import Claim, Operation
from ussd_engine.services.notifications import Addressee
from ussd_engine.services.workflows import Json, WorkFailed

if TYPE_CHECKING:
    from ussd_engine.platform.database import Database
    from ussd_engine.platform.outbox import Notification
    from ussd_engine.ports import Clock
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.notifications import Notifications
    from ussd_engine.services.workflows import Workflows

log = structlog.get_logger(__name__)

REFUSALS: Mapping[str, tuple[type[UssdError], str]] = {
    "customer_not_found": (CustomerNotFound, "the bank has no customer with this phone number"),
    "identity_not_verified": (IdentityNotVerified, "the details do not match what the bank holds"),
    "already_subscribed": (
        AlreadySubscribed,
        "the customer is subscribed, or a registration waits for a decision",
    ),
    "customer_exists": (CustomerExists, "the bank has this customer already; register instead of opening"),
    "pin_exists": (PinExists, "the subscriber has a PIN"),
    "rejected": (AccountRejected, "the bank refused to open the account"),
    "not_allowed": (NotAllowed, "as many accounts as may be opened in a day were opened today"),
    "cbs_unavailable": (BankUnavailable, "the bank does not answer; nothing was changed, try again later"),
    "busy": (
        Busy,
        "another request for this phone number is worked on; nothing was changed, try again later",
    ),
}
"""How an ending other than success is raised to the caller. The words are the same for every reason."""

TAKEN: Mapping[str, str] = {"account.open": "customer_exists", "subscription.register": "already_subscribed"}
"""What a request to become a customer hears when another such one for its phone number has just succeeded."""

FAULT: Json = {"kind": "failed", "code": "work_failed"}
IN_DOUBT: Json = {"kind": "in_doubt"}

RESULT_KEYS = frozenset({"kind", "code", "reason"})
"""What is kept of an ending without success."""
DASHBOARD_KEYS = frozenset({"code", "customer_id", "user_id", "change_id"})
"""What of a result the operators see. An account number is not among it."""


@dataclass(frozen=True, slots=True)
class OperationPending:
    """Not known yet: the work goes on, and an SMS will tell."""

    operation_id: str


@dataclass(frozen=True, slots=True)
class Success:
    """What the transaction of a success recorded. `sms` is an event that is due even if none was promised."""

    result: Json = field(repr=False)
    sms: str | None
    audit: tuple[AuditEntry, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """What the transaction found to stand against a success; nothing was recorded."""

    code: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where an operation stands, and what the subscriber has yet to be told of it."""

    state: operations.State
    result: Json = field(repr=False)
    messages: list[Notification] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Procedure:
    """One kind of operation for one request.

    `story` answers its ending: `{"kind": "success", ...}`, `{"kind": "refused" | "failed", "code": ...}` or
    `{"kind": "in_doubt"}`; `fault` is the ending when the story itself breaks. `record` writes a success, and
    `settle` what any ending of the story leaves behind. `allowed` tells, in the transaction that begins the
    operation of this id, whether a limit still has room for it. `sms` maps the code or else the kind of an ending
    to the SMS that keeps a promise; `values` fills its placeholders from the ending.
    """

    claim: Claim
    story: Callable[[Operation], Awaitable[Json]]
    fault: Json
    record: Callable[[Connection, Operation, Json, datetime], Success | Refused]
    sms: Mapping[str, str]
    language: str
    values: Callable[[Json], Mapping[str, str]]
    settle: Callable[[Connection, Operation, Json, datetime], None] = lambda *_: None
    allowed: Callable[[Connection, str, datetime], bool] = lambda *_: True


class Operations:
    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        workflows: Workflows,
        notifications: Notifications,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._workflows = workflows
        self._notifications = notifications

    async def perform(self, claim: Claim, *, wait_s: float) -> Json | OperationPending:
        """Run or join the operation; its result, or the promise of an SMS. Raises what REFUSALS says.

        Another one may be under way for the number, and what becomes of that is only for who asked the same. Who did
        not is promised its SMS; and when it has just come to nothing, this request has its turn, under a further id.
        Where one is about a PIN, the other says nothing of it: then this one waits for its turn.
        """
        deadline, asked = self._clock.monotonic() + wait_s, claim
        for number in count(1):
            result = await self._workflows.run(
                claim.kind, claim.workflow_id, claim.request, wait_s=self._left(deadline)
            )
            if result is None or result["kind"] != "elsewhere":
                return await self._answer(claim, result)
            other = replace(claim, workflow_id=result["workflow_id"])
            if result["same"]:
                left = 0.0 if result["reconciling"] else self._left(deadline)
                return await self._answer(other, await self._workflows.result(other.workflow_id, wait_s=left))
            if {claim.kind, result["other"]} <= TAKEN.keys():
                told = await self._tell_pending(other)
                if isinstance(told, OperationPending):
                    return told
                if told["kind"] == "success":
                    return _raise({"code": TAKEN[claim.kind]})
            else:
                left = 0.0 if result["reconciling"] else self._left(deadline)
                ended = await self._workflows.result(other.workflow_id, wait_s=left)
                if ended is None or ended["kind"] == "pending":  # in doubt, which only staff can end
                    return _raise({"code": "busy"})
            claim = asked.turn(number)
        raise AssertionError("the numbers never end")

    def _left(self, deadline: float) -> float:
        return max(deadline - self._clock.monotonic(), 0.0)

    async def _answer(self, claim: Claim, result: Json | None) -> Json | OperationPending:
        if result is None or result["kind"] == "pending":
            told = await self._tell_pending(claim)
            if isinstance(told, OperationPending):
                return told
            result = told
        return result if result["kind"] == "success" else _raise(result)

    async def _tell_pending(self, claim: Claim) -> Json | OperationPending:
        """Promise an SMS, unless the operation has just finished: then its result."""

        def promise(connection: Connection) -> Json | OperationPending:
            operation = operations.claim(connection, self._keys, claim, self._clock.now())
            if operations.mark_told(connection, operation.id):
                return OperationPending(operation.id)
            return operations.lock(connection, self._keys, operation.id).result or FAULT

        return await self._database.write(promise)

    async def conduct(self, procedure: Procedure) -> Json:
        """The body of the workflow. Ends with the operation's result, or with where it is worked on."""
        claim = procedure.claim
        operation = await self._workflows.insist(
            lambda: self._database.write(lambda connection: self._claim(connection, procedure))
        )
        if operation.id != claim.id:
            return {
                "kind": "elsewhere",
                "workflow_id": operation.workflow_id,
                "other": operation.kind,
                "same": hmac.compare_digest(operation.asked_digest, claim.digest(self._keys)),
                "reconciling": operation.reconciling,
            }
        ending = await self._live_through(procedure, operation) if operation.unfinished else None
        recorded = await self._record(procedure, ending)
        self._workflows.announce(recorded.result)
        await self._tell(claim, recorded)
        return recorded.result

    def _claim(self, connection: Connection, procedure: Procedure) -> Operation:
        now = self._clock.now()
        operation = operations.claim(connection, self._keys, procedure.claim, now)
        if operation.fresh and not procedure.allowed(connection, operation.id, now):
            self._write_ending(connection, procedure, operation, {"kind": "refused", "code": "not_allowed"})
            return operations.lock(connection, self._keys, operation.id)
        return operation

    async def _live_through(self, procedure: Procedure, operation: Operation) -> Json:
        try:
            return await procedure.story(operation)
        except Exception as error:  # noqa: BLE001 - the operation must not stay open for ever
            log.error("operation_broke", operation_id=operation.id, **describe(error))  # noqa: TRY400 - wordless
            return procedure.fault

    async def _record(self, procedure: Procedure, ending: Json | None) -> Recorded:
        """Record the ending; None when that is done, and only what is left to tell is asked.

        A second try sees what came between the looking and the writing of the first. What cannot be recorded even
        then is a fault of ours.
        """
        for one in (ending, ending, procedure.fault):
            try:
                return await self._workflows.insist(lambda one=one: self._try_to_record(procedure, one))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - as above
                log.error("operation_not_recorded", operation_id=procedure.claim.id, **describe(error))  # noqa: TRY400 - wordless
        raise WorkFailed("the ending of an operation cannot be recorded; see the log for why")

    async def _try_to_record(self, procedure: Procedure, ending: Json | None) -> Recorded:
        id_ = procedure.claim.id

        def record(connection: Connection) -> Recorded:
            operation = operations.lock(connection, self._keys, id_)
            if ending is not None and operation.unfinished:
                return self._write_ending(connection, procedure, operation, ending)
            messages = outbox.queued_of_operation(connection, self._keys, id_)
            return Recorded(operation.state, operation.result or _pending(id_), messages)

        return await self._database.write(record)

    def _write_ending(
        self, connection: Connection, procedure: Procedure, operation: Operation, ending: Json
    ) -> Recorded:
        now = self._clock.now()
        procedure.settle(connection, operation, ending, now)
        success = None
        if ending["kind"] == "success":
            success = procedure.record(connection, operation, ending, now)
        if isinstance(success, Refused):
            ending = {"kind": "refused", "code": success.code}
        state: operations.State = "done" if isinstance(success, Success) else ending["kind"]
        if state == "in_doubt":
            operations.mark_in_doubt(connection, operation.id)
            result = _pending(operation.id)
        else:
            result = _result(success, ending)
            operations.finish(connection, self._keys, operation.id, state, result, now)
        messages = []
        due = _due_sms(procedure, operation, ending, success)
        if due:
            to = Addressee(operation.phone_number, procedure.language, procedure.values(ending))
            message = self._notifications.of_operation(operation.id, due, to, now)
            if outbox.add(connection, self._keys, message):
                messages = [message]
                if operation.told_pending:
                    outbox.supersede(connection, message)
            else:  # a former run queued it, and may have died before it was sent
                messages = outbox.queued_of_operation(connection, self._keys, operation.id)
        entries = success.audit if isinstance(success, Success) else ()
        audit.append(connection, self._keys, [*entries, _audit_entry(operation, ending)], now)
        return Recorded(state, result, messages)

    async def _tell(self, claim: Claim, recorded: Recorded) -> None:
        """Dashboard, then subscriber. A dashboard that is down does not keep the SMS waiting."""
        detail = {k: str(v) for k, v in recorded.result.items() if k in DASHBOARD_KEYS}
        detail |= {"operation_id": claim.id, "channel": claim.channel}
        kind = f"{claim.kind}.{recorded.state}"
        event = self._notifications.event(claim.id, kind, claim.phone_number, detail)
        published = await self._notifications.publish(event)
        for message in recorded.messages:
            await self._notifications.deliver(message)
        if not published:
            await self._notifications.publish_later(event)


def _pending(operation_id: str) -> Json:
    return {"kind": "pending", "operation_id": operation_id}


def _result(success: Success | Refused | None, ending: Json) -> Json:
    if isinstance(success, Success):
        return {"kind": "success", **success.result}
    return {key: ending[key] for key in RESULT_KEYS & ending.keys()}


def _due_sms(
    procedure: Procedure, operation: Operation, ending: Json, success: Success | Refused | None
) -> str | None:
    """The SMS that the ending itself calls for, or else the one that was promised."""
    if isinstance(success, Success) and success.sms:
        return success.sms
    promised = operation.told_pending or operation.reconciling
    if promised or ending["kind"] == "in_doubt":
        return procedure.sms.get(ending.get("code", ""), procedure.sms[ending["kind"]])
    return None


def _audit_entry(operation: Operation, ending: Json) -> AuditEntry:
    return AuditEntry(
        actor=operation.channel,
        action=f"{operation.kind}.{ending['kind']}",
        entity="operations",
        entity_id=operation.id,
        request_id=operation.workflow_id,
        reason=ending.get("reason") or ending.get("code"),
    )


def _raise(result: Json) -> NoReturn:
    code = result["code"]
    if code not in REFUSALS:
        raise WorkFailed("the operation met a fault of this service; see the log for which")
    error, words = REFUSALS[code]
    raise error(words)
