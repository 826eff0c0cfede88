"""Customers and what hangs on them: identities, profile, contacts, accounts, user."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import Select, String, bindparam, case, exists, insert, literal, select, true, update

from ussd_engine.platform.lookup import Lookup
from ussd_engine.platform.reference import USSD_ROLE_ID
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import (
    UNFINISHED,
    accounts,
    contacts,
    customers,
    identities,
    operations,
    profiles,
    sealed_at,
    users,
)

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from ussd_engine.platform.database import Database
    from ussd_engine.sealing import KeyRing

PHONE_TYPES = ("phone", "alternate_phone", "wallet")
"""The identity types that a dialling number may stand under, the primary first."""
BANK_REF = "bank_ref"
"""The identity type of the bank's own customer id: one platform customer per customer of the bank."""
LIVE = ("active", "pending")
"""A user in one of these states stands against a further registration."""

Source = Literal["subscriber", "bank"]


@dataclass(frozen=True, slots=True)
class KnownCustomer:
    """A customer of the platform, with the user that is linked to it, if any."""

    customer_id: str
    user_id: str | None
    user_status: str | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Person:
    """What a registration or an opening tells about a customer. `source` says who vouches for it."""

    bank_ref: str
    phone_number: str = field(repr=False)
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    date_of_birth: date | None = field(repr=False)
    national_id: str | None = field(repr=False)
    gender: str | None
    email: str | None = field(repr=False)
    account_numbers: tuple[str, ...] = field(repr=False)
    product: str | None
    source: Source


async def get_customer_by_phone_number(
    connection: AsyncConnection, phone_number: str
) -> KnownCustomer | None:
    row = (await connection.execute(_by_phone_number(phone_number))).first()
    return KnownCustomer(*row) if row else None


async def get_customer_by_bank_ref(connection: AsyncConnection, bank_ref: str) -> KnownCustomer | None:
    wanted = (identities.c.type == BANK_REF) & (identities.c.value == bank_ref)
    row = (await connection.execute(_known(wanted, identities.c.id))).first()
    return KnownCustomer(*row) if row else None


def _by_phone_number(phone_number: Any) -> Select[Any]:
    """The customer whose primary phone this is, else the one that has it under another phone type."""
    rank = case({name: place for place, name in enumerate(PHONE_TYPES)}, value=identities.c.type)
    wanted = identities.c.type.in_(PHONE_TYPES) & (identities.c.value == phone_number)
    return _known(wanted, rank)


def _known(wanted: Any, order: Any) -> Select[Any]:
    return (
        select(identities.c.customer_id, users.c.id.label("user_id"), users.c.status, users.c.language)
        .outerjoin(users, users.c.customer_id == identities.c.customer_id)
        .where(wanted)
        .order_by(order)
        .limit(1)
    )


def _standing() -> Lookup:
    """One row: the customer with this phone number, if any, and whether an operation of it is unfinished."""
    phone_number = bindparam("phone_number", "", String())
    known = _by_phone_number(phone_number).subquery()
    unfinished = (operations.c.phone_number == phone_number) & operations.c.state.in_(UNFINISHED)
    one_row = select(literal(1).label("one")).subquery()
    return Lookup(select(*known.c, exists().where(unfinished)).select_from(one_row.outerjoin(known, true())))


_STANDING = _standing()


async def standing(database: Database, phone_number: str) -> tuple[KnownCustomer | None, bool]:
    """Who has this phone number, and whether a registration or an opening of it is under way."""
    rows = await database.look_up(_STANDING, phone_number=phone_number)
    customer_id, user_id, status, language, waiting = rows[0]
    known = KnownCustomer(customer_id, user_id, status, language) if customer_id else None
    return known, bool(waiting)


async def has_live_user(connection: AsyncConnection, person: Person) -> bool:
    """Whether a user stands already where this person would be recorded."""
    by_ref = await get_customer_by_bank_ref(connection, person.bank_ref)
    by_phone = await get_customer_by_phone_number(connection, person.phone_number)
    return any(known and known.user_status in LIVE for known in (by_ref, by_phone))


async def save_person(
    connection: AsyncConnection, keys: KeyRing, person: Person, new_id: str, now: datetime
) -> str:
    """Record a person and answer the customer's id: the known customer's, else `new_id`.

    The bank's customer id alone decides who it is: a recycled phone number must not merge two people. A number
    that stood with another customer moves, because the bank says whose it is today; callers first make sure
    that no live user stands there.
    """
    known = await get_customer_by_bank_ref(connection, person.bank_ref)
    customer_id = known.customer_id if known else new_id
    if known is None:
        await connection.execute(insert(customers).values(id=customer_id, created_at=now))
        # Fails when another transaction recorded the same person meanwhile: the step is then run again.
        await connection.execute(
            insert(identities).values(_identity(customer_id, BANK_REF, person.bank_ref, now))
        )
    await _identify(connection, customer_id, "phone", person.phone_number, now)
    await _save_profile(connection, keys, customer_id, person, now)
    await _save_contact(connection, keys, customer_id, "phone", person.phone_number, now)
    if person.email:
        await _save_contact(connection, keys, customer_id, "email", person.email, now)
    for number in person.account_numbers:
        await _save_account(connection, customer_id, number, person, now)
    return customer_id


async def _identify(
    connection: AsyncConnection, customer_id: str, type_: str, value: str, now: datetime
) -> None:
    if not await insert_if_absent(connection, identities, **_identity(customer_id, type_, value, now)):
        await connection.execute(
            update(identities)
            .where((identities.c.type == type_) & (identities.c.value == value))
            .values(customer_id=customer_id)
        )


def _identity(customer_id: str, type_: str, value: str, now: datetime) -> dict[str, Any]:
    return {
        "id": _row_id("identities", type_, value),
        "customer_id": customer_id,
        "type": type_,
        "value": value,
        "created_at": now,
    }


async def _save_profile(
    connection: AsyncConnection, keys: KeyRing, customer_id: str, person: Person, now: datetime
) -> None:
    born = person.date_of_birth.isoformat() if person.date_of_birth else None
    values = {
        "first_name": person.first_name,
        "last_name": person.last_name,
        "gender": person.gender,
        "date_of_birth_sealed": _seal(keys, born, "profiles", "date_of_birth_sealed", customer_id),
        "national_id_sealed": _seal(keys, person.national_id, "profiles", "national_id_sealed", customer_id),
        "source": person.source,
        "updated_at": now,
    }
    if not await insert_if_absent(connection, profiles, customer_id=customer_id, **values):
        await connection.execute(
            update(profiles).where(profiles.c.customer_id == customer_id).values(**values)
        )


async def _save_contact(
    connection: AsyncConnection, keys: KeyRing, customer_id: str, kind: str, value: str, now: datetime
) -> None:
    row_id = _row_id("contacts", customer_id, kind)
    values = {"value_sealed": _seal(keys, value, "contacts", "value_sealed", row_id), "updated_at": now}
    new = {"id": row_id, "customer_id": customer_id, "kind": kind, **values}
    if not await insert_if_absent(connection, contacts, **new):
        await connection.execute(update(contacts).where(contacts.c.id == row_id).values(**values))


async def _save_account(
    connection: AsyncConnection, customer_id: str, number: str, person: Person, now: datetime
) -> None:
    await insert_if_absent(
        connection,
        accounts,
        id=_row_id("accounts", number),
        customer_id=customer_id,
        account_number=number,
        product=person.product,
        source=person.source,
        created_at=now,
    )


async def save_pending_user(
    connection: AsyncConnection, customer_id: str, new_id: str, language: str, channel: str, now: datetime
) -> str:
    """The customer's user, pending, with the USSD role. A rejected one is taken up again, a live one kept."""
    values = {"status": "pending", "language": language, "channel": channel, "role_id": USSD_ROLE_ID}
    new = {"id": new_id, "customer_id": customer_id, "created_at": now, **values}
    if await insert_if_absent(connection, users, **new):
        return new_id
    await connection.execute(
        update(users)
        .where((users.c.customer_id == customer_id) & users.c.status.not_in(LIVE))
        .values(**values)
    )
    return str(
        (await connection.execute(select(users.c.id).where(users.c.customer_id == customer_id))).scalar_one()
    )


async def user_status(connection: AsyncConnection, user_id: str) -> str:
    return str((await connection.execute(select(users.c.status).where(users.c.id == user_id))).scalar_one())


async def activate_user(connection: AsyncConnection, user_id: str, now: datetime) -> None:
    await connection.execute(
        update(users)
        .where((users.c.id == user_id) & (users.c.status == "pending"))
        .values(status="active", activated_at=now)
    )


def _row_id(*parts: str) -> str:
    return str(uuid5(NAMESPACE_OID, "\x1f".join(parts)))


def _seal(keys: KeyRing, value: str | None, table: str, column: str, row_id: str) -> str | None:
    return None if value is None else keys.seal(value.encode(), sealed_at(table, column, row_id))
