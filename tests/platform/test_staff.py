"""Operators and keys: what opens, what does not any more, and what the audit log tells of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from sqlalchemy import select

from tests.database_fixtures import KEYS
from ussd_engine.access import SCOPES_OF, Principal, Role, Scope
from ussd_engine.platform import audit, staff
from ussd_engine.platform.database import Database
from ussd_engine.platform.staff import Act, StaffRefused, UnknownName
from ussd_engine.platform.tables import api_keys, audit_log

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
ACT = Act("console:sample", "request-1", NOW)


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = Database(url)
    yield opened
    await opened.close()


@pytest.mark.parametrize("role", Role)
async def test_an_operators_key_opens_what_the_role_may(database: Database, role: Role) -> None:
    """The role tells the scopes; the principal is the person, whichever key is used."""
    key = await add_operator(database, "ann", role)
    second = await add_operator_key(database, "ann-laptop", "ann")
    expected = Principal("operator:ann", SCOPES_OF[role])
    assert await staff.find_principal(database, key, NOW) == expected
    assert await staff.find_principal(database, second, NOW) == expected


def test_who_makes_and_who_checks_are_two_roles() -> None:
    """A maker cannot check and a checker cannot make; all staff may look, and none of them acts as a program."""
    assert Scope.CHECK not in SCOPES_OF[Role.MAKER]
    assert Scope.MAKE not in SCOPES_OF[Role.CHECKER]
    assert all(Scope.VIEW in scopes for scopes in SCOPES_OF.values())
    programs = {Scope.SUBSCRIPTION, Scope.ACCOUNT, Scope.TRANSLATIONS}
    assert not any(programs & scopes for scopes in SCOPES_OF.values())


async def test_a_programs_key_opens_its_own_scopes(database: Database) -> None:
    """No more and no fewer than it was given."""
    key = await add_program_key(database, "core", Scope.ACCOUNT, Scope.VIEW)
    found = await staff.find_principal(database, key, NOW)
    assert found == Principal("key:core", frozenset({Scope.ACCOUNT, Scope.VIEW}))


async def test_a_key_without_a_scope_is_refused(database: Database) -> None:
    """It would open nothing, and somebody forgot something."""
    with pytest.raises(StaffRefused, match="at least one"):
        await add_program_key(database, "core")
    for makes in (Scope.MAKE, Scope.ACCOUNT, Scope.SUBSCRIPTION):
        with pytest.raises(StaffRefused, match=f"{makes.value}.* key of its own"):
            await add_program_key(database, "core", Scope.CHECK, makes, Scope.VIEW)


async def test_a_key_can_be_recognised_and_not_be_guessed(database: Database) -> None:
    """256 bits after a prefix that a scanner for leaked keys knows; no two are the same."""
    first = await add_program_key(database, "one", Scope.VIEW)
    second = await add_program_key(database, "two", Scope.VIEW)
    assert re.fullmatch(r"ussd_[A-Za-z0-9_-]{43}", first)
    assert first != second


async def test_only_the_digest_of_a_key_is_stored(database: Database) -> None:
    """Whoever reads the database, or the opened audit log, cannot call with what is found there."""
    key = await add_operator(database, "ann", Role.MAKER)
    (stored,) = await database.read(lambda connection: connection.execute(select(api_keys)).all())
    entries = await database.read(lambda connection: audit.last_entries(connection, 10))
    logged = [audit.open_values(KEYS, entry) for entry in entries]
    digest = stored.digest
    assert key not in repr([stored, logged])
    assert digest not in repr(logged)
    assert await staff.find_principal(database, digest, NOW) is None


@pytest.mark.parametrize("key", ["", "ussd_", "ussd_" + "A" * 43, "ussd_" + "A" * 44, "' OR 1=1 --"])
async def test_what_is_no_key_opens_nothing(database: Database, key: str) -> None:
    """Whether it has the form of a key or not."""
    await add_operator(database, "ann", Role.ADMIN)
    assert await staff.find_principal(database, key, NOW) is None


async def test_a_key_expires(database: Database) -> None:
    """It opens until its last moment, and not after it."""
    key = await add_program_key(database, "core", Scope.VIEW, expires_at=NOW + timedelta(days=1))
    assert await staff.find_principal(database, key, NOW + timedelta(hours=23))
    assert await staff.find_principal(database, key, NOW + timedelta(days=1)) is None


async def test_a_revoked_key_opens_nothing_and_leaves_the_others(database: Database) -> None:
    """From the moment of the revocation, in every process, as nothing is remembered of a key."""
    lost = await add_operator(database, "ann", Role.MAKER)
    kept = await add_operator_key(database, "ann-2", "ann")
    await database.write(lambda connection: staff.revoke_key(connection, KEYS, ACT, "ann"))
    assert await staff.find_principal(database, lost, NOW) is None
    assert await staff.find_principal(database, kept, NOW)


async def test_no_key_of_a_disabled_operator_opens(database: Database) -> None:
    """Who leaves the bank is shut out by one command, and gets no further key."""
    keys = [await add_operator(database, "ann", Role.CHECKER), await add_operator_key(database, "a2", "ann")]
    await database.write(lambda connection: staff.disable_operator(connection, KEYS, ACT, "ann"))
    assert [await staff.find_principal(database, key, NOW) for key in keys] == [None, None]
    with pytest.raises(StaffRefused, match="disabled"):
        await add_operator_key(database, "a3", "ann")


async def test_a_name_is_given_once(database: Database) -> None:
    """The audit log knows people by their names, so a name never passes to another person."""
    await add_operator(database, "ann", Role.MAKER)
    await database.write(lambda connection: staff.disable_operator(connection, KEYS, ACT, "ann"))
    with pytest.raises(StaffRefused, match="'ann' already, or was one"):
        await add_operator(database, "ann", Role.CHECKER)
    with pytest.raises(StaffRefused, match="'ann' already, or was one"):
        await add_program_key(database, "ann", Scope.VIEW)


async def test_an_operator_without_a_key_is_not_left_behind(database: Database) -> None:
    """When the name of the first key is taken, nothing is added at all."""
    await add_program_key(database, "ann", Scope.VIEW)
    with pytest.raises(StaffRefused, match="a key 'ann'"):
        await add_operator(database, "ann", Role.MAKER)
    assert await database.read(staff.list_operators) == []


@pytest.mark.parametrize("name", ["", "Ann", "ann sample", "7ann", "+254711000001", "operator:ann", "a" * 49])
async def test_names_are_plain(database: Database, name: str) -> None:
    """A name stands in logs and in the audit log: it is no phone number, and hides nothing."""
    with pytest.raises(StaffRefused, match="begins with a letter"):
        await add_operator(database, name, Role.MAKER)


async def test_an_unknown_name_comes_with_those_that_there_are(database: Database) -> None:
    """So that whoever asks can be told what was meant."""
    await add_operator(database, "ann", Role.MAKER)
    with pytest.raises(UnknownName) as operator:
        await database.write(lambda connection: staff.disable_operator(connection, KEYS, ACT, "anne"))
    with pytest.raises(UnknownName) as key:
        await database.write(lambda connection: staff.revoke_key(connection, KEYS, ACT, "anne"))
    assert operator.value.known == key.value.known == ("ann",)


async def test_what_is_over_is_not_done_again(database: Database) -> None:
    """The second of two people learns that the first has done it, and the log tells of one."""
    await add_operator(database, "ann", Role.MAKER)
    await database.write(lambda connection: staff.revoke_key(connection, KEYS, ACT, "ann"))
    await database.write(lambda connection: staff.disable_operator(connection, KEYS, ACT, "ann"))
    with pytest.raises(StaffRefused, match="revoked already"):
        await database.write(lambda connection: staff.revoke_key(connection, KEYS, ACT, "ann"))
    with pytest.raises(StaffRefused, match="disabled already"):
        await database.write(lambda connection: staff.disable_operator(connection, KEYS, ACT, "ann"))
    assert await actions(database) == ["operator.added", "key.added", "key.revoked", "operator.disabled"]


async def test_every_change_stands_in_the_audit_log(database: Database) -> None:
    """With who made it, in which request, and when; the chain is whole."""
    await add_operator(database, "ann", Role.CHECKER)
    await add_program_key(database, "core", Scope.VIEW)
    entries = await database.read(lambda connection: audit.last_entries(connection, 10))
    assert await actions(database) == ["operator.added", "key.added", "key.added"]
    assert {(e.actor, e.request_id, e.at) for e in entries} == {("console:sample", "request-1", NOW)}
    assert audit.open_values(KEYS, entries[0]) == {"after": {"name": "ann", "role": "checker"}}
    assert audit.open_values(KEYS, entries[2])["after"]["scopes"] == "view"
    assert await database.read(lambda connection: list(audit.verify(connection, KEYS))) == []


async def add_operator(database: Database, name: str, role: Role) -> str:
    return await database.write(lambda connection: staff.add_operator(connection, KEYS, ACT, name, role))


async def add_operator_key(database: Database, name: str, operator: str) -> str:
    return await database.write(
        lambda connection: staff.add_operator_key(connection, KEYS, ACT, name, operator)
    )


async def add_program_key(
    database: Database, name: str, *scopes: Scope, expires_at: datetime | None = None
) -> str:
    return await database.write(
        lambda connection: staff.add_program_key(connection, KEYS, ACT, name, scopes, expires_at)
    )


async def actions(database: Database) -> list[str]:
    wanted = select(audit_log.c.action).order_by(audit_log.c.seq)
    return await database.read(lambda connection: list(connection.execute(wanted).scalars()))
