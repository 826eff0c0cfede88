"""The sandbox bank's books: its tables, and the transactions and queries on them.

Plain functions of a connection; instants are seconds since 1970. A row of `customers` is a customer with one
account from `active_from` on; until then it is an application, which holds its phone number, national id and
external id as a customer would.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

from ussd_engine.ports import (
    Duplicate,
    Holder,
    InProgress,
    NewAccount,
    Opened,
    OpenOutcome,
    PendingApproval,
    Rejected,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_SCHEMA: Final = (
    # AUTOINCREMENT: the number of a rejected application never becomes another customer's
    """CREATE TABLE IF NOT EXISTS customers (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        phone_number TEXT NOT NULL UNIQUE,
        first_name TEXT NOT NULL,
        last_name TEXT NOT NULL,
        date_of_birth TEXT,
        national_id TEXT UNIQUE,
        gender TEXT,
        email TEXT,
        product TEXT,
        external_id TEXT UNIQUE,
        needs_approval INTEGER NOT NULL DEFAULT 0,
        active_from REAL NOT NULL DEFAULT 0)""",
    """CREATE TABLE IF NOT EXISTS openings (
        idempotency_key TEXT PRIMARY KEY,
        external_id TEXT NOT NULL,
        customer INTEGER REFERENCES customers (number),
        duplicate_field TEXT,
        rejected_reason TEXT,
        CHECK ((customer IS NULL) + (duplicate_field IS NULL) + (rejected_reason IS NULL) = 2))""",
    "CREATE INDEX IF NOT EXISTS openings_by_external_id ON openings (external_id)",
    "CREATE INDEX IF NOT EXISTS openings_by_customer ON openings (customer)",
)
_EXISTING_CUSTOMER: Final = (
    "INSERT OR IGNORE INTO customers"
    " (phone_number, first_name, last_name, date_of_birth, national_id, gender, email, active_from)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_NEW_CUSTOMER: Final = (
    "INSERT INTO customers (phone_number, first_name, last_name, date_of_birth, national_id, gender, product,"
    " external_id, needs_approval, active_from)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING number"
)
_OPENING_BY_KEY: Final = (
    "SELECT duplicate_field, rejected_reason, number, needs_approval, active_from"
    " FROM openings LEFT JOIN customers ON number = customer WHERE idempotency_key = ?"
)
_OPENING_BY_EXTERNAL_ID: Final = (
    "SELECT duplicate_field, rejected_reason, number, needs_approval, active_from"
    " FROM openings o LEFT JOIN customers ON number = customer WHERE o.external_id = ?"
    # an opening that holds the external id outweighs refused attempts before and after it
    " ORDER BY customer IS NULL, o.rowid DESC LIMIT 1"
)
_WAITING: Final = "SELECT 1 FROM customers WHERE number = ? AND needs_approval AND active_from > ?"

_BANK_CODE: Final = "10"
"""The first two digits of every account number of this bank."""
_CUSTOMER_REF: Final = re.compile(r"C([0-9]{9})")
_REFERENCE: Final = re.compile(r"APP-([0-9]{9})")


def set_up(db: sqlite3.Connection, existing: Iterable[tuple[object, ...]]) -> None:
    """Make the tables and the customers that the bank always had, where they are missing."""
    for statement in _SCHEMA:
        db.execute(statement)
    db.executemany(_EXISTING_CUSTOMER, existing)


def customer_ref_by_phone(db: sqlite3.Connection, phone_number: str, at: float) -> str | None:
    sql = "SELECT number FROM customers WHERE phone_number = ? AND active_from <= ?"
    row = db.execute(sql, (phone_number, at)).fetchone()
    return None if row is None else _customer_ref(row["number"])


def holder(db: sqlite3.Connection, customer_ref: str, at: float) -> Holder | None:
    sql = "SELECT * FROM customers WHERE number = ? AND active_from <= ?"
    row = db.execute(sql, (_number(_CUSTOMER_REF, customer_ref), at)).fetchone()
    if row is None:
        return None
    return Holder(
        customer_ref=customer_ref,
        first_name=row["first_name"],
        last_name=row["last_name"],
        phone_number=row["phone_number"],
        date_of_birth=None if row["date_of_birth"] is None else date.fromisoformat(row["date_of_birth"]),
        national_id=row["national_id"],
        gender=row["gender"],
        email=row["email"],
        account_numbers=(account_number(row["number"]),),
        since=datetime.fromtimestamp(row["active_from"], UTC).date(),
    )


def enter_opening(
    db: sqlite3.Connection,
    request: NewAccount,
    key: str,
    external_id: str,
    *,
    active_from: float,
    needs_approval: bool,
    rejection: str | None,
) -> sqlite3.Row:
    """Decide on a request and write the decision down, unless its key has one already; return it."""
    if db.execute(_OPENING_BY_KEY, (key,)).fetchone() is None:
        number, duplicate = None, None
        if rejection is None:
            number = _new_customer(db, request, external_id, active_from, needs_approval=needs_approval)
            duplicate = _duplicate_field(db, request, external_id) if number is None else None
        opening = (key, external_id, number, duplicate, rejection)
        db.execute("INSERT INTO openings VALUES (?, ?, ?, ?, ?)", opening)
    entered: sqlite3.Row = db.execute(_OPENING_BY_KEY, (key,)).fetchone()
    return entered


def opening_by_external_id(db: sqlite3.Connection, external_id: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(_OPENING_BY_EXTERNAL_ID, (external_id,)).fetchone()
    return row


def outcome(opening: sqlite3.Row, at: float) -> OpenOutcome:
    """Tell how an opening stands at an instant."""
    if opening["duplicate_field"] is not None:
        return Duplicate(opening["duplicate_field"])
    if opening["rejected_reason"] is not None:
        return Rejected(opening["rejected_reason"])
    number = opening["number"]
    if opening["active_from"] <= at:
        return Opened(_customer_ref(number), account_number(number))
    return PendingApproval(f"APP-{number:09d}") if opening["needs_approval"] else InProgress()


def approve(db: sqlite3.Connection, reference: str, at: float) -> bool:
    number = _number(_REFERENCE, reference)
    if db.execute(_WAITING, (number, at)).fetchone() is None:
        return False
    db.execute("UPDATE customers SET active_from = ? WHERE number = ?", (at, number))
    return True


def reject(db: sqlite3.Connection, reference: str, reason: str, at: float) -> bool:
    """Remove an application, so that its phone number and ids are free again; its refusal stays."""
    number = _number(_REFERENCE, reference)
    if db.execute(_WAITING, (number, at)).fetchone() is None:
        return False
    db.execute(
        "UPDATE openings SET customer = NULL, rejected_reason = ? WHERE customer = ?", (reason, number)
    )
    db.execute("DELETE FROM customers WHERE number = ?", (number,))
    return True


def opened_count(db: sqlite3.Connection, phone_number: str | None, at: float) -> int:
    sql = (
        "SELECT COUNT(*) FROM customers WHERE external_id IS NOT NULL AND active_from <= :at"
        " AND (:phone IS NULL OR phone_number = :phone)"
    )
    return int(db.execute(sql, {"at": at, "phone": phone_number}).fetchone()[0])


def account_number(number: int) -> str:
    """13 digits: the bank's code, the customer's number, and a check digit by Luhn (ISO/IEC 7812-1)."""
    digits = f"{_BANK_CODE}{number:010d}"
    doubled = (2 * int(digit) if place % 2 else int(digit) for place, digit in enumerate(digits))
    return f"{digits}{-sum(value - 9 if value > 9 else value for value in doubled) % 10}"  # noqa: PLR2004 - digit sum


def _new_customer(
    db: sqlite3.Connection, request: NewAccount, external_id: str, active_from: float, *, needs_approval: bool
) -> int | None:
    """Return the number of the new customer, or None when a UNIQUE constraint of the books says no."""
    row = (
        request.phone_number,
        request.first_name,
        request.last_name,
        request.date_of_birth.isoformat(),
        request.national_id or None,  # no id at all is not an id that two customers could share
        request.gender,
        request.product,
        external_id,
        needs_approval,
        active_from,
    )
    inserted = db.execute(_NEW_CUSTOMER, row).fetchall()
    return inserted[0]["number"] if inserted else None


def _duplicate_field(db: sqlite3.Connection, request: NewAccount, external_id: str) -> str:
    """Name the constraint: the request's own id first, since who asks again must learn just that."""
    if db.execute("SELECT 1 FROM customers WHERE external_id = ?", (external_id,)).fetchone():
        return "external_id"
    if db.execute("SELECT 1 FROM customers WHERE phone_number = ?", (request.phone_number,)).fetchone():
        return "phone_number"
    return "national_id"


def _customer_ref(number: int) -> str:
    return f"C{number:09d}"


def _number(form: re.Pattern[str], ref: str) -> int:
    """Return the row that a reference names; 0, which is no row, when it is none of ours."""
    match = form.fullmatch(ref)
    return int(match[1]) if match else 0
