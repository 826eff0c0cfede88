"""Customers and what hangs on them: identities, profile, contacts, accounts, user."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import (
    ColumnClause,
    Select,
    String,
    and_,
    bindparam,
    exists,
    literal_column,
    or_,
    select,
    update,
)

from ussd_engine import identity
from ussd_engine.errors import UssdError
from ussd_engine.platform.lookup import Lookup
from ussd_engine.platform.reference import USSD_ROLE_ID
from ussd_engine.platform.rows import insert_all_if_absent, insert_if_absent
from ussd_engine.platform.tables import (
    UNFINISHED,
    accounts,
    contacts,
    customers,
    identities,
    operations,
    profiles,
    sealed_at,
    staged_changes,
    users,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, FromClause, Row

    from ussd_engine.identity import Kind
    from ussd_engine.platform.database import Database
    from ussd_engine.sealing import KeyRing

LIVE = ("active", "pending")
"""A user in one of these states stands against a further registration."""
ESSENTIAL = ("phone", "bank_ref")
"""Identities without which a customer could not be found."""
ADMISSIONS = ("account.open", "subscription.register")
"""Kinds of staged change that leave open who a phone number belongs to; so does the move of one."""

Source = Literal["subscriber", "bank"]


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


@dataclass(frozen=True, slots=True)
class KnownCustomer:
    """A customer of the platform, with the user that is linked to it, if any."""

    customer_id: str
    user_id: str | None
    user_status: str | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A customer whose user is active."""

    customer_id: str
    user_id: str
    language: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Who has a phone number, whether staff have yet to decide on that, and whether an operation is under way."""

    known: KnownCustomer | None
    contested: bool
    unfinished: bool


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


def customer_id_of(bank_ref: str) -> str:
    """One platform customer per customer of the bank, whoever records it first."""
    return _row_id("customers", bank_ref)


def user_id_of(customer_id: str) -> str:
    return _row_id("users", customer_id)


class Directory:
    """`get_customer_by_phone_number`: the primary phone first, then `also`, the further identity types, in order.

    Numbers are in E.164, as telcos send them and the JSON routes make them.
    """

    def __init__(self, keys: KeyRing, also: tuple[Kind, ...]) -> None:
        self._keys = keys
        self._kinds: tuple[Kind, ...] = ("phone", *also)
        self._standing = self._standing_lookup()

    def by_phone_number(self, connection: Connection, phone_number: str) -> KnownCustomer | None:
        wanted = _known(self._wanted()).add_columns(identities.c.type)
        rows = connection.execute(wanted, self._values(phone_number)).all()
        return self._first([tuple(row) for row in rows])

    def subscriber(self, connection: Connection, phone_number: str) -> Subscriber | None:
        """As `by_phone_number`; None as well for a customer whose user is not active."""
        known = self.by_phone_number(connection, phone_number)
        if known is None or known.user_status != "active" or not known.user_id or not known.language:
            return None
        return Subscriber(known.customer_id, known.user_id, known.language)

    def others(self, connection: Connection, phone_number: str, customer_id: str) -> list[Contested]:
        """What stands against this customer as the one with the number: identities of whom it finds now instead."""
        rows = connection.execute(select(identities).where(self._wanted()), self._values(phone_number)).all()
        rows = sorted(rows, key=lambda row: self._kinds.index(row.type))
        if not rows or rows[0].customer_id == customer_id:
            return []
        return [_contested(self._keys, row, decides=True) for row in rows if row.customer_id != customer_id]

    async def standing(self, database: Database, phone_number: str) -> Standing:
        """Raises DatabaseUnavailable."""
        rows = await database.look_up(self._standing, phone_number=phone_number, **self._values(phone_number))
        *_, contested, unfinished = rows[0]
        return Standing(self._first([row[:5] for row in rows]), bool(contested), bool(unfinished))

    def _first(self, rows: list[tuple[Any, ...]]) -> KnownCustomer | None:
        """Of rows with the type behind: the one of the type that comes first. They are few, and the look-up is hot."""
        found = [row for row in rows if row[0] is not None]
        if not found:
            return None
        return KnownCustomer(*min(found, key=lambda row: self._kinds.index(row[4]))[:4])

    def _values(self, phone_number: str) -> dict[str, str]:
        """The number as each type stores it; nothing where it is not in the form of the type."""
        values = dict.fromkeys((f"value_{kind}" for kind in self._kinds), "")
        for kind in self._kinds:
            if kind in identity.PHONES:  # it is in the one form of a phone number already
                values[f"value_{kind}"] = phone_number
                continue
            try:
                normalised = identity.normalise(kind, phone_number, "")
            except ValueError:
                continue
            values[f"value_{kind}"] = identity.stored_value(self._keys, kind, normalised)
        return values

    def _wanted(self, table: FromClause = identities) -> Any:
        return or_(
            *(
                and_(table.c.type == kind, table.c.value == bindparam(f"value_{kind}", "", String()))
                for kind in self._kinds
            )
        )

    def _standing_lookup(self) -> Lookup:
        """A row for each customer with this phone number, or one without; and what is under way for the number."""
        mine = operations.c.phone_number == bindparam("phone_number", "", String())
        unfinished = exists().where(mine & operations.c.state.in_(_spelt(*UNFINISHED)))
        moved = identities.alias("moved")
        is_number = exists().where((moved.c.id == staged_changes.c.entity_id) & self._wanted(moved))
        contested = exists().where(
            mine
            & (staged_changes.c.operation_id == operations.c.id)
            & staged_changes.c.state.in_(_spelt("pending"))
            & or_(staged_changes.c.kind.in_(_spelt(*ADMISSIONS)), is_number)
        )
        one_row = select(literal_column("1").label("one")).subquery()
        known = one_row.outerjoin(identities, self._wanted()).outerjoin(
            users, users.c.customer_id == identities.c.customer_id
        )
        columns = (identities.c.customer_id, users.c.id, users.c.status, users.c.language, identities.c.type)
        return Lookup(select(*columns, contested, unfinished).select_from(known))


def _spelt(*words: str) -> list[ColumnClause[str]]:
    """Words of our own, written out: bound, they make SQLite plan anew each time, as partial indexes know them."""
    return [literal_column(f"'{word}'", String()) for word in words]


def by_bank_ref(connection: Connection, bank_ref: str) -> KnownCustomer | None:
    wanted = (identities.c.type == "bank_ref") & (identities.c.value == bank_ref)
    row = connection.execute(_known(wanted)).first()
    return KnownCustomer(*row) if row else None


def _known(wanted: Any) -> Select[Any]:
    return (
        select(identities.c.customer_id, users.c.id.label("user_id"), users.c.status, users.c.language)
        .outerjoin(users, users.c.customer_id == identities.c.customer_id)
        .where(wanted)
    )


def claims(
    connection: Connection, keys: KeyRing, directory: Directory, person: Person
) -> tuple[KnownCustomer | None, list[Contested]]:
    """The customer that the person is by the bank's own id, and the identities by which another one is the person.

    Those are the person's own that stand with another, and whatever else the phone number finds another by.
    """
    mine = _identities_of(keys, person)
    wanted = or_(*((identities.c.type == one.kind) & (identities.c.value == one.value) for one in mine))
    rows = connection.execute(select(identities).where(wanted).order_by(identities.c.type)).all()
    known = by_bank_ref(connection, person.bank_ref)
    # staff may have given it an identity already, and then not have admitted it
    own = known.customer_id if known else customer_id_of(person.bank_ref)
    contested = {row.id: _contested(keys, row) for row in rows if row.customer_id != own}
    contested |= {one.identity_id: one for one in directory.others(connection, person.phone_number, own)}
    return known, [*contested.values()]


def _contested(keys: KeyRing, row: Row[Any], *, decides: bool = False) -> Contested:
    """Of a row of `identities`. The first schema kept nothing but the digest of a document."""
    kind: Kind = row.type
    text = row.value if kind in identity.IN_CLEAR else None
    if row.value_sealed is not None:
        text = _opened(keys, row.value_sealed, "identities", "value_sealed", row.id)
    return Contested(row.id, kind, identity.mask(kind, text) if text else "*", row.customer_id, decides)


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
    _identify(connection, keys, customer_id, _identities_of(keys, person), now)
    _save_profile(connection, keys, customer_id, person, now)
    _save_contact(connection, keys, customer_id, "phone", person.phone_number, now)
    if person.email:
        _save_contact(connection, keys, customer_id, "email", person.email, now)
    for number in person.account_numbers:
        _save_account(connection, customer_id, number, person, now)


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
class _Identity:
    """`value` identifies; `sealed` is the text where that is a digest."""

    kind: Kind
    value: str
    sealed: str | None

    @property
    def row_id(self) -> str:
        return _row_id("identities", self.kind, self.value)


def _identities_of(keys: KeyRing, person: Person) -> list[_Identity]:
    texts: list[tuple[Kind, str | None]] = [
        ("bank_ref", person.bank_ref),
        ("phone", person.phone_number),
        ("national_id", person.national_id),
        ("passport", person.passport),
        ("customer_number", person.customer_number),
        ("email", person.email),
        *(("alternate_phone", number) for number in person.further_phones),
    ]
    found: dict[str, _Identity] = {}
    for kind, text in texts:
        if not text:
            continue
        try:
            normalised = identity.normalise(kind, text, "")
        except ValueError:
            continue  # the bank holds something that identifies nobody, such as "n/a"
        value = identity.stored_value(keys, kind, normalised)
        one = _Identity(kind, value, None)
        if value != normalised:
            context = sealed_at("identities", "value_sealed", one.row_id)
            one = replace(one, sealed=keys.seal(normalised.encode(), context))
        found[one.row_id] = one
    return list(found.values())


def _identify(
    connection: Connection, keys: KeyRing, customer_id: str, mine: list[_Identity], now: datetime
) -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": one.row_id,
            "customer_id": customer_id,
            "type": one.kind,
            "value": one.value,
            "value_sealed": one.sealed,
            "created_at": now,
        }
        for one in mine
    ]
    inserted = insert_all_if_absent(connection, identities, rows)
    for row in rows:
        if row["id"] in inserted or row["type"] not in ESSENTIAL:
            continue
        there = (identities.c.type == row["type"]) & (identities.c.value == row["value"])
        held = connection.execute(select(identities).where(there)).one()
        if held.customer_id != customer_id:
            raise IdentityTaken([_contested(keys, held)])


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
    row_id = _row_id("contacts", customer_id, kind)
    values = {"value_sealed": _seal(keys, value, "contacts", "value_sealed", row_id), "updated_at": now}
    if not insert_if_absent(connection, contacts, id=row_id, customer_id=customer_id, kind=kind, **values):
        connection.execute(update(contacts).where(contacts.c.id == row_id).values(**values))


def _save_account(
    connection: Connection, customer_id: str, number: str, person: Person, now: datetime
) -> None:
    insert_if_absent(
        connection,
        accounts,
        id=_row_id("accounts", number),
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


def _row_id(*parts: str) -> str:
    return str(uuid5(NAMESPACE_OID, "\x1f".join(parts)))


def _seal(keys: KeyRing, value: str | None, table: str, column: str, row_id: str) -> str | None:
    return None if value is None else keys.seal(value.encode(), sealed_at(table, column, row_id))


def _opened(keys: KeyRing, sealed: str | None, table: str, column: str, row_id: str) -> str | None:
    return None if sealed is None else keys.open(sealed, sealed_at(table, column, row_id)).decode()
