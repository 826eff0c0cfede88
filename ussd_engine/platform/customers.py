"""Customers as they are recorded: what is known of a person, and the user."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import select, update

from ussd_engine.platform.identities import ESSENTIAL, identify
from ussd_engine.platform.reference import USSD_ROLE_ID
from ussd_engine.platform.rows import insert_if_absent, row_id
from ussd_engine.platform.tables import accounts, contacts, customers, identities, profiles, sealed_at, users

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.sealing import KeyRing

LIVE = ("active", "pending")
"""A user in one of these states stands against a further registration."""
Source = Literal["subscriber", "bank"]


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
    kyc_tier: int | None
    source: Source
    passport: str | None = field(default=None, repr=False)
    customer_number: str | None = None
    further_phones: tuple[str, ...] = field(default=(), repr=False)

    def plain(self) -> dict[str, Any]:
        """As JSON data, which `of` reads again."""
        born = self.date_of_birth
        lists = {"account_numbers": [*self.account_numbers], "further_phones": [*self.further_phones]}
        return {**asdict(self), "date_of_birth": born and born.isoformat(), **lists}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Person:
        born = plain["date_of_birth"]
        return cls(
            **{
                **plain,
                "date_of_birth": date.fromisoformat(born) if born else None,
                "account_numbers": tuple(plain["account_numbers"]),
                "further_phones": tuple(plain.get("further_phones", ())),
            }
        )


def customer_id_of(bank_ref: str) -> str:
    """One platform customer per customer of the bank, whoever records it first."""
    return row_id("customers", bank_ref)


def user_id_of(customer_id: str) -> str:
    return row_id("users", customer_id)


def snapshot(connection: Connection, keys: KeyRing, customer_id: str) -> dict[str, Any]:
    """What the platform holds of a customer, in the words of `Person`; empty when it knows nothing."""
    profile = connection.execute(select(profiles).where(profiles.c.customer_id == customer_id)).first()
    if profile is None:
        return {}
    person = {name: getattr(profile, name) for name in ("first_name", "last_name", "gender", "source")}
    for name in ("date_of_birth", "national_id"):
        sealed = getattr(profile, f"{name}_sealed")
        person[name] = _opened(keys, sealed, "profiles", f"{name}_sealed", customer_id)
    numbers = connection.execute(
        select(accounts.c.account_number)
        .where(accounts.c.customer_id == customer_id)
        .order_by(accounts.c.created_at, accounts.c.account_number)
    )
    person["account_numbers"] = [row[0] for row in numbers]
    ids = connection.execute(
        select(identities.c.type, identities.c.value)
        .where((identities.c.customer_id == customer_id) & identities.c.type.in_(ESSENTIAL))
        .order_by(identities.c.created_at)
    )
    words = {"bank_ref": "bank_ref", "phone": "phone_number"}
    person |= {words[row.type]: row.value for row in ids}
    user = connection.execute(
        select(users.c.id, users.c.status, users.c.language, users.c.channel).where(
            users.c.customer_id == customer_id
        )
    ).first()
    if user is None:
        return {"person": person}
    held = {"id": user.id, "status": user.status, "language": user.language, "channel": user.channel}
    return {"person": person, "user": held}


def save_person(
    connection: Connection, keys: KeyRing, customer_id: str, person: Person, now: datetime
) -> None:
    """Record a person as this customer, with identities, profile, contacts and accounts.

    An identity that stands with another customer stays there: it never moves silently. Raises IdentityTaken when
    that is the phone number or the bank's own id, without which the customer could not be found.
    """
    insert_if_absent(connection, customers, id=customer_id, created_at=now)
    identify(connection, keys, customer_id, person, now)
    _save_profile(connection, keys, customer_id, person, now)
    _save_contact(connection, keys, customer_id, "phone", person.phone_number, now)
    if person.email:
        _save_contact(connection, keys, customer_id, "email", person.email, now)
    for number in person.account_numbers:
        _save_account(connection, customer_id, number, person, now)


def _save_profile(
    connection: Connection, keys: KeyRing, customer_id: str, person: Person, now: datetime
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
    if not insert_if_absent(connection, profiles, customer_id=customer_id, **values):
        connection.execute(update(profiles).where(profiles.c.customer_id == customer_id).values(**values))


def _save_contact(
    connection: Connection, keys: KeyRing, customer_id: str, kind: str, value: str, now: datetime
) -> None:
    contact_id = row_id("contacts", customer_id, kind)
    values = {"value_sealed": _seal(keys, value, "contacts", "value_sealed", contact_id), "updated_at": now}
    if not insert_if_absent(
        connection, contacts, id=contact_id, customer_id=customer_id, kind=kind, **values
    ):
        connection.execute(update(contacts).where(contacts.c.id == contact_id).values(**values))


def _save_account(
    connection: Connection, customer_id: str, number: str, person: Person, now: datetime
) -> None:
    insert_if_absent(
        connection,
        accounts,
        id=row_id("accounts", number),
        customer_id=customer_id,
        account_number=number,
        product=person.product,
        kyc_tier=person.kyc_tier,
        source=person.source,
        created_at=now,
    )


def activate_user(
    connection: Connection, customer_id: str, user_id: str, language: str, channel: str, now: datetime
) -> None:
    """The customer's user, active, with the role of every subscriber; made when there is none.

    One that is active stays as it is: the subscriber may have chosen another language while staff decided.
    """
    values = {
        "status": "active",
        "language": language,
        "channel": channel,
        "role_id": USSD_ROLE_ID,
        "activated_at": now,
    }
    if not insert_if_absent(connection, users, id=user_id, customer_id=customer_id, created_at=now, **values):
        waits = (users.c.customer_id == customer_id) & (users.c.status != "active")
        connection.execute(update(users).where(waits).values(**values))


def activate_pending_user(connection: Connection, user_id: str, now: datetime) -> None:
    connection.execute(update(users).where(users.c.id == user_id).values(status="active", activated_at=now))


def set_language(connection: Connection, user_id: str, language: str) -> None:
    connection.execute(update(users).where(users.c.id == user_id).values(language=language))


def _seal(keys: KeyRing, value: str | None, table: str, column: str, row_id: str) -> str | None:
    return None if value is None else keys.seal(value.encode(), sealed_at(table, column, row_id))


def _opened(keys: KeyRing, sealed: str | None, table: str, column: str, row_id: str) -> str | None:
    return None if sealed is None else keys.open(sealed, sealed_at(table, column, row_id)).decode()
