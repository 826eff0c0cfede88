"""Operators and keys: who may call, added and taken away by plain functions, each change in the audit log.

A key is 256 random bits and is shown once; its SHA-256 alone is stored. A slow, salted hash is for words that people
choose. Nobody gets from the digest of a random key to the key, and an unsalted digest is found by one look-up.
Nothing is ever deleted: a name that was given once stands for the same person or program in the audit log for good.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import String, bindparam, extract, select, update

from ussd_engine.access import SCOPES_OF, Principal, Role, Scope
from ussd_engine.errors import Refusal
from ussd_engine.platform.audit import AuditEntry, append
from ussd_engine.platform.lookup import Lookup
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.tables import api_keys, operators

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row, Table

    from ussd_engine.platform.database import Database
    from ussd_engine.sealing import KeyRing

KEY_PREFIX = "ussd_"
"""By which people, and scanners that look for leaked keys, recognise one."""
KEY_BYTES = 32
MAKES = frozenset({Scope.SUBSCRIPTION, Scope.ACCOUNT, Scope.MAKE})
"""What a program asks for with one of these, somebody decides on: not a program with the same key."""

_KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{43}}")
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,47}")


class StaffRefused(Refusal):
    """A change of operators or keys that cannot be; the message says what to do."""

    code = "staff_refused"


class UnknownName(Refusal):
    """No operator, key or revision of this name; `known` are those that there are."""

    code = "unknown_name"

    def __init__(self, what: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"there is no {what} '{name}'")
        self.name = name
        self.known = known


@dataclass(frozen=True, slots=True)
class Act:
    """What the audit log tells of a change besides the change: by whom, in which request, when."""

    actor: str
    request_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Operator:
    id: str
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`operator` is None for a program's key; then `scopes` are its own, else those of the operator's role."""

    id: str
    name: str
    operator: Operator | None
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def add_operator(connection: Connection, keys: KeyRing, act: Act, name: str, role: Role) -> str:
    """Add an operator with a first key, which has the operator's name. What comes back is the key, this once."""
    _check(name)
    operator_id, row = str(uuid4()), {"name": name, "role": role.value}
    if not insert_if_absent(connection, operators, id=operator_id, created_at=act.at, **row):
        raise StaffRefused(f"there is an operator '{name}' already, or was one; take another name")
    key, entry = _new_key(connection, act, name, {"operator": name}, operator_id=operator_id)
    append(connection, keys, [_entry(act, "operator.added", operators, operator_id, row), entry], act.at)
    return key


def disable_operator(connection: Connection, keys: KeyRing, act: Act, name: str) -> None:
    """From now on none of the operator's keys opens anything."""
    operator = _operator(connection, name)
    disabled = connection.execute(
        update(operators)
        .where((operators.c.id == operator.id) & operators.c.disabled_at.is_(None))
        .values(disabled_at=act.at)
    )
    if disabled.rowcount != 1:
        raise StaffRefused(f"operator '{name}' is disabled already")
    entry = _entry(act, "operator.disabled", operators, operator.id, {"name": name})
    append(connection, keys, [entry], act.at)


def list_operators(connection: Connection) -> list[Operator]:
    rows = connection.execute(select(operators).order_by(operators.c.name))
    return [Operator(row.id, row.name, Role(row.role), row.created_at, row.disabled_at) for row in rows]


def add_program_key(
    connection: Connection,
    keys: KeyRing,
    act: Act,
    name: str,
    scopes: Collection[Scope],
    expires_at: datetime | None = None,
) -> str:
    """Add a key with scopes of its own. What comes back is the key, this once."""
    if Scope.CHECK in scopes and (makes := sorted(MAKES & set(scopes))):
        raise StaffRefused(
            f"a key that asks for changes ({', '.join(makes)}) does not decide on them; "
            "give 'check' to a key of its own"
        )
    words = " ".join(sorted(set(scopes)))
    if not words:
        raise StaffRefused("a key without a scope opens nothing; name at least one")
    key, entry = _new_key(connection, act, name, {"scopes": words}, scopes=words, expires_at=expires_at)
    append(connection, keys, [entry], act.at)
    return key


def add_operator_key(
    connection: Connection,
    keys: KeyRing,
    act: Act,
    name: str,
    operator_name: str,
    expires_at: datetime | None = None,
) -> str:
    """Add a further key of an operator, whose role says what it opens. What comes back is the key, this once."""
    operator = _operator(connection, operator_name)
    if operator.disabled_at is not None:
        raise StaffRefused(f"operator '{operator_name}' is disabled; a key would open nothing")
    key, entry = _new_key(
        connection, act, name, {"operator": operator_name}, operator_id=operator.id, expires_at=expires_at
    )
    append(connection, keys, [entry], act.at)
    return key


def revoke_key(connection: Connection, keys: KeyRing, act: Act, name: str) -> None:
    found = {key.name: key for key in list_keys(connection)}
    if name not in found:
        raise UnknownName("key", name, tuple(found))
    revoked = connection.execute(
        update(api_keys)
        .where((api_keys.c.name == name) & api_keys.c.revoked_at.is_(None))
        .values(revoked_at=act.at)
    )
    if revoked.rowcount != 1:
        raise StaffRefused(f"key '{name}' is revoked already")
    append(connection, keys, [_entry(act, "key.revoked", api_keys, found[name].id, {"name": name})], act.at)


def list_keys(connection: Connection) -> list[ApiKey]:
    by_id = {operator.id: operator for operator in list_operators(connection)}
    rows = connection.execute(select(api_keys).order_by(api_keys.c.name))
    return [_key(row, by_id.get(row.operator_id)) for row in rows]


async def find_principal(database: Database, key: str, now: datetime) -> Principal | None:
    """Whose key this is, by one look-up. None: nobody's, or revoked, expired, or of a disabled operator."""
    if not _KEY.fullmatch(key):
        return None
    for key_name, scopes, operator, role, expires_at_s in await database.look_up(
        _LIVE_KEY, digest=_digest(key)
    ):
        if expires_at_s is not None and expires_at_s <= now.timestamp():
            return None
        return Principal(f"operator:{operator}" if operator else f"key:{key_name}", _scopes(role, scopes))
    return None


_LIVE_KEY = Lookup(
    select(
        api_keys.c.name,
        api_keys.c.scopes,
        operators.c.name.label("operator"),
        operators.c.role,
        extract("epoch", api_keys.c.expires_at),  # a number, as a look-up gives plain values
    )
    .outerjoin(operators, operators.c.id == api_keys.c.operator_id)
    .where(api_keys.c.digest == bindparam("digest", "", String()))
    .where(api_keys.c.revoked_at.is_(None) & operators.c.disabled_at.is_(None))
)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _scopes(role: str | None, words: str | None) -> frozenset[Scope]:
    """Those of the operator's role, else the key's own."""
    if role:
        return SCOPES_OF[Role(role)]
    return frozenset(Scope(word) for word in (words or "").split())


def _key(row: Row[Any], operator: Operator | None) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        operator=operator,
        scopes=_scopes(operator.role if operator else None, row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _new_key(
    connection: Connection,
    act: Act,
    name: str,
    of: Mapping[str, str],
    *,
    operator_id: str | None = None,
    scopes: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[str, AuditEntry]:
    """The key, and what the audit log tells of it; `of` is whose it is."""
    _check(name)
    key, key_id = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES), str(uuid4())
    added = insert_if_absent(
        connection,
        api_keys,
        id=key_id,
        name=name,
        digest=_digest(key),
        operator_id=operator_id,
        scopes=scopes,
        created_at=act.at,
        expires_at=expires_at,
    )
    if not added:
        raise StaffRefused(f"there is a key '{name}' already, or was one; take another name")
    after = {"name": name, **of, "expires_at": expires_at}
    return key, _entry(act, "key.added", api_keys, key_id, after)


def _operator(connection: Connection, name: str) -> Operator:
    found = {operator.name: operator for operator in list_operators(connection)}
    if name not in found:
        raise UnknownName("operator", name, tuple(found))
    return found[name]


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise StaffRefused(
            "a name begins with a letter and has 1 to 48 of a-z, 0-9, '.', '_' and '-', such as 'ann'"
        )


def _entry(act: Act, action: str, table: Table, row_id: str, after: Mapping[str, Any]) -> AuditEntry:
    return AuditEntry(act.actor, action, table.name, row_id, act.request_id, after=after)
