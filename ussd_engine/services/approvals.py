"""Maker-checker: a change waits for a second pair of eyes, or for a policy that stands for it.

The maker is the channel that asked; the checker is a member of staff, or "policy" for the kinds that are
configured to approve themselves. They always differ; the database holds to it as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ussd_engine.platform import audit, changes, customers
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.operations import derived_id

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from ussd_engine.platform.operations import Operation
    from ussd_engine.sealing import KeyRing

POLICY = "policy"
EXPIRES_AFTER = timedelta(days=30)
"""A request that nobody decided on in a month is stale: what it was checked against has changed."""


@dataclass(frozen=True, slots=True)
class Staged:
    change_id: str
    approved: bool


class Approvals:
    """`automatic` holds the kinds of change that policy approves at once."""

    def __init__(self, keys: KeyRing, automatic: frozenset[str]) -> None:
        self._keys = keys
        self._automatic = automatic

    async def stage_activation(
        self, connection: AsyncConnection, operation: Operation, user_id: str, now: datetime
    ) -> Staged:
        """Ask, within the caller's transaction, that the user becomes active."""
        change = changes.StagedChange(
            id=derived_id(operation.id, "change"),
            operation_id=operation.id,
            kind=operation.kind,
            entity="users",
            entity_id=user_id,
            before={"status": await customers.user_status(connection, user_id)},
            after={"status": "active"},
            maker=operation.channel,
            expires_at=now + EXPIRES_AFTER,
        )
        await changes.add(connection, self._keys, change, now)
        staged = _entry(change, operation.channel, "change.staged", operation.workflow_id)
        await audit.append(connection, self._keys, [staged], now)
        if change.kind not in self._automatic:
            return Staged(change.id, approved=False)
        await self.approve(connection, change, POLICY, operation.workflow_id, now)
        return Staged(change.id, approved=True)

    async def approve(
        self,
        connection: AsyncConnection,
        change: changes.StagedChange,
        checker: str,
        request_id: str,
        now: datetime,
    ) -> None:
        """Approve the change as it was read and apply it, in one transaction.

        Raises LookupError when it was decided or changed meanwhile, or its time is up.
        """
        reason = "approved by policy" if checker == POLICY else "approved"
        if not await changes.decide(connection, change, "approved", checker, reason, now):
            raise LookupError(f"staged change {change.id} is no longer open in version {change.version}")
        await customers.activate_user(connection, change.entity_id, now)
        approved = _entry(change, checker, "change.approved", request_id, reason)
        await audit.append(connection, self._keys, [approved], now)


def _entry(
    change: changes.StagedChange, actor: str, action: str, request_id: str, reason: str | None = None
) -> AuditEntry:
    return AuditEntry(
        actor=actor,
        action=action,
        entity="staged_changes",
        entity_id=change.id,
        request_id=request_id,
        reason=reason,
    )
