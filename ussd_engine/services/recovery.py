"""What needs a look: operations in doubt, for staff; operations and messages that nobody works on, taken up again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from ussd_engine.errors import Refusal
from ussd_engine.platform import audit, operations, outbox
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.services.approvals import telling
from ussd_engine.services.notifications import WORKFLOW as DELIVER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.database import Database
    from ussd_engine.platform.operations import Operation, State
    from ussd_engine.platform.outbox import Waiting
    from ussd_engine.ports import Clock
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.workflows import Json, Workflows

log = structlog.get_logger(__name__)

ABANDONED_AFTER = timedelta(minutes=2)
"""An open operation that is older is looked after: its workflow stands and runs, or was lost with its database.

One that staff want tried again is looked after at once, as nobody may have begun that yet.
"""


class OperationNotFound(Refusal):
    code = "operation_not_found"


class OperationFinished(Refusal):
    """There is nothing to try again."""

    code = "operation_finished"


@dataclass(frozen=True, slots=True)
class Retry:
    """One further try: the workflow that runs it, and what it runs."""

    workflow_id: str
    kind: str
    request: Json = field(repr=False)


class Recovery:
    def __init__(self, database: Database, keys: KeyRing, clock: Clock, workflows: Workflows) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._workflows = workflows

    async def listed(self, states: tuple[State, ...], limit: int) -> list[Operation]:
        """Operations in these states, the newest first."""
        return await self._database.read(lambda c: operations.listed(c, self._keys, states, limit))

    async def get(self, operation_id: str) -> Operation:
        """Raises OperationNotFound."""
        return _known(await self._database.read(lambda c: operations.find(c, self._keys, operation_id)))

    async def retry(self, operation_id: str, actor: str, request_id: str) -> Operation:
        """Take an unfinished operation up again; an opening asks the bank what became of it before anything else.

        Raises OperationNotFound, OperationFinished.
        """
        now = self._clock.now()
        retry = await self._database.write(
            lambda c: note_retry(c, self._keys, operation_id, actor, request_id, now)
        )
        await self._workflows.start(retry.kind, retry.workflow_id, retry.request)
        return await self.get(operation_id)

    async def take_up_abandoned(self) -> None:
        """Begin what was noted and not begun, and begin again what is open and has no workflow any more."""
        before = self._clock.now() - ABANDONED_AFTER
        old = await self._database.read(lambda c: operations.to_look_after(c, self._keys, before))
        under_way = await self._workflows.under_way() if old else set[str]()
        for operation in old:
            last = _last_workflow(operation)
            if last in under_way:
                continue
            request = await self._database.read(
                lambda c, id_=operation.id: operations.request_of(c, self._keys, id_)  # type: ignore[misc]
            )
            if request is None:  # begun under the first schema: its workflow alone knows what was asked
                continue
            log.warning("operation_taken_up", operation_id=operation.id)
            if await self._workflows.exists(last):
                with suppress(OperationFinished):  # it has come to its end just now
                    await self.retry(operation.id, "recovery", last)
            else:
                await self._workflows.start(operation.kind, last, request)

    async def take_up_messages(self) -> None:
        """Begin to deliver what waits to be told and has no workflow any more."""
        before = self._clock.now() - ABANDONED_AFTER
        waiting = await self._database.read(lambda c: outbox.queued_before(c, before))
        under_way = await self._workflows.under_way() if waiting else set[str]()
        for message in waiting:
            workflow_id = f"sms:{message.id}"
            if under_way.isdisjoint({workflow_id, *_carriers(message)}):
                log.warning("message_taken_up", notification_id=message.id)
                await self._workflows.start(DELIVER, workflow_id, {"id": message.id})


def note_retry(
    connection: Connection, keys: KeyRing, operation_id: str, actor: str, request_id: str, now: datetime
) -> Retry:
    """Open an operation for one further try, which a worker takes up if the caller does not.

    Raises OperationNotFound, OperationFinished.
    """
    operation = _known(operations.find(connection, keys, operation_id))
    request = operations.request_of(connection, keys, operation_id)
    if operation.unfinished and request is None:
        raise OperationFinished("what was asked is not known any more: ask the bank by the operation's id")
    number = operations.mark_retried(connection, operation_id)
    if number is None or request is None:
        raise OperationFinished(f"this operation is {operation.state}: there is nothing to try again")
    entry = AuditEntry(actor, "operation.retried", "operations", operation_id, request_id)
    audit.append(connection, keys, [entry], now)
    return Retry(_workflow_id(operation_id, number), operation.kind, request)


def _last_workflow(operation: Operation) -> str:
    if operation.retries:
        return _workflow_id(operation.id, operation.retries)
    return operation.workflow_id


def _carriers(message: Waiting) -> Iterator[str]:
    """The workflows that may be at the message, as it is what they did last."""
    if message.change_id is not None:
        yield telling(message.change_id)
    if message.operation_id is not None:
        yield message.workflow_id or ""
        yield from (
            _workflow_id(message.operation_id, number) for number in range(1, (message.retries or 0) + 1)
        )


def _workflow_id(operation_id: str, number: int) -> str:
    return f"retry:{operation_id}:{number}"


def _known(operation: Operation | None) -> Operation:
    if operation is None:
        raise OperationNotFound("there is no operation with this id")
    return operation
