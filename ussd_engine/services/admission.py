"""How a person becomes a customer of the platform with an active user: staged, and written when it is approved.

Nothing of a customer is in the platform before that. An identity that stands with another customer is never moved on
the way: the move is a change of its own, on which staff decide first. So it is with whatever identity of another the
phone number is known by: it finds its customer by any of several types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ussd_engine.platform import changes, customers
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.customers import Person
from ussd_engine.platform.directory import claims
from ussd_engine.platform.identities import Contested, IdentityTaken, move_identity
from ussd_engine.platform.operations import derived_id
from ussd_engine.services.approvals import Approvals, ChangeConflict, Kind, Request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.changes import StagedChange
    from ussd_engine.platform.customers import Source
    from ussd_engine.platform.directory import Directory
    from ussd_engine.platform.operations import Operation
    from ussd_engine.sealing import KeyRing

IDENTITY_MOVE = "identity.move"
WHY_MOVED: Mapping[Source, str] = {
    "bank": "the bank holds it for another customer than the platform",
    "subscriber": "it was given for an account that the bank has opened for another customer",
}
"""By who vouches for the claimant's data."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """`active`: policy approved the change at once. The ids are those that the records have or will have."""

    customer_id: str
    user_id: str
    change_id: str
    active: bool
    audit: tuple[AuditEntry, ...]


class Admission:
    def __init__(self, keys: KeyRing, directory: Directory, approvals: Approvals) -> None:
        self._keys = keys
        self._directory = directory
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
        known, contested = claims(connection, self._keys, self._directory, person)
        customer_id = known.customer_id if known else customers.customer_id_of(person.bank_ref)
        before = customers.snapshot(connection, self._keys, customer_id) if known else {}
        user = before.get("user", {})
        if user.get("status") != "active":  # who is active keeps what the subscriber chose
            user_id = (known and known.user_id) or customers.user_id_of(customer_id)
            user = {"id": user_id, "status": "active", "language": language, "channel": operation.channel}
        staged = self._approvals.stage(
            connection,
            Request(
                id=derived_id(operation.id, "change"),
                kind=operation.kind,
                entity="customers",
                entity_id=customer_id,
                before=before,
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
            by_hand=known is not None or any(one.decides for one in contested),
        )
        if staged is None:
            return None
        entries = [*staged.audit]
        for one in contested:
            id_ = derived_id(operation.id, f"move:{one.identity_id}")
            wanted = _move_of(
                one, customer_id, person.source, id_, maker, operation.workflow_id, operation.id
            )
            moved = self._approvals.stage(connection, wanted, now, by_hand=True)
            entries += moved.audit if moved else ()
        return Admitted(customer_id, user["id"], staged.change_id, staged.approved, tuple(entries))


def _move_of(
    contested: Contested,
    claimant: str,
    source: Source,
    id_: str,
    maker: str,
    request_id: str,
    operation_id: str | None,
) -> Request:
    """That an identity goes from who has it to who claims it."""
    which = {"type": contested.kind, "value": contested.masked}
    return Request(
        id=id_,
        kind=IDENTITY_MOVE,
        entity="identities",
        entity_id=contested.identity_id,
        before={**which, "customer_id": contested.holder},
        after={**which, "customer_id": claimant},
        context={},
        maker=maker,
        maker_reason=WHY_MOVED[source],
        request_id=request_id,
        operation_id=operation_id,
    )


def kinds(keys: KeyRing, directory: Directory) -> Mapping[str, Kind]:
    """What approving does to a customer."""
    admits = Kind(
        lambda connection, change, now: _admit(connection, keys, directory, change, now),
        approved_sms="subscription_active",
        rejected_sms="subscription_rejected",
    )
    return {"account.open": admits, "subscription.register": admits, IDENTITY_MOVE: Kind(_move)}


def _admit(
    connection: Connection, keys: KeyRing, directory: Directory, change: StagedChange, now: datetime
) -> None:
    if change.entity == "users":  # of the first schema, where customer and user were written before
        customers.activate_pending_user(connection, change.entity_id, now)
        return
    user: Mapping[str, Any] = change.after["user"]
    person = Person.of(change.after["person"])
    if others := directory.others(connection, person.phone_number, change.entity_id):
        raise _conflict(connection, change, person, IdentityTaken(others))
    try:
        customers.save_person(connection, keys, change.entity_id, person, now)
    except IdentityTaken as error:
        raise _conflict(connection, change, person, error) from error
    customers.activate_user(connection, change.entity_id, user["id"], user["language"], user["channel"], now)


def _conflict(
    connection: Connection, change: StagedChange, person: Person, taken: IdentityTaken
) -> ChangeConflict:
    """What to decide first: the moves that wait, and those that nobody asked for or that were rejected."""
    waiting: list[str] = []
    needs: list[Request] = []
    for one in taken.contested:
        moves = [id_ for _, id_ in changes.waiting_for(connection, "identities", one.identity_id)]
        waiting += moves
        if not moves:
            needs.append(
                _move_of(
                    one, change.entity_id, person.source, str(uuid4()), change.maker, "", change.operation_id
                )
            )
    words = (
        f"{taken}; decide on {', '.join(waiting)} first" if waiting else f"{taken}, and has to be moved first"
    )
    return ChangeConflict(words, tuple(needs))


def _move(connection: Connection, change: StagedChange, now: datetime) -> None:
    holder, claimant = change.before["customer_id"], change.after["customer_id"]
    if not move_identity(connection, change.entity_id, holder, claimant, now):
        raise ChangeConflict(
            "the identity is no longer with the customer that it was to be taken from; reject this change"
        )
