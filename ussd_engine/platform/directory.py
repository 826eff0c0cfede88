"""Whom a phone number or the bank's own id belongs to, and who else is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnClause, Select, String, and_, bindparam, exists, literal_column, or_, select

from ussd_engine import identity
from ussd_engine.platform.customers import customer_id_of
from ussd_engine.platform.identities import as_contested, identities_of
from ussd_engine.platform.lookup import Lookup
from ussd_engine.platform.tables import UNFINISHED, identities, operations, staged_changes, users

if TYPE_CHECKING:
    from sqlalchemy import Connection, FromClause

    from ussd_engine.identity import Kind
    from ussd_engine.platform.customers import Person
    from ussd_engine.platform.database import Database
    from ussd_engine.platform.identities import Contested
    from ussd_engine.sealing import KeyRing

ADMISSIONS = ("account.open", "subscription.register")
"""Kinds of staged change that leave open who a phone number belongs to; so does the move of one."""


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
        return [as_contested(self._keys, row, decides=True) for row in rows if row.customer_id != customer_id]

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
    mine = identities_of(keys, person)
    wanted = or_(*((identities.c.type == one.kind) & (identities.c.value == one.value) for one in mine))
    rows = connection.execute(select(identities).where(wanted).order_by(identities.c.type)).all()
    known = by_bank_ref(connection, person.bank_ref)
    # staff may have given it an identity already, and then not have admitted it
    own = known.customer_id if known else customer_id_of(person.bank_ref)
    contested = {row.id: as_contested(keys, row) for row in rows if row.customer_id != own}
    contested |= {one.identity_id: one for one in directory.others(connection, person.phone_number, own)}
    return known, [*contested.values()]
