"""The schema: what the migrations make, and what the database itself refuses."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from ussd_engine.platform import customers as people
from ussd_engine.platform import operations
from ussd_engine.platform.customers import Person
from ussd_engine.platform.database import Database
from ussd_engine.platform.migrate import migrate
from ussd_engine.platform.operations import Claim
from ussd_engine.platform.reference import ensure_reference_data
from ussd_engine.platform.tables import customers, metadata
from ussd_engine.sealing import KeyRing, SealBroken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.engine import Connection

KEYS = KeyRing.of(b"i" * 32, {"k1": b"s" * 32})
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/platform.db"


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    await migrate(url, KEYS)
    opened = Database(url)
    await ensure_reference_data(opened)
    yield opened
    await opened.close()


async def test_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    """Nothing is missing from the migrations, and nothing stands there that the code does not know."""

    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_many_processes_may_migrate_and_prepare_at_once(url: str) -> None:
    """Workers that start together migrate once, and make one role with one policy."""
    await asyncio.gather(*(migrate(url, KEYS) for _ in range(5)))
    database = Database(url)
    try:
        await asyncio.gather(*(ensure_reference_data(database) for _ in range(5)))
        async with database.read() as connection:
            rows = (
                await connection.execute(
                    text(
                        "SELECT r.name, p.name FROM roles r JOIN role_policies rp ON rp.role_id = r.id"
                        " JOIN policies p ON p.id = rp.policy_id"
                    )
                )
            ).all()
        assert [tuple(row) for row in rows] == [("USSD Role", "USSD Customers")]
    finally:
        await database.close()


async def test_times_are_aware_and_in_utc(database: Database) -> None:
    """Any zone goes in, UTC comes out, and a time without a zone is refused."""
    east = NOW.astimezone(timezone(timedelta(hours=3)))
    async with database.write() as connection:
        await connection.execute(insert(customers).values(id="c1", created_at=east))
        stored = (await connection.execute(select(customers.c.created_at))).scalar_one()
    assert (stored, stored.tzinfo) == (NOW, UTC)
    with pytest.raises(StatementError):
        async with database.write() as connection:
            await connection.execute(insert(customers).values(id="c2", created_at=NOW.replace(tzinfo=None)))


async def test_writers_queue_and_none_is_lost(url: str, database: Database) -> None:
    """A hundred transactions that read and then write, over two pools, all take effect."""
    other = Database(url)

    async def add_one(to: Database) -> None:
        async with to.write() as connection:
            value = (await connection.execute(text("SELECT n FROM counter"))).scalar_one()
            await connection.execute(text("UPDATE counter SET n = :n"), {"n": value + 1})

    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE counter (n INTEGER)"))
        await connection.execute(text("INSERT INTO counter VALUES (0)"))
    await asyncio.gather(*(add_one(to) for to in (database, other) for _ in range(50)))
    async with other.read() as connection:
        assert (await connection.execute(text("SELECT n FROM counter"))).scalar_one() == 100
    await other.close()


async def test_a_failed_write_leaves_nothing(database: Database) -> None:
    """An exception in the block takes back everything that the block wrote."""
    with pytest.raises(ZeroDivisionError):
        await write_and_fail(database)
    async with database.read() as connection:
        assert (await connection.execute(select(customers))).all() == []


async def test_errors_do_not_show_what_was_to_be_stored(database: Database) -> None:
    """A violated constraint names the statement, never the values: they may be personal."""
    with pytest.raises(IntegrityError) as violation:
        await write_twice(database, "Jane Sample")
    assert "Jane" not in str(violation.value)


async def test_one_unfinished_operation_per_kind_and_phone(database: Database) -> None:
    """A second claim meets the first while it is open or in doubt, and is free when it has its result."""
    first, second = claim("w-1"), claim("w-2")
    async with database.write() as connection:
        assert (await operations.claim(connection, KEYS, first, NOW)).id == first.id
        assert (await operations.claim(connection, KEYS, second, NOW)).id == first.id
        await operations.mark_in_doubt(connection, first.id)
        assert (await operations.claim(connection, KEYS, second, NOW)).id == first.id
        await operations.finish(connection, KEYS, first.id, "failed", {"kind": "failed"}, NOW)
        assert (await operations.claim(connection, KEYS, second, NOW)).id == second.id
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.execute(
                text("UPDATE operations SET state = 'open' WHERE id = :id"), {"id": first.id}
            )


async def test_a_promise_is_only_made_while_there_is_no_result(database: Database) -> None:
    """Once an operation has its result nobody can be promised an SMS about it."""
    wanted = claim("w-1")
    async with database.write() as connection:
        await operations.claim(connection, KEYS, wanted, NOW)
        assert await operations.mark_told(connection, wanted.id)
        await operations.finish(connection, KEYS, wanted.id, "done", {"kind": "success"}, NOW)
        assert not await operations.mark_told(connection, wanted.id)
        with pytest.raises(LookupError):
            await operations.finish(connection, KEYS, wanted.id, "failed", {"kind": "failed"}, NOW)


async def test_a_sealed_value_does_not_open_in_another_row(database: Database) -> None:
    """A result that was copied to another operation is not believed."""
    first, second = claim("w-1"), claim("w-2", phone="+254711000099")
    async with database.write() as connection:
        for wanted in (first, second):
            await operations.claim(connection, KEYS, wanted, NOW)
            await operations.finish(connection, KEYS, wanted.id, "done", {"of": wanted.workflow_id}, NOW)
        await connection.execute(
            text(
                "UPDATE operations SET result_sealed = (SELECT result_sealed FROM operations WHERE id = :a)"
            ),
            {"a": first.id},
        )
        assert (await operations.lock(connection, KEYS, first.id)).result == {"of": "w-1"}
        with pytest.raises(SealBroken):
            await operations.lock(connection, KEYS, second.id)


async def test_a_phone_number_moves_with_its_owner_at_the_bank(database: Database) -> None:
    """The bank's customer id says who a person is; a recycled number belongs to its new owner."""
    async with database.write() as connection:
        old = await people.save_person(connection, KEYS, person("REF-1", "+254711000001"), "c1", NOW)
        same = await people.save_person(connection, KEYS, person("REF-1", "+254711000002"), "c2", NOW)
        new = await people.save_person(connection, KEYS, person("REF-2", "+254711000001"), "c3", NOW)
        found = await people.get_customer_by_phone_number(connection, "+254711000001")
    assert (old, same, new) == ("c1", "c1", "c3")
    assert found
    assert found.customer_id == "c3"


async def write_and_fail(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(insert(customers).values(id="c1", created_at=NOW))
        _ = 1 // 0


async def write_twice(database: Database, id_: str) -> None:
    async with database.write() as connection:
        for _ in range(2):
            await connection.execute(insert(customers).values(id=id_, created_at=NOW))


def claim(workflow_id: str, phone: str = "+254711000001") -> Claim:
    return Claim("account.open", phone, workflow_id, "ussd", "Ann Sample")


def person(bank_ref: str, phone: str) -> Person:
    return Person(
        bank_ref=bank_ref,
        phone_number=phone,
        first_name="Ann",
        last_name="Sample",
        date_of_birth=None,
        national_id=None,
        gender=None,
        email=None,
        account_numbers=(),
        product=None,
        source="bank",
    )
