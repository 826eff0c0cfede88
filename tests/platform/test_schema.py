"""The schema: what the migrations make, and what the database itself refuses."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from tests.database_fixtures import KEYS
from ussd_engine.platform import audit, changes, gate, operations
from ussd_engine.platform import customers as people
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.customers import Person
from ussd_engine.platform.database import Database
from ussd_engine.platform.directory import Directory, claims
from ussd_engine.platform.identities import IdentityTaken, move_identity
from ussd_engine.platform.migrate import migrate
from ussd_engine.platform.operations import Claim
from ussd_engine.platform.reference import ensure_reference_data
from ussd_engine.platform.tables import customers, metadata
from ussd_engine.sealing import SealBroken
from ussd_engine.services.policies import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.engine import Connection

RULES = {"actions": ["account.open"]}
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = Database(url)
    await opened.write(lambda c: ensure_reference_data(c, KEYS, RULES, NOW))
    yield opened
    await opened.close()


async def test_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    """Nothing is missing from the migrations, and nothing stands there that the code does not know."""

    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await database.read(differences) == []


async def test_many_processes_may_migrate_and_prepare_at_once(empty_url: str) -> None:
    """Workers that start together migrate once, and make one role with one policy."""
    await asyncio.gather(*(migrate(empty_url, KEYS) for _ in range(5)))
    database = Database(empty_url)
    try:
        prepare = partial(ensure_reference_data, keys=KEYS, rules=RULES, now=NOW)
        await asyncio.gather(*(database.write(prepare) for _ in range(5)))
        rows = await many(
            database,
            "SELECT r.name, p.name, p.rules FROM roles r JOIN role_policies rp ON rp.role_id = r.id"
            " JOIN policies p ON p.id = rp.policy_id",
        )
        assert [tuple(row) for row in rows] == [
            ("USSD Role", "USSD Customers", '{"actions":["account.open"]}')
        ]
        changed = await many(database, "SELECT action FROM audit_log")
        assert [row.action for row in changed] == ["policy.changed"]
    finally:
        await database.close()


async def test_times_are_aware_and_in_utc(database: Database) -> None:
    """Any zone goes in, UTC comes out, and a time without a zone is refused."""
    east = NOW.astimezone(timezone(timedelta(hours=3)))
    await database.write(lambda c: c.execute(insert(customers).values(id="c1", created_at=east)))
    stored = await database.read(lambda c: c.execute(select(customers.c.created_at)).scalar_one())
    assert (stored, stored.tzinfo) == (NOW, UTC)
    naive = insert(customers).values(id="c2", created_at=NOW.replace(tzinfo=None))
    with pytest.raises(StatementError):
        await database.write(lambda c: c.execute(naive))


async def test_writers_queue_and_none_is_lost(url: str, database: Database) -> None:
    """A hundred claims of a number, over two pools at once, all take effect."""
    other = Database(url)
    policy = Policy(frozenset(), 1, 99)
    counted = await asyncio.gather(
        *(
            to.write(lambda c: policy.count_opening(c, "o1", NOW))
            for to in (database, other)
            for _ in range(50)
        )
    )
    assert counted.count(True) == 99
    assert [row.used for row in await many(other, "SELECT used FROM policy_counters")] == [99]
    await other.close()


async def test_a_failed_write_leaves_nothing(database: Database) -> None:
    """An exception in the function takes back everything that it wrote."""

    def write_and_fail(connection: Connection) -> None:
        connection.execute(insert(customers).values(id="c1", created_at=NOW))
        _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        await database.write(write_and_fail)
    assert await many(database, "SELECT id FROM customers") == []


async def test_errors_do_not_show_what_was_to_be_stored(database: Database) -> None:
    """A violated constraint names the statement, never the values: they may be personal."""

    def write_twice(connection: Connection) -> None:
        for _ in range(2):
            connection.execute(insert(customers).values(id="Jane Sample", created_at=NOW))

    with pytest.raises(IntegrityError) as violation:
        await database.write(write_twice)
    assert "Jane" not in str(violation.value)


async def test_one_unfinished_operation_per_phone(database: Database) -> None:
    """A second claim, of whatever kind, meets the first while it is open or in doubt; then the number is free."""
    first, second, other = claim("w-1"), claim("w-2"), claim("w-3", kind="subscription.register")

    def live(connection: Connection) -> None:
        assert operations.claim(connection, KEYS, first, NOW).fresh
        for late in (second, other):
            assert operations.claim(connection, KEYS, late, NOW).id == first.id
        operations.mark_in_doubt(connection, first.id)
        assert operations.claim(connection, KEYS, second, NOW).id == first.id
        operations.finish(connection, KEYS, first.id, "failed", {"kind": "failed"}, NOW)
        assert operations.claim(connection, KEYS, second, NOW).id == second.id
        again = operations.claim(connection, KEYS, first, NOW)
        assert (again.id, again.fresh, again.state) == (first.id, False, "failed")

    await database.write(live)
    reopen = text("UPDATE operations SET state = 'open' WHERE id = :id")
    with pytest.raises(IntegrityError):
        await database.write(lambda c: c.execute(reopen, {"id": first.id}))


async def test_of_many_claims_at_once_one_is_fresh(url: str, database: Database) -> None:
    """Over many connections at the same moment: one operation, which all of them see."""
    other = Database(url)
    found = await asyncio.gather(
        *(
            to.write(partial(operations.claim, keys=KEYS, wanted=claim(f"w-{n}"), now=NOW))
            for n, to in enumerate([database, other] * 20)
        )
    )
    assert len({operation.id for operation in found}) == 1
    assert [operation.fresh for operation in found].count(True) == 1
    await other.close()


async def test_the_gate_lets_no_more_through_than_its_limit(url: str, database: Database) -> None:
    """Of many attempts at once for one customer, over many connections, as many are looked at as the limit says."""
    other, limit = Database(url), gate.Limit(3, 60)

    def attempt(connection: Connection, number: int) -> bool:
        wanted = claim(f"g-{number}", phone=f"+2547110007{number:02}", kind="subscription.register")
        operations.claim(connection, KEYS, wanted, NOW)
        subjects = [f"phone-{number}", "one-customer"]
        return gate.reserve(connection, wanted.id, subjects, limit, NOW)

    let = await asyncio.gather(
        *(to.write(partial(attempt, number=n)) for n, to in enumerate([database, other] * 15))
    )
    assert let.count(True) == 3
    await other.close()


async def test_entries_at_once_make_one_chain(url: str, database: Database) -> None:
    """The audit log has no fork, however many write at the same moment."""
    other = Database(url)
    entry = AuditEntry("api", "tested", "customers", "c1", "request-1")
    append = partial(audit.append, keys=KEYS, entries=[entry, entry], at=NOW)
    await asyncio.gather(*(to.write(append) for to in (database, other) for _ in range(25)))
    assert await other.read(lambda c: list(audit.verify(c, KEYS))) == []
    assert [row.n for row in await many(other, "SELECT count(*) AS n FROM audit_log")] == [101]
    await other.close()


async def test_one_change_of_a_version_is_applied(url: str, database: Database) -> None:
    """Of many that were made against the same version of a record, one may be applied."""
    other = Database(url)
    for base in (0, 1):
        advance = partial(changes.advance, entity="users", entity_id="u1", base_version=base)
        applied = await asyncio.gather(*(to.write(advance) for to in [database, other] * 10))
        assert applied.count(True) == 1
    await other.close()


async def test_a_promise_is_only_made_while_there_is_no_result(database: Database) -> None:
    """Once an operation has its result nobody can be promised an SMS about it."""
    wanted = claim("w-1")

    def live(connection: Connection) -> None:
        operations.claim(connection, KEYS, wanted, NOW)
        assert operations.mark_told(connection, wanted.id)
        operations.finish(connection, KEYS, wanted.id, "done", {"kind": "success"}, NOW)
        assert not operations.mark_told(connection, wanted.id)
        with pytest.raises(LookupError):
            operations.finish(connection, KEYS, wanted.id, "failed", {"kind": "failed"}, NOW)

    await database.write(live)


async def test_a_sealed_value_does_not_open_in_another_row(database: Database) -> None:
    """A result that was copied to another operation is not believed."""
    first, second = claim("w-1"), claim("w-2", phone="+254711000099")
    copy = text("UPDATE operations SET result_sealed = (SELECT result_sealed FROM operations WHERE id = :a)")

    def live(connection: Connection) -> None:
        for wanted in (first, second):
            operations.claim(connection, KEYS, wanted, NOW)
            operations.finish(connection, KEYS, wanted.id, "done", {"of": wanted.workflow_id}, NOW)
        connection.execute(copy, {"a": first.id})
        assert operations.lock(connection, KEYS, first.id).result == {"of": "w-1"}
        with pytest.raises(SealBroken):
            operations.lock(connection, KEYS, second.id)

    await database.write(live)


async def test_an_identity_never_moves_silently(database: Database) -> None:
    """A phone number that another customer has is refused; what identifies less stays where it is, and is told."""
    directory = Directory(KEYS, ())

    def live(connection: Connection) -> None:
        old = person("REF-1", "+254711000001", national_id="ID-12345")
        people.save_person(connection, KEYS, "c1", old, NOW)
        people.save_person(connection, KEYS, "c1", person("REF-1", "+254711000002"), NOW)
        new = person("REF-2", "+254711000001", national_id="id 12345")
        known, contested = claims(connection, KEYS, directory, new)
        assert known is None
        assert [(one.kind, one.holder) for one in contested] == [("national_id", "c1"), ("phone", "c1")]
        with pytest.raises(IdentityTaken):
            people.save_person(connection, KEYS, "c2", new, NOW)
        moved = move_identity(connection, contested[1].identity_id, "c1", "c2", NOW)
        assert moved
        assert not move_identity(connection, contested[1].identity_id, "c1", "c3", NOW)
        people.save_person(connection, KEYS, "c2", new, NOW)
        for phone, customer in (("+254711000001", "c2"), ("+254711000002", "c1")):
            found = directory.by_phone_number(connection, phone)
            assert found
            assert found.customer_id == customer

    await database.write(live)


async def many(database: Database, sql: str) -> list[Any]:
    return await database.read(lambda connection: list(connection.execute(text(sql)).all()))


def claim(workflow_id: str, phone: str = "+254711000001", kind: operations.Kind = "account.open") -> Claim:
    return Claim(kind, phone, workflow_id, "ussd", "Ann Sample", {})


def person(bank_ref: str, phone: str, national_id: str | None = None) -> Person:
    return Person(
        bank_ref=bank_ref,
        phone_number=phone,
        first_name="Ann",
        last_name="Sample",
        date_of_birth=None,
        national_id=national_id,
        gender=None,
        email=None,
        account_numbers=(),
        product=None,
        kyc_tier=1,
        source="bank",
    )
