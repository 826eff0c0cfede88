"""What identifies a customer: phone numbers, the bank's own id, documents. Each stands with one customer alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from ussd_engine import identity
from ussd_engine.errors import UssdError
from ussd_engine.platform.rows import insert_all_if_absent, insert_if_absent, row_id
from ussd_engine.platform.tables import customers, identities, sealed_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from ussd_engine.identity import Kind
    from ussd_engine.platform.customers import Person
    from ussd_engine.sealing import KeyRing

ESSENTIAL = ("phone", "bank_ref")
"""Identities without which a customer could not be found."""


@dataclass(frozen=True, slots=True)
class Contested:
    """An identity of one customer that another one claims: the row, its type, a masked value, and who has it.

    `decides`: it is by this one that the phone number of the claimant finds its customer.
    """

    identity_id: str
    kind: Kind
    masked: str
    holder: str
    decides: bool = False


class IdentityTaken(UssdError):
    """Identities that a customer is to have stand with other customers."""

    code = "identity_taken"

    def __init__(self, contested: Sequence[Contested]) -> None:
        each = (
            f"the {one.kind.replace('_', ' ')} {one.masked} stands with customer {one.holder}"
            for one in contested
        )
        super().__init__("; ".join(each))
        self.contested = tuple(contested)


def as_contested(keys: KeyRing, row: Row[Any], *, decides: bool = False) -> Contested:
    """Of a row of `identities`. The first schema kept nothing but the digest of a document."""
    kind: Kind = row.type
    text = row.value if kind in identity.IN_CLEAR else None
    if row.value_sealed is not None:
        sealed_in = sealed_at("identities", "value_sealed", row.id)
        text = keys.open(row.value_sealed, sealed_in).decode()
    return Contested(row.id, kind, identity.mask(kind, text) if text else "*", row.customer_id, decides)


def move_identity(
    connection: Connection, identity_id: str, holder: str, claimant: str, now: datetime
) -> bool:
    """Give an identity to another customer. False when it is no longer with `holder`."""
    insert_if_absent(connection, customers, id=claimant, created_at=now)
    moved = connection.execute(
        update(identities)
        .where((identities.c.id == identity_id) & (identities.c.customer_id == holder))
        .values(customer_id=claimant)
    )
    return moved.rowcount == 1


@dataclass(frozen=True, slots=True)
class Identity:
    """`value` identifies; `sealed` is the text where that is a digest."""

    kind: Kind
    value: str
    sealed: str | None

    @property
    def row_id(self) -> str:
        return row_id("identities", self.kind, self.value)


def identities_of(keys: KeyRing, person: Person) -> list[Identity]:
    """Each once; what identifies nobody is left out."""
    texts: list[tuple[Kind, str | None]] = [
        ("bank_ref", person.bank_ref),
        ("phone", person.phone_number),
        ("national_id", person.national_id),
        ("passport", person.passport),
        ("customer_number", person.customer_number),
        ("email", person.email),
        *(("alternate_phone", number) for number in person.further_phones),
    ]
    found: dict[str, Identity] = {}
    for kind, text in texts:
        if not text:
            continue
        try:
            normalised = identity.normalise(kind, text, "")
        except ValueError:
            continue  # the bank holds something that identifies nobody, such as "n/a"
        value = identity.stored_value(keys, kind, normalised)
        one = Identity(kind, value, None)
        if value != normalised:
            context = sealed_at("identities", "value_sealed", one.row_id)
            one = replace(one, sealed=keys.seal(normalised.encode(), context))
        found[one.row_id] = one
    return list(found.values())


def identify(connection: Connection, keys: KeyRing, customer_id: str, person: Person, now: datetime) -> None:
    """Record by what this customer is identified. Raises IdentityTaken for what is essential and another's."""
    rows: list[dict[str, Any]] = [
        {
            "id": one.row_id,
            "customer_id": customer_id,
            "type": one.kind,
            "value": one.value,
            "value_sealed": one.sealed,
            "created_at": now,
        }
        for one in identities_of(keys, person)
    ]
    inserted = insert_all_if_absent(connection, identities, rows)
    for row in rows:
        if row["id"] in inserted or row["type"] not in ESSENTIAL:
            continue
        there = (identities.c.type == row["type"]) & (identities.c.value == row["value"])
        held = connection.execute(select(identities).where(there)).one()
        if held.customer_id != customer_id:
            raise IdentityTaken([as_contested(keys, held)])
