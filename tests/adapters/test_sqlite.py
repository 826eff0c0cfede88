"""The SQLite file that small adapters share: whole transactions, whoever else is at it."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from adapters.sqlite import SqliteFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def make_notes(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS notes (note TEXT)")


def add_note(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO notes VALUES ('x')")


def count_notes(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT COUNT(*) FROM notes").fetchone()[0])


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[SqliteFile]:
    file = SqliteFile(tmp_path / "var" / "notes.sqlite", make_notes, busy_timeout_s=20)
    yield file
    await file.close()


async def test_transaction_that_raises_leaves_nothing(notes: SqliteFile) -> None:
    """What a failed transaction wrote is undone, and the next one works."""

    def broken(db: sqlite3.Connection) -> None:
        add_note(db)
        raise LookupError

    with pytest.raises(LookupError):
        await notes.write(broken)
    await notes.write(add_note)
    assert await notes.read(count_notes) == 1


async def test_transaction_of_a_cancelled_caller_ends_whole(notes: SqliteFile) -> None:
    """A caller that is cancelled in the middle of a transaction neither splits it nor blocks the next."""
    started, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def wait() -> None:
        await go_on.wait()

    def two_notes(db: sqlite3.Connection) -> None:
        add_note(db)
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(wait(), loop).result()
        add_note(db)

    call = asyncio.create_task(notes.write(two_notes))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    assert await notes.read(count_notes) == 2


async def test_new_file_that_somebody_holds_is_waited_for(notes: SqliteFile, tmp_path: Path) -> None:
    """Processes that start together on a new file wait for each other instead of failing."""
    (tmp_path / "var").mkdir()
    other = sqlite3.connect(tmp_path / "var" / "notes.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    write = asyncio.create_task(notes.write(add_note))
    await asyncio.wait([write], timeout=0.1)
    other.execute("COMMIT")
    other.close()
    await write
    assert await notes.read(count_notes) == 1


async def test_file_that_stays_held_is_given_up(tmp_path: Path) -> None:
    """A file that another process does not let go of is an error after the busy timeout, not a hang."""
    other = sqlite3.connect(tmp_path / "notes.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    file = SqliteFile(tmp_path / "notes.sqlite", make_notes, busy_timeout_s=0.05)
    with pytest.raises(sqlite3.OperationalError):
        await file.write(add_note)
    other.close()
    await file.write(add_note)  # the next attempt finds the file free
    await file.close()


async def test_many_meet_a_new_file_at_once(tmp_path: Path) -> None:
    """Whoever is first at a new file makes it; nobody who comes at the same moment is turned away."""
    for number in range(20):
        path = tmp_path / f"notes-{number}.sqlite"
        files = [SqliteFile(path, make_notes, busy_timeout_s=20) for _ in range(8)]
        await asyncio.gather(*(file.write(add_note) for file in files))
        assert await files[0].read(count_notes) == 8
        await asyncio.gather(*(file.close() for file in files))
