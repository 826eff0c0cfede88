"""How a person becomes a customer of the platform with a user, staged for approval: one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ussd_engine.platform import audit, customers
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.operations import derived_id

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from ussd_engine.platform.customers import Person
    from ussd_engine.platform.operations import Operation
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.approvals import Approvals


@dataclass(frozen=True, slots=True)
class Admitted:
    """`active` says that policy approved the change at once."""

    customer_id: str
    user_id: str
    change_id: str
    active: bool


class Admission:
    def __init__(self, keys: KeyRing, approvals: Approvals) -> None:
        self._keys = keys
        self._approvals = approvals

    async def admit(
        self,
        connection: AsyncConnection,
        operation: Operation,
        person: Person,
        language: str,
        now: datetime,
    ) -> Admitted:
        """Record the person and a pending user with the USSD role, and stage that the user becomes active."""
        customer_id = await customers.save_person(
            connection, self._keys, person, derived_id(operation.id, "customer"), now
        )
        user_id = await customers.save_pending_user(
            connection, customer_id, derived_id(operation.id, "user"), language, operation.channel, now
        )
        linked = AuditEntry(operation.channel, "user.linked", "users", user_id, operation.workflow_id)
        await audit.append(connection, self._keys, [linked], now)
        staged = await self._approvals.stage_activation(connection, operation, user_id, now)
        return Admitted(customer_id, user_id, staged.change_id, staged.approved)
