"""No transaction of the platform's database is open while the bank, the sender or the feed is called."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import create_engine, text

from tests.database_fixtures import KEYS, KINDS, Urls, urls_of
from tests.services.parts import Parts, Script, eventually, running
from ussd_engine.errors import BankUnavailable, UssdError
from ussd_engine.platform.migrate import migrate
from ussd_engine.ports import Duplicate, NotFound, Opened, PendingApproval, Unknown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.pool import QueuePool

pytestmark = pytest.mark.asyncio(loop_scope="module")


LOOKED_FOR_S = 2.0
"""Whoever calls waits for the look, and a transaction of theirs with them: it is as open after this time. Those of
others have ended: of DBOS, which works on the database of the workflows beside us, and of who waits for a workflow."""


class SqliteLook:
    """From outside, a transaction shows when another one cannot begin to write."""

    def __init__(self, urls: Urls) -> None:
        self._files = (
            urls.platform.removeprefix("sqlite+aiosqlite:///"),
            urls.workflows.removeprefix("sqlite:///"),
        )

    def close(self) -> None:
        """Each look has a connection of its own."""

    def violations(self) -> list[str]:
        return [violation for file in self._files for violation in self._locked(file)]

    def _locked(self, file: str) -> list[str]:
        outside = sqlite3.connect(file, timeout=0, isolation_level=None)
        try:
            outside.execute("BEGIN IMMEDIATE")
            outside.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            return [f"{Path(file).stem}: {error}"]
        finally:
            outside.close()
        return []


class PostgresLook:
    """From outside, PostgreSQL tells which session has a transaction open, and which holds a lock."""

    SESSIONS = """
        SELECT 'idle in transaction' FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'
    """
    LOCKS = """
        SELECT DISTINCT 'holds a lock' FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    """

    # One session is let off: the process whose DBOS looks for workflows that are delayed or too late, which are none
    # of ours, holds the advisory lock on that job in a transaction, a second at a time. It has read nothing, so it
    # keeps no row and no cleaning up waiting; and there is no setting for it.
    WORKFLOWS = """
        SELECT 'the workflows: idle in transaction' FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'
        AND query NOT LIKE 'SELECT pg_try_advisory_xact_lock%'
    """

    def __init__(self, urls: Urls) -> None:
        self._platform = psycopg.connect(urls.platform.replace("+asyncpg", ""), autocommit=True)
        self._workflows = psycopg.connect(urls.workflows, autocommit=True)

    def close(self) -> None:
        self._platform.close()
        self._workflows.close()

    def violations(self) -> list[str]:
        looks = (
            (self._platform, self.SESSIONS),
            (self._platform, self.LOCKS),
            (self._workflows, self.WORKFLOWS),
        )
        return [row[0] for outside, sql in looks for row in outside.execute(sql.encode()).fetchall()]


class Watch:
    """Looks from outside at every call of a port, by a connection of its own, and at the pool."""

    def __init__(self, urls: Urls) -> None:
        self.outside = PostgresLook(urls) if urls.platform.startswith("postgresql") else SqliteLook(urls)
        self.parts: Parts | None = None
        self.calls: list[str] = []
        self.violations: list[str] = []

    def over(self, port: Any) -> Any:
        watch = self

        class Watched:
            def __getattr__(self, name: str) -> Any:
                method = getattr(port, name)
                if not inspect.iscoroutinefunction(method):
                    return method

                async def call(*args: Any, **kwargs: Any) -> Any:
                    await watch.look(name)
                    work = asyncio.ensure_future(method(*args, **kwargs))
                    try:
                        while not (await asyncio.wait({work}, timeout=0.1))[0]:
                            await watch.look(name)  # while the bank is slow
                    finally:
                        work.cancel()
                    await watch.look(name)
                    return work.result()

                return call

        return Watched()

    async def look(self, call: str) -> None:
        if self.parts is None:
            return
        self.calls.append(call)
        self.violations += [f"{call}: {what}" for what in await self.open_throughout(self.parts)]

    async def open_throughout(self, parts: Parts) -> list[str]:
        """What is open now, and has not ended in LOOKED_FOR_S."""
        until = time.monotonic() + LOOKED_FOR_S
        seen = self._open(parts)
        while seen and time.monotonic() < until:
            await asyncio.sleep(0.02)
            now = self._open(parts)
            seen = [what for what in seen if what in now]
        return seen

    def _open(self, parts: Parts) -> list[str]:
        in_use = cast("QueuePool", parts.database.engine.pool).checkedout()
        return [*(["a connection is in use"] if in_use else []), *self.outside.violations()]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def watch(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watch]:
    folder = tmp_path_factory.mktemp("watched")
    urls = urls_of(request.param, folder, request)
    await migrate(urls.platform, KEYS)
    seen = Watch(urls)
    automatic = frozenset({"subscription.register"})
    async with running(folder, wrap=seen.over, automatic=automatic, urls=urls) as parts:
        seen.parts = parts
        yield seen
        seen.parts = None  # closing the ports is no call of a service
    seen.outside.close()


INSERT = text("INSERT INTO customers (id, created_at) VALUES ('eye', '2030-01-01 00:00:00')")


async def test_the_watch_sees_an_open_transaction(watch: Watch) -> None:
    """The test's own eye works: a call within a transaction is noticed by the file."""
    assert watch.parts
    async with watch.parts.database.engine.connect() as connection:
        await connection.execute(INSERT)
        await watch.look("eye")
        await connection.rollback()
    wanted = {
        "sqlite": ["eye: a connection is in use", "eye: platform: database is locked"],
        "postgresql": ["eye: a connection is in use", "eye: idle in transaction", "eye: holds a lock"],
    }
    assert watch.violations == wanted[watch.parts.database.engine.dialect.name]
    watch.calls.clear()
    watch.violations.clear()


async def test_the_watch_lets_a_transaction_of_others_end(watch: Watch) -> None:
    """Who does not wait for the look has ended before it, and is no call's."""
    parts = watch.parts
    assert parts
    begun = asyncio.Event()

    async def other() -> None:
        async with parts.database.engine.connect() as connection:
            await connection.execute(INSERT)
            begun.set()
            await asyncio.sleep(LOOKED_FOR_S / 10)
            await connection.rollback()

    task = asyncio.create_task(other())
    await begun.wait()
    assert await watch.open_throughout(parts) == []
    await task


async def test_the_watch_sees_an_open_transaction_of_the_workflows(watch: Watch) -> None:
    """There as well; what DBOS holds by itself is let off."""
    assert watch.parts
    for _ in range(3):
        await asyncio.sleep(0.3)
        assert await watch.open_throughout(watch.parts) == []
    sqlite = watch.parts.database.engine.dialect.name == "sqlite"
    url = watch.parts.urls.workflows.replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url)
    with engine.connect() as inside:
        inside.execute(text("CREATE TABLE eye (id INTEGER)"))
        if sqlite:
            inside.execute(text("INSERT INTO eye VALUES (1)"))
        seen = await watch.open_throughout(watch.parts)
        inside.rollback()
    engine.dispose()
    assert seen == (["workflows: database is locked"] if sqlite else ["the workflows: idle in transaction"])


async def test_every_outbound_call_finds_the_database_free(watch: Watch) -> None:
    """Checks, registrations, openings, searches, messages and events: each call, before and after."""
    parts = watch.parts
    assert parts
    await story(parts)
    assert watch.violations == []
    assert set(watch.calls) == {
        "search_by_phone",
        "account_details",
        "open_account",
        "find_opening",
        "send",
        "publish",
    }
    assert len(watch.calls) > 40


async def story(parts: Parts) -> None:
    """One after the other, so that what goes on beside a call ends by itself."""
    phone = "+254711000050"
    parts.sms.unavailable[phone] = 1
    await parts.subscriptions.check(phone)
    await parts.open("w-1", phone)
    await quiet(parts)
    parts.bank.scripts["+254711000051"] = Script(
        open=[Unknown("timeout"), Duplicate("external_id")],
        find=[NotFound(), BankUnavailable("down"), PendingApproval("R"), Opened("REF-51", "ACC-51")],
    )
    await parts.open("w-2", "+254711000051")
    await quiet(parts)
    for number in ("+254700000005", "+254700000006"):
        await parts.open(f"w-{number}", number)
        await quiet(parts)
    for number in ("+254700000003", "+254700000004", "+254700000007"):
        with pytest.raises(UssdError):
            await parts.open(f"w-{number}", number)
        await quiet(parts)
    await parts.register("w-3", "+254700000001")
    await quiet(parts)
    with pytest.raises(UssdError):
        await parts.register("w-4", "+254700000002")
    await quiet(parts)


async def quiet(parts: Parts) -> None:
    """Wait until no workflow runs any more."""

    async def idle() -> bool:
        return not parts.workflows._bodies

    await eventually(idle)
