"""How a registration or an opening runs, whichever it is.

`perform` is the caller's side: it waits as long as the caller can and then promises an SMS. `conduct` is the
workflow's side: claim the operation, live through its story, record the ending in one transaction, then tell.
Both meet in the operation's row: a promise is only made while the row is unfinished, and the transaction that
finishes the row sees the promise and queues the SMS.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from ussd_engine.errors import (
    AccountRejected,
    AlreadySubscribed,
    BankUnavailable,
    CustomerExists,
    CustomerNotFound,
    IdentityNotVerified,
    UssdError,
)
from ussd_engine.platform import audit, operations, outbox
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.operations import Claim, Operation
from ussd_engine.services.notifications import Addressee, News
from ussd_engine.services.workflows import Json, StepFailed

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from ussd_engine.platform.database import Database
    from ussd_engine.ports import Clock
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.notifications import Notifications
    from ussd_engine.services.workflows import Workflows

REFUSALS: Mapping[str, tuple[type[UssdError], str]] = {
    "customer_not_found": (CustomerNotFound, "the bank has no customer with this phone number"),
    "identity_not_verified": (IdentityNotVerified, "the details do not match what the bank holds"),
    "already_subscribed": (AlreadySubscribed, "this phone number is registered, or its registration waits"),
    "customer_exists": (CustomerExists, "the bank has this customer already; register instead of opening"),
    "rejected": (AccountRejected, "the bank refused to open the account"),
    "cbs_unavailable": (BankUnavailable, "the bank does not answer; nothing was changed, try again later"),
}
"""How an ending other than success is raised to the caller. The words are the same for every reason."""

TAKEN: Mapping[str, str] = {"account.open": "customer_exists", "subscription.register": "already_subscribed"}
"""What a request hears when another one for its phone number has just succeeded."""

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


@dataclass(frozen=True, slots=True)
class Refused:
    """What the transaction found to stand against a success; nothing was recorded."""

    code: str


Record = Callable[["AsyncConnection", Operation, Json, "datetime"], Awaitable[Success | Refused]]


@dataclass(frozen=True, slots=True)
class Procedure:
    """One kind of operation for one request.

    `story` answers its ending: `{"kind": "success", ...}`, `{"kind": "refused" | "failed", "code": ...}` or
    `{"kind": "in_doubt"}`. `record` writes a success. `sms` maps the code or else the kind of an ending to the
    SMS that keeps a promise; `values` fills its placeholders from the ending.
    """

    claim: Claim
    story: Callable[[], Awaitable[Json]]
    record: Record
    sms: Mapping[str, str]
    language: str
    values: Callable[[Json], Mapping[str, str]]


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

    async def perform(self, claim: Claim, payload: Json, *, wait_s: float) -> Json | OperationPending:
        """Run or join the operation; its result, or the promise of an SMS. Raises what REFUSALS says."""
        deadline = self._clock.monotonic() + wait_s
        result = await self._workflows.run(claim.kind, claim.workflow_id, payload, wait_s=wait_s)
        if result and result["kind"] == "elsewhere":
            claim = replace(claim, workflow_id=result["workflow_id"])
            if not result["same"]:
                return await self._stand_back(claim)
            left = 0.0 if result["reconciling"] else max(deadline - self._clock.monotonic(), 0.0)
            result = await self._workflows.result(claim.workflow_id, wait_s=left)
        if result is None or result["kind"] == "pending":
            told = await self._tell_pending(claim)
            if isinstance(told, OperationPending):
                return told
            result = told
        return result if result["kind"] == "success" else _raise(result)

    async def _stand_back(self, claim: Claim) -> OperationPending:
        """Another request for this number is under way. What becomes of it is only for who asked the same."""
        told = await self._tell_pending(claim)
        if isinstance(told, OperationPending):
            return told
        return _raise({"code": TAKEN[claim.kind] if told["kind"] == "success" else "cbs_unavailable"})

    async def _tell_pending(self, claim: Claim) -> Json | OperationPending:
        """Promise an SMS, unless the operation has just finished: then its result."""
        async with self._database.write() as connection:
            operation = await operations.claim(connection, self._keys, claim, self._clock.now())
            if await operations.mark_told(connection, operation.id):
                return OperationPending(operation.id)
            operation = await operations.lock(connection, self._keys, operation.id)
        return operation.result or {"kind": "failed", "code": "step_failed"}

    async def conduct(self, procedure: Procedure) -> Json:
        """The body of the workflow. Ends with the operation's result, or with where it is worked on."""
        claimed = await self._workflows.persist("claim", lambda: self._claim(procedure.claim))
        if claimed["kind"] != "ours":
            return claimed
        try:
            ending = await procedure.story()
        except StepFailed:
            ending = {"kind": "failed", "code": "step_failed"}
        recorded = await self._workflows.persist("record", lambda: self._record(procedure, ending))
        result: Json = recorded["result"]
        self._workflows.announce(result)
        await self._tell(procedure.claim, recorded)
        return result

    async def _claim(self, claim: Claim) -> Json:
        async with self._database.write() as connection:
            operation = await operations.claim(connection, self._keys, claim, self._clock.now())
        if operation.id != claim.id:
            return {
                "kind": "elsewhere",
                "workflow_id": operation.workflow_id,
                "same": hmac.compare_digest(operation.asked_digest, claim.digest(self._keys)),
                "reconciling": operation.reconciling,
            }
        return operation.result or {"kind": "ours"}

    async def _record(self, procedure: Procedure, ending: Json) -> Json:
        """One short transaction. When a former run committed it and died, only what it left is read again."""
        id_ = procedure.claim.id
        async with self._database.write() as connection:
            operation = await operations.lock(connection, self._keys, id_)
            if operation.state == "open":
                await self._write_ending(connection, procedure, operation, ending)
                operation = await operations.lock(connection, self._keys, id_)
            sms_id = await outbox.id_of_operation(connection, id_)
        pending = {"kind": "pending", "operation_id": id_}
        return {"state": operation.state, "result": operation.result or pending, "sms": sms_id}

    async def _write_ending(
        self, connection: AsyncConnection, procedure: Procedure, operation: Operation, ending: Json
    ) -> None:
        now = self._clock.now()
        if ending.get("code") == "step_failed" and operation.attempted:
            ending = {"kind": "in_doubt"}
        success = None
        if ending["kind"] == "success":
            success = await procedure.record(connection, operation, ending, now)
        if isinstance(success, Refused):
            ending = {"kind": "refused", "code": success.code}
        if isinstance(success, Success):
            result = {"kind": "success", **success.result}
            await operations.finish(connection, self._keys, operation.id, "done", result, now)
        elif ending["kind"] == "in_doubt":
            await operations.mark_in_doubt(connection, operation.id)
        else:
            await operations.finish(connection, self._keys, operation.id, ending["kind"], ending, now)
        due = _due_sms(procedure, operation, ending, success)
        if due:
            to = Addressee(operation.phone_number, procedure.language, procedure.values(ending))
            await self._notifications.queue(connection, operation, due, to, now)
        await audit.append(connection, self._keys, [_audit_entry(operation, ending)], now)

    async def _tell(self, claim: Claim, recorded: Json) -> None:
        """Dashboard, then subscriber. A dashboard that is down does not keep the SMS waiting."""
        detail = {k: str(v) for k, v in recorded["result"].items() if k in DASHBOARD_KEYS}
        news = News(claim, f"{claim.kind}.{recorded['state']}", detail)
        published = await self._notifications.publish(news)
        if recorded["sms"]:
            await self._notifications.deliver(recorded["sms"])
        if not published:
            await self._notifications.publish_later(news)


def _due_sms(
    procedure: Procedure, operation: Operation, ending: Json, success: Success | Refused | None
) -> str | None:
    """The SMS that the ending itself calls for, or else the one that was promised."""
    if isinstance(success, Success) and success.sms:
        return success.sms
    if operation.told_pending or operation.reconciling or ending["kind"] == "in_doubt":
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
        raise StepFailed("a step of the operation failed; see the log for which")
    error, words = REFUSALS[code]
    raise error(words)
