"""PostgreSQL that is away, busy or restarted: a clear error at the most, and the next one works."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import text

from ussd_engine.errors import DatabaseUnavailable
from ussd_engine.platform import database as module
from ussd_engine.platform.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection

    from tests.database_fixtures import Postgres, Urls


@pytest.fixture
def urls(postgres: Postgres) -> Urls:
    return postgres.fresh(migrated=True)


@pytest.fixture
async def database(urls: Urls, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 200)
    opened = Database(urls.platform)
    yield opened
    await opened.close()


def one(connection: Connection) -> int:
    return int(connection.execute(text("SELECT 1")).scalar_one())


async def test_connections_that_died_while_idle_cost_nobody_anything(database: Database, urls: Urls) -> None:
    """After a restart of the server, whoever comes next is served: readers and writers."""
    await asyncio.gather(*(database.read(one) for _ in range(5)))
    with psycopg.connect(urls.platform.replace("+asyncpg", ""), autocommit=True) as outside:
        ended = outside.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert len(ended) >= 1
    assert await asyncio.gather(*(database.write(one) for _ in range(5))) == [1] * 5


async def test_a_connection_that_dies_in_a_transaction_is_said_so(database: Database) -> None:
    """Nothing is repeated that may have been done; the caller hears that the database was away, and it goes on."""

    def dies(connection: Connection) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DatabaseUnavailable):
        await database.write(dies)
    assert await database.write(one) == 1


async def test_a_lock_that_is_held_is_not_waited_for_for_ever(database: Database, urls: Urls) -> None:
    """A writer waits as long as one of SQLite does, and then hears that the database is away."""
    with psycopg.connect(urls.platform.replace("+asyncpg", "")) as outside:
        outside.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnavailable):
            await database.write(lambda c: c.execute(text("DELETE FROM customers")))
    await database.write(lambda c: c.execute(text("DELETE FROM customers")))


async def test_a_deadlock_is_another_try(database: Database) -> None:
    """Of two that wait for each other, one is told that the database was away, which is tried again."""
    await database.write(lambda c: c.execute(text("CREATE TABLE two (id INTEGER PRIMARY KEY, n INTEGER)")))
    await database.write(lambda c: c.execute(text("INSERT INTO two VALUES (1, 0), (2, 0)")))

    def both(connection: Connection, first: int, second: int) -> None:
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        for id_ in (first, second):
            connection.execute(text("UPDATE two SET n = n + 1 WHERE id = :id"), {"id": id_})
            connection.execute(text("SELECT pg_sleep(0.2)"))

    answers = await asyncio.gather(
        database.write(lambda c: both(c, 1, 2)),
        database.write(lambda c: both(c, 2, 1)),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["DatabaseUnavailable", "NoneType"]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+asyncpg://nobody:a-password@127.0.0.1:9/none",
        "postgresql+asyncpg://nobody:a-password@/none?host=/nowhere",
    ],
)
async def test_no_server_is_said_without_the_password(address: str) -> None:
    """Whoever reads the log learns that the database is away, and not how to get in."""
    away = Database(address)
    with pytest.raises(DatabaseUnavailable) as refused:
        await away.read(one)
    assert "a-password" not in f"{refused.value}"
    await away.close()


async def test_a_server_that_takes_no_connections_is_away(postgres: Postgres, urls: Urls) -> None:
    """What it says while one connects counts as well: full, starting, closed for the moment."""
    limited = urls.platform.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres.address("postgres"), autocommit=True) as outside:
        outside.execute(f"ALTER DATABASE {limited} ALLOW_CONNECTIONS false".encode())
        fresh = Database(urls.platform)
        with pytest.raises(DatabaseUnavailable):
            await fresh.read(one)
        outside.execute(f"ALTER DATABASE {limited} ALLOW_CONNECTIONS true".encode())
    assert await fresh.read(one) == 1
    await fresh.close()
