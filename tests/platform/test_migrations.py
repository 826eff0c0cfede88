"""An older database with data in it becomes a new one, and loses nothing."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import bindparam, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.database_fixtures import KEYS
from tests.services.parts import POLICY, running
from ussd_engine.errors import SettingsError
from ussd_engine.platform import audit, operations, pins
from ussd_engine.platform.database import Database
from ussd_engine.platform.gate import Limit, Verdict
from ussd_engine.platform.migrate import migrate
from ussd_engine.platform.reference import USSD_ROLE_ID, ensure_reference_data
from ussd_engine.platform.tables import UtcDateTime, metadata, sealed_at
from ussd_engine.sealing import KeyRing
from ussd_engine.services.operations import OperationPending

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tests.database_fixtures import Urls

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHANGE = "00000000-0000-0000-0000-0000000000c2"
ROOT = Path(__file__).parents[2]
PHONES = {"c1": "+254711000801", "c2": "+254711000802", "c3": "+254711000803"}


def id_of(operation: int) -> str:
    return f"00000000-0000-0000-0000-00000000000{operation}"


def sealed(table: str, column: str, row: str, value: Any) -> str:
    plain = value if isinstance(value, bytes) else orjson.dumps(value)
    return KEYS.seal(plain, sealed_at(table, column, row))


def rows_of_the_first_schema() -> dict[str, list[dict[str, Any]]]:
    """An active subscriber, one who waits for approval, and one whose opening is in doubt beside a registration."""
    operation = {"channel": "ussd", "asked_digest": "d", "reconciling": False, "told_pending": False}
    return {
        "customers": [{"id": name, "created_at": NOW} for name in PHONES],
        "identities": [
            {"id": f"i-{kind}-{name}", "customer_id": name, "type": kind, "value": value, "created_at": NOW}
            for name, phone in PHONES.items()
            for kind, value in (("phone", phone), ("bank_ref", f"REF-{name}"))
        ],
        "profiles": [
            {
                "customer_id": name,
                "first_name": "Ann",
                "last_name": "Sample",
                "date_of_birth_sealed": sealed("profiles", "date_of_birth_sealed", name, b"1990-01-15"),
                "source": "bank",
                "updated_at": NOW,
            }
            for name in PHONES
        ],
        "contacts": [
            {
                "id": "k1",
                "customer_id": "c1",
                "kind": "phone",
                "value_sealed": sealed("contacts", "value_sealed", "k1", PHONES["c1"].encode()),
                "updated_at": NOW,
            }
        ],
        "accounts": [
            {"id": "a1", "customer_id": "c1", "account_number": "ACC-1", "source": "bank", "created_at": NOW}
        ],
        "roles": [{"id": USSD_ROLE_ID, "name": "USSD Role"}],
        "users": [
            {
                "id": f"u-{name}",
                "customer_id": name,
                "role_id": USSD_ROLE_ID,
                "status": status,
                "language": "sw",
                "channel": "ussd",
                "created_at": NOW,
            }
            for name, status in (("c1", "active"), ("c2", "pending"))
        ],
        "operations": [
            {
                "id": id_,
                "kind": kind,
                "phone_number": PHONES[name],
                "workflow_id": f"w-{id_}",
                "state": state,
                "created_at": NOW,
                **operation,
            }
            for id_, kind, name, state in (
                (id_of(1), "account.open", "c1", "done"),
                (id_of(2), "subscription.register", "c2", "done"),
                (id_of(3), "account.open", "c3", "in_doubt"),
                (id_of(4), "subscription.register", "c3", "open"),
            )
        ],
        "staged_changes": [
            {
                "id": CHANGE,
                "operation_id": id_of(2),
                "kind": "subscription.register",
                "entity": "users",
                "entity_id": "u-c2",
                "before_sealed": sealed("staged_changes", "before_sealed", CHANGE, {"status": "pending"}),
                "after_sealed": sealed("staged_changes", "after_sealed", CHANGE, {"status": "active"}),
                "version": 1,
                "maker": "ussd",
                "state": "pending",
                "created_at": NOW,
                "expires_at": datetime(2046, 1, 1, tzinfo=UTC),
            }
        ],
        "notifications": [
            {
                "id": "n1",
                "operation_id": id_of(1),
                "event": "account_opened",
                "language": "sw",
                "phone_sealed": sealed("notifications", "phone_sealed", "n1", PHONES["c1"].encode()),
                "text_sealed": sealed("notifications", "text_sealed", "n1", b"Mpendwa"),
                "state": "sent",
                "attempts": 1,
                "created_at": NOW,
            }
        ],
        "audit_log": [
            {
                "id": f"l{n}",
                "at": NOW.replace(second=n),
                "actor": "ussd",
                "action": "user.linked",
                "entity": "users",
                "entity_id": "u-c1",
                "request_id": f"w-{id_of(1)}",
            }
            for n in range(3)
        ],
        "idempotency_keys": [{"key_digest": "k", "body_digest": "b", "attempt": 1, "created_at": NOW}],
    }


def fill(connection: Connection) -> None:
    for table, rows in rows_of_the_first_schema().items():
        for row in rows:
            statement = text(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"
            )
            columns = [metadata.tables[table].c[name] for name in row]
            typed = [bindparam(column.name, row[column.name], column.type) for column in columns]
            connection.execute(statement.bindparams(*typed))


async def old_database(empty_url: str) -> Database:
    await migrate(empty_url, KEYS, to="0001")
    database = Database(empty_url)
    await database.write(fill)
    return database


async def test_an_attempt_at_a_pin_is_known_again_over_the_migration(empty_url: str) -> None:
    """Work that was under way when the service was stopped for it does not count anew."""
    await migrate(empty_url, KEYS, to="0006")
    database, now = Database(empty_url), datetime.now(UTC)
    try:
        await database.write(lambda c: ensure_reference_data(c, KEYS, POLICY.rules(), NOW))
        rows = (
            "INSERT INTO customers (id, created_at) VALUES ('c1', :now)",
            (
                "INSERT INTO users (id, customer_id, role_id, status, language, channel, created_at)"
                f" VALUES ('u1', 'c1', '{USSD_ROLE_ID}', 'active', 'en', 'ussd', :now)"
            ),
            "INSERT INTO pins VALUES ('u1', 'sealed', 'set', :now, 'tried', 'wrong', 1)",
        )

        def insert(connection: Connection) -> None:
            for sql in rows:
                connection.execute(text(sql).bindparams(bindparam("now", NOW, UtcDateTime())))

        await database.write(insert)
        await migrate(empty_url, KEYS)
        found = await database.write(
            lambda c: pins.attempt(c, KEYS, "u1", "tried", "set", Limit(3, 60), now, right=False)
        )
        assert found == Verdict("wrong", 1)
    finally:
        await database.close()


async def test_data_of_the_first_schema_is_kept_and_works_on(empty_urls: Urls, tmp_path: Path) -> None:
    """Who was subscribed is; who waited is approved; what is in doubt is shown; the audit log becomes a chain."""
    before = await old_database(empty_urls.platform)
    await before.close()
    await migrate(empty_urls.platform, KEYS)
    database = Database(empty_urls.platform)
    await database.write(lambda c: ensure_reference_data(c, KEYS, POLICY.rules(), NOW))
    assert await database.read(lambda c: list(audit.verify(c, KEYS))) == []
    await database.close()
    async with running(tmp_path, urls=empty_urls) as parts:
        first = await parts.subscriptions.check(PHONES["c1"])
        assert (first.status, first.language, first.customer_id) == ("subscribed", "sw", "c1")
        assert (await parts.subscriptions.check(PHONES["c2"])).status == "pending_approval"
        await parts.approvals.approve(CHANGE, 1, "operator:ann", "request-1")
        assert (await parts.subscriptions.check(PHONES["c2"])).subscribed
        (doubtful,) = await parts.recovery.listed(("in_doubt",), 10)
        assert (doubtful.id, doubtful.phone_number) == (id_of(3), PHONES["c3"])
        assert await parts.state(PHONES["c3"], "subscription.register") == "failed"
        assert isinstance(await parts.open("again", PHONES["c3"], wait_s=0.5), OperationPending)
        assert await parts.database.read(lambda c: list(audit.verify(c, KEYS))) == []


async def test_the_new_schema_is_what_the_code_uses_also_over_an_old_one(empty_url: str) -> None:
    """Column for column; and its rules hold for the rows that were there."""
    database = await old_database(empty_url)
    await database.close()
    await migrate(empty_url, KEYS)
    database = Database(empty_url)

    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await database.read(differences) == []
    for broken in (
        "UPDATE staged_changes SET state = 'approved', version = 2, checker = maker",
        "UPDATE staged_changes SET state = 'approved', version = 2",
        "UPDATE staged_changes SET state = 'lost', version = 2",
        "UPDATE operations SET state = 'open' WHERE phone_number = '+254711000803'",
        f"UPDATE notifications SET change_id = '{CHANGE}'",
    ):
        with pytest.raises(IntegrityError):
            await database.write(lambda c, sql=broken: c.execute(text(sql)))  # type: ignore[misc]
    for broken in ("UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"):
        with pytest.raises(DBAPIError, match="append-only"):
            await database.write(lambda c, sql=broken: c.execute(text(sql)))  # type: ignore[misc]
    await database.close()


async def test_a_staged_change_stays_as_it_was_asked_for_and_decided(empty_url: str) -> None:
    """The database itself refuses to rewrite one, to decide twice and to delete one, of whichever schema it is."""
    database = await old_database(empty_url)
    await database.close()
    await migrate(empty_url, KEYS)
    database = Database(empty_url)

    async def refused(*statements: str) -> None:
        for statement in statements:
            with pytest.raises(IntegrityError, match="a staged change"):
                await database.write(lambda c, sql=statement: c.execute(text(sql)))  # type: ignore[misc]

    await refused(
        "UPDATE staged_changes SET maker = 'operator:bob'",
        "UPDATE staged_changes SET maker_reason = 'because'",
        "UPDATE staged_changes SET kind = 'identity.move'",
        "UPDATE staged_changes SET entity_id = 'u-c1'",
        "UPDATE staged_changes SET base_version = 7",
        "UPDATE staged_changes SET before_sealed = after_sealed",
        "UPDATE staged_changes SET after_sealed = before_sealed",
        "UPDATE staged_changes SET context_sealed = 'x'",
        "UPDATE staged_changes SET operation_id = NULL",
        "UPDATE staged_changes SET version = 2",
        "UPDATE staged_changes SET state = 'approved', checker = 'operator:ann'",
        "UPDATE staged_changes SET state = 'approved', checker = 'operator:ann', version = 3",
        "DELETE FROM staged_changes",
    )
    decide = (
        "UPDATE staged_changes SET state = 'rejected', checker = 'operator:ann', reason = 'no', version = 2"
    )
    await database.write(lambda c: c.execute(text(decide)))
    await refused(
        "UPDATE staged_changes SET state = 'pending', version = 1",
        "UPDATE staged_changes SET state = 'approved', version = 3",
        "UPDATE staged_changes SET checker = 'operator:bob'",
        "UPDATE staged_changes SET reason = 'yes'",
        "UPDATE staged_changes SET decided_at = created_at",
        "DELETE FROM staged_changes",
    )
    await database.write(lambda c: c.execute(text("UPDATE staged_changes SET told_at = created_at")))
    await database.close()


async def test_another_key_ring_changes_nothing(empty_url: str) -> None:
    """An old database under the wrong keys is refused, and is still the old one."""
    first = KeyRing.of(b"1" * 32, {"k1": b"s" * 32})
    await migrate(empty_url, first, to="0001")
    with pytest.raises(SettingsError, match="another key ring"):
        await migrate(empty_url, KEYS)
    database = Database(empty_url)
    version = await database.read(
        lambda c: c.execute(text("SELECT version_num FROM alembic_version")).scalar()
    )
    assert version == "0001"
    await database.close()
    await migrate(empty_url, first)


async def test_two_processes_at_once_migrate_once(empty_url: str) -> None:
    """Workers that start at the same moment on an old database: one migrates, the other waits, and both go on."""
    database = await old_database(empty_url)
    await database.close()
    script = (
        "import asyncio, sys; from ussd_engine.platform.migrate import migrate;"
        "from tests.database_fixtures import KEYS; asyncio.run(migrate(sys.argv[1], KEYS))"
    )
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, empty_url, cwd=ROOT)
        for _ in range(2)
    ]
    assert [await process.wait() for process in processes] == [0, 0]
    database = Database(empty_url)
    assert await database.read(lambda c: list(audit.verify(c, KEYS))) == []
    assert (await database.read(lambda c: operations.find(c, KEYS, id_of(3)))) is not None
    await database.close()
