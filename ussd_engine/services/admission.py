"""How a person becomes a customer of the platform with an active user: staged, and written when it is approved.

Nothing of a customer is in the platform before that. An identity that stands with another customer is never moved on
the way: the move is a change of its own, on which staff decide first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ussd_engine.platform import changes, customers
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.customers import Contested, IdentityTaken, Person
from ussd_engine.platform.operations import derived_id
from ussd_engine.services.approvals import Approvals, ChangeConflict, Kind, Request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.changes import StagedChange
    from ussd_engine.platform.operations import Operation
    from ussd_engine.sealing import KeyRing

IDENTITY_MOVE = "identity.move"


@dataclass(frozen=True, slots=True)
class Admitted:
    """`active`: policy approved the change at once. The ids are those that the records have or will have."""

    customer_id: str
    user_id: str
    change_id: str
    active: bool
    audit: tuple[AuditEntry, ...]


class Admission:
    def __init__(self, keys: KeyRing, approvals: Approvals) -> None:
        self._keys = keys
        self._approvals = approvals

    def admit(
        self,
        connection: Connection,
        operation: Operation,
        person: Person,
        language: str,
        maker: str,
        now: datetime,
    ) -> Admitted | None:
        """Stage that the person is a customer whose user is active, with the USSD role.

        None when such a change waits for the customer already. Policy approves nothing by which a phone number
        comes to a customer that another one has, or to a customer that was known under another.
        """
        known, contested = customers.claims(connection, self._keys, person)
        customer_id = known.customer_id if known else customers.customer_id_of(person.bank_ref)
        user_id = (known and known.user_id) or customers.user_id_of(customer_id)
        user = {"id": user_id, "status": "active", "language": language, "channel": operation.channel}
        staged = self._approvals.stage(
            connection,
            Request(
                id=derived_id(operation.id, "change"),
                kind=operation.kind,
                entity="customers",
                entity_id=customer_id,
                before=customers.snapshot(connection, self._keys, customer_id) if known else {},
                after={"person": person.plain(), "user": user},
                context={
                    "phone_number": operation.phone_number,
                    "language": language,
                    "first_name": person.first_name,
                },
                maker=maker,
                maker_reason=None,
                request_id=operation.workflow_id,
                operation_id=operation.id,
            ),
            now,
            by_hand=known is not None or any(one.kind == "phone" for one in contested),
        )
        if staged is None:
            return None
        entries = [*staged.audit]
        for one in contested:
            entries += self._stage_move(connection, operation, one, customer_id, now)
        return Admitted(customer_id, user_id, staged.change_id, staged.approved, tuple(entries))

    def _stage_move(
        self,
        connection: Connection,
        operation: Operation,
        contested: Contested,
        claimant: str,
        now: datetime,
    ) -> tuple[AuditEntry, ...]:
        moved = self._approvals.stage(
            connection,
            Request(
                id=derived_id(operation.id, f"move:{contested.identity_id}"),
                kind=IDENTITY_MOVE,
                entity="identities",
                entity_id=contested.identity_id,
                before={"type": contested.kind, "customer_id": contested.holder},
                after={"type": contested.kind, "customer_id": claimant},
                context={},
                maker=operation.channel,
                maker_reason="the bank holds it for another customer than the platform",
                request_id=operation.workflow_id,
                operation_id=operation.id,
            ),
            now,
            by_hand=True,
        )
        return moved.audit if moved else ()


def kinds(keys: KeyRing) -> Mapping[str, Kind]:
    """What approving does to a customer."""
    return {
        "account.open": Kind(
            lambda connection, change, now: _admit(connection, keys, change, now),
            approved_sms="subscription_active",
            rejected_sms="subscription_rejected",
        ),
        "subscription.register": Kind(
            lambda connection, change, now: _admit(connection, keys, change, now),
            approved_sms="subscription_active",
            rejected_sms="subscription_rejected",
        ),
        IDENTITY_MOVE: Kind(_move),
    }


def _admit(connection: Connection, keys: KeyRing, change: StagedChange, now: datetime) -> None:
    if change.entity == "users":  # of the first schema, where customer and user were written before
        customers.activate_pending_user(connection, change.entity_id, now)
        return
    user: Mapping[str, Any] = change.after["user"]
    try:
        customers.save_person(connection, keys, change.entity_id, Person.of(change.after["person"]), now)
    except IdentityTaken as error:
        moves = changes.waiting_for(connection, "identities", error.identity_id)
        first = f"decide on {moves[0][1]} first" if moves else "it has to be moved first"
        raise ChangeConflict(f"{error}; {first}") from error
    customers.activate_user(connection, change.entity_id, user["id"], user["language"], user["channel"], now)


def _move(connection: Connection, change: StagedChange, now: datetime) -> None:
    holder, claimant = change.before["customer_id"], change.after["customer_id"]
    if not customers.move_identity(connection, change.entity_id, holder, claimant, now):
        raise ChangeConflict("the identity is no longer with the customer that it was to be taken from")
