"""Which flows new sessions begin on: every decision is kept, and none is undone but by another one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.database_fixtures import KEYS
from ussd_engine.platform import audit, revisions
from ussd_engine.platform.database import Database
from ussd_engine.platform.revisions import (
    How,
    NothingToRollBack,
    Publication,
    Revision,
    RevisionChanged,
    former,
)
from ussd_engine.platform.staff import Act, UnknownName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
ACT = Act("console:ann", "request-1", NOW)


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = Database(url)
    yield opened
    await opened.close()


async def publish(database: Database, name: str, how: How = "published", note: str | None = None) -> bool:
    revision = Revision(name, f'{{"of": "{name}"}}', 2, 7)
    return await database.write(lambda c: revisions.publish(c, KEYS, revision, how, ACT, note))


async def roll_back(
    database: Database, name: str | None = None, *, at: datetime = NOW, asked_at: datetime | None = None
) -> str:
    """Which revision is current then."""
    act = Act(ACT.actor, ACT.request_id, at)
    _, target = await database.write(
        lambda c: revisions.roll_back(c, KEYS, name, act, asked_at=asked_at or at)
    )
    return target


async def test_the_last_one_published_is_current(database: Database) -> None:
    """With who, when, why and how much; and every revision keeps its content."""
    assert await database.read(revisions.current) is None
    assert await publish(database, "a")
    assert await publish(database, "b", note="new words")
    last = Publication(2, "b", "published", NOW, "console:ann", "new words", 2, 7)
    assert await database.read(revisions.current) == last
    assert [each.revision for each in await database.read(revisions.all_of)] == ["a", "b"]
    assert await database.read(lambda c: revisions.content_of(c, "a")) == '{"of": "a"}'
    assert await database.read(lambda c: revisions.content_of(c, "x")) is None


async def test_what_is_current_is_not_published_again(database: Database) -> None:
    """Neither by a person nor by a service that starts; an earlier one may be, and is then current."""
    await publish(database, "a")
    assert not await publish(database, "a")
    assert not await publish(database, "a", "folder")
    await publish(database, "b")
    assert await publish(database, "a")
    assert [each.revision for each in await database.read(revisions.all_of)] == ["a", "b", "a"]


async def test_a_person_may_decide_on_what_a_service_took_up(database: Database) -> None:
    """Until then a folder is taken up at the start of a service; from then on nothing but a decision counts."""
    await publish(database, "a", "folder")
    assert not await database.read(revisions.decided)
    assert await publish(database, "a")
    assert await database.read(revisions.decided)


async def test_back_is_one_further_each_time(database: Database) -> None:
    """What was rolled back does not come again by rolling back; what is published after it does not lead there."""
    for name in ("a", "b", "c"):
        await publish(database, name)
    assert [await roll_back(database) for _ in range(2)] == ["b", "a"]
    with pytest.raises(NothingToRollBack):
        await roll_back(database)
    await publish(database, "d")
    assert await roll_back(database) == "a"
    assert await roll_back(database, "c") == "c"
    kept = [(each.revision, each.how == "rolled_back") for each in await database.read(revisions.all_of)]
    assert kept == [
        ("a", False),
        ("b", False),
        ("c", False),
        ("b", True),
        ("a", True),
        ("d", False),
        ("a", True),
        ("c", True),
    ]


async def test_of_those_who_go_back_at_the_same_moment_one_does(url: str, database: Database) -> None:
    """The others are told that what they wanted to leave is left: nobody goes further back than meant."""
    for name in ("a", "b", "c", "d"):
        await publish(database, name)
    other, later = Database(url), NOW + timedelta(seconds=2)
    asked_at = NOW + timedelta(seconds=1)  # before any of them was done
    done = await asyncio.gather(
        *(roll_back(to, at=later, asked_at=asked_at) for to in [database, other] * 3), return_exceptions=True
    )
    await other.close()
    refused = [each for each in done if isinstance(each, RevisionChanged)]
    assert ([each for each in done if each == "c"], len(refused)) == (["c"], 5)
    assert "has just made revision c current" in str(refused[0])
    last = await database.read(revisions.current)
    assert last is not None
    assert (last.seq, last.revision) == (5, "c")
    assert await roll_back(database, at=later) == "b", "who asks after that goes one further"


async def test_a_rollback_goes_back_from_what_it_has_read(database: Database) -> None:
    """What becomes current between its look and its word is not undone unseen."""
    for name in ("a", "b"):
        await publish(database, name)

    def overtaken(connection: Connection) -> None:
        read = revisions.all_of

        def and_then_published(at: Connection) -> list[Publication]:
            found = read(at)
            revisions.publish(at, KEYS, Revision("c", "{}", 1, 1), "published", ACT)
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(revisions, "all_of", and_then_published)
            revisions.roll_back(connection, KEYS, None, ACT, asked_at=NOW)

    with pytest.raises(RevisionChanged):
        await database.write(overtaken)


async def test_nowhere_to_go_back_to(database: Database) -> None:
    """Said in words, and nothing is changed."""
    with pytest.raises(NothingToRollBack, match="no earlier revision"):
        await roll_back(database)
    await publish(database, "a")
    with pytest.raises(UnknownName, match="no revision 'b'"):
        await roll_back(database, "b")
    with pytest.raises(NothingToRollBack, match="current already"):
        await roll_back(database, "a")
    assert len(await database.read(revisions.all_of)) == 1


def test_the_same_revision_twice_is_no_step_back() -> None:
    """What a service took up and a person then published is one and the same."""
    steps: list[tuple[str, How]] = [("a", "folder"), ("b", "folder"), ("b", "published")]
    made = [Publication(seq, name, how, NOW, "x", None, 1, 1) for seq, (name, how) in enumerate(steps)]
    assert former(made) == "a"


async def test_every_change_stands_in_the_audit_log(database: Database) -> None:
    """With what was current before and after, in the chain."""
    await publish(database, "a", "folder")
    await publish(database, "b")
    await roll_back(database)
    entries = await database.read(lambda c: audit.last_entries(c, 10))
    assert [(entry.actor, entry.action, entry.entity_id) for entry in entries] == [
        ("console:ann", "flows.taken_up", "a"),
        ("console:ann", "flows.published", "b"),
        ("console:ann", "flows.rolled_back", "a"),
    ]
    assert audit.open_values(KEYS, entries[1]) == {
        "before": {"revision": "a"},
        "after": {"revision": "b", "note": None},
    }
    assert await database.read(lambda c: list(audit.verify(c, KEYS))) == []


@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
@pytest.mark.parametrize(("table", "column"), [("flow_revisions", "flows"), ("flow_publications", "seq")])
async def test_nothing_of_it_can_be_changed(
    database: Database, statement: str, table: str, column: str
) -> None:
    """The database itself refuses, whoever asks."""
    await publish(database, "a")
    change = text(statement.format(table, column, column))
    with pytest.raises(DBAPIError, match="append-only"):
        await database.write(lambda c: c.execute(change))


async def test_of_many_at_once_each_has_its_place(url: str, database: Database) -> None:
    """Published at the same moment by many, each follows another; who comes with the same finds it there."""
    other = Database(url)
    names = [f"r{number}" for number in range(10)]
    done = await asyncio.gather(
        *(publish(to, name) for to, name in zip([database, other] * 5, names, strict=True))
    )
    assert all(done)
    made = await database.read(revisions.all_of)
    assert [each.seq for each in made] == list(range(1, 11))
    assert {each.revision for each in made} == set(names)
    same = await asyncio.gather(*(partial(publish, to, "last")() for to in [database, other] * 5))
    assert same.count(True) == 1
    assert await database.read(lambda c: list(audit.verify(c, KEYS))) == []
    await other.close()
