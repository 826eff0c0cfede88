"""No transaction of the platform's database is open while the bank, the sender or the feed is called."""

from __future__ import annotations

import inspect
import sqlite3
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio

from tests.services.parts import Parts, Script, eventually, running
from ussd_engine.errors import BankUnavailable, UssdError
from ussd_engine.ports import Duplicate, NotFound, Opened, PendingApproval, Unknown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.pool import QueuePool

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Watch:
    """Looks from outside at every call of a port: at the file by a connection of its own, and at the pool."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "platform.db"
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
                    watch.look(name)
                    try:
                        return await method(*args, **kwargs)
                    finally:
                        watch.look(name)

                return call

        return Watched()

    def look(self, call: str) -> None:
        if self.parts is None:
            return
        self.calls.append(call)
        if cast("QueuePool", self.parts.database.engine.pool).checkedout():
            self.violations.append(f"{call}: a connection is in use")
        outside = sqlite3.connect(self.file, timeout=0, isolation_level=None)
        try:
            outside.execute("BEGIN IMMEDIATE")
            outside.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            self.violations.append(f"{call}: {error}")
        finally:
            outside.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watch(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watch]:
    folder = tmp_path_factory.mktemp("watched")
    seen = Watch(folder)
    async with running(folder, wrap=seen.over, automatic=frozenset({"subscription.register"})) as parts:
        seen.parts = parts
        yield seen
        seen.parts = None  # closing the ports is no call of a service


async def test_the_watch_sees_an_open_transaction(watch: Watch) -> None:
    """The test's own eye works: a call within a transaction is noticed by the file."""
    assert watch.parts
    await watch.parts.database.write(lambda _: watch.look("eye"))
    assert watch.violations == ["eye: database is locked"]
    watch.calls.clear()
    watch.violations.clear()


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
    """One after the other, so that a transaction that is seen belongs to the call that sees it."""
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
    for number in ("+254700000004", "+254700000007"):
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
