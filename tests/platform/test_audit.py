"""The audit log: what was done to it afterwards is found, and named."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from tests.database_fixtures import KEYS
from ussd_engine.platform import audit
from ussd_engine.platform.audit import AuditEntry, Head
from ussd_engine.platform.database import Database
from ussd_engine.platform.tables import audit_head, audit_log
from ussd_engine.sealing import KeyRing, SealBroken

OTHER_KEYS = KeyRing.of(b"x" * 32, {"k1": b"s" * 32})
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
WITHIN_S = 60


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """With a log of five entries."""
    opened = Database(url)
    await opened.write(write_entries)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def tampered(database: Database) -> Database:
    """The same log, in the hands of somebody who has the database and not the keys."""
    await database.write(unguard)
    return database


# --- the log as it should be ------------------------------------------------------------------------------


async def test_an_untouched_log_has_no_findings(database: Database) -> None:
    """And the head is the last entry."""
    assert await findings(database) == []
    head = await database.read(audit.head_of)
    assert head.seq == 5
    assert await findings(database, noted=head) == []


async def test_a_log_of_many_pages_is_one_chain(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands at the border of two pages is checked like everything else."""
    monkeypatch.setattr(audit, "PAGE_ROWS", 2)
    assert await findings(database) == []
    await database.write(unguard)
    await database.write(lambda connection: change(connection, 3, actor="operator:eve"))
    assert [name_of(finding) for finding in await findings(database)] == ["entry 3"]


async def test_what_was_there_is_sealed_and_opens_with_the_keys_alone(database: Database) -> None:
    """The log tells in clear who did what to which record, and nothing of the person behind it."""
    stored = await database.read(lambda connection: connection.execute(select(audit_log)).all())
    assert "Jane" not in repr(stored)
    last = (await database.read(lambda connection: audit.last_entries(connection, 1)))[0]
    assert audit.open_values(KEYS, last) == {"before": {"name": "Jane 5"}, "after": {"name": "Janet 5"}}
    with pytest.raises(SealBroken):
        audit.open_values(KeyRing.of(b"i" * 32, {"k1": b"z" * 32}), last)


async def test_the_last_entries_come_in_their_order(database: Database) -> None:
    """The newest stands at the end, and those of one record can be asked for."""

    def seqs(connection: Connection) -> tuple[list[int], list[int]]:
        of_one = audit.last_entries(connection, 10, "record-2")
        return [e.seq for e in audit.last_entries(connection, 2)], [e.seq for e in of_one]

    assert await database.read(seqs) == ([4, 5], [2])


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET actor = 'eve'", "DELETE FROM audit_log"])
async def test_the_database_refuses_to_change_the_log(database: Database, statement: str) -> None:
    """Neither the engine nor a person with a console changes an entry by mistake."""
    with pytest.raises(DBAPIError, match="append-only"):
        await database.write(lambda connection: connection.execute(text(statement)))


async def test_writers_of_several_processes_make_one_chain(database: Database, url: str) -> None:
    """Two processes and two pools append at once: every entry has its number, and the chain is whole."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=append_in_a_process, args=(url, 20)) for _ in range(2)]
    for process in processes:
        process.start()
    other = Database(url)
    await asyncio.gather(*(to.write(append_one) for to in (database, other) for _ in range(20)))
    await other.close()
    for process in processes:
        await asyncio.to_thread(process.join, WITHIN_S)
        assert process.exitcode == 0
    assert await findings(database) == []
    assert (await database.read(audit.head_of)).seq == 5 + 4 * 20


# --- the log after somebody was there ---------------------------------------------------------------------


@pytest.mark.parametrize("seq", [1, 3, 5])
async def test_a_finding_says_what_the_entry_told(tampered: Database, seq: int) -> None:
    """Whoever looks into it knows at once which record it is about."""
    await tampered.write(lambda connection: change(connection, seq, reason="forged"))
    (found,) = await findings(tampered)
    told = f": 2030-01-02 03:04:05 operator:ann change.approved users record-{seq}) was changed"
    assert found.startswith(f"entry {seq} (id ")
    assert found.endswith(told)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", NOW.replace(year=2031)),
        ("actor", "operator:eve"),
        ("action", "change.rejected"),
        ("entity", "accounts"),
        ("entity_id", "record-4"),
        ("request_id", "another"),
        ("reason", ""),
        ("before_sealed", None),
        ("after_sealed", "k1.AAAA"),
        ("hash", "0" * 32),
        ("id", "another"),
    ],
)
async def test_a_changed_field_is_found(tampered: Database, column: str, value: object) -> None:
    """Whatever is changed in an entry, that entry is named, and none of its neighbours."""
    await tampered.write(lambda connection: change(connection, 3, **{column: value}))
    assert [name_of(finding) for finding in await findings(tampered)] == ["entry 3"]


@pytest.mark.parametrize(
    ("seq", "told"),
    [
        (1, "entry 1 is missing, so entry 2 cannot be checked"),
        (3, "entry 3 is missing, so entry 4 cannot be checked"),
        (5, "entry 5 is missing at the end"),
    ],
)
async def test_a_removed_entry_is_found(tampered: Database, seq: int, told: str) -> None:
    """At the beginning, in the middle and at the end."""
    await tampered.write(lambda connection: remove(connection, seq))
    assert await findings(tampered) == [told]


@pytest.mark.parametrize(("one", "other"), [(3, 4), (2, 4), (1, 5)])
async def test_entries_that_changed_places_are_found(tampered: Database, one: int, other: int) -> None:
    """Both are named with the place that was theirs, and those that only follow them are not."""
    await tampered.write(lambda connection: swap(connection, one, other))
    found = [finding for finding in await findings(tampered) if "the head" not in finding]
    assert [(name_of(finding), finding.rsplit(" ", 2)[-2:]) for finding in found] == [
        (f"entry {one}", ["entry", str(other)]),
        (f"entry {other}", ["entry", str(one)]),
    ]


async def test_a_removed_entry_is_found_when_the_others_were_numbered_anew(tampered: Database) -> None:
    """No number is missing then, but each that came later stands one place too early: one sentence for all."""
    await tampered.write(lambda connection: remove_and_close_the_gap(connection, 3))
    first, end = await findings(tampered)
    assert name_of(first) == "entry 3"
    assert first.endswith("and those up to entry 4 stand 1 place too early: an entry before it was removed")
    assert end == "entry 5 is missing at the end"


async def test_what_was_done_to_a_long_log_is_told_in_few_words_and_in_full(tampered: Database) -> None:
    """Removed entries move all that follow, which is one finding; what else was done is told beside it."""
    await tampered.write(lambda connection: append_many(connection, 140))

    def tamper(connection: Connection) -> None:
        remove_and_close_the_gap(connection, 25)
        change(connection, 60, actor="operator:eve")

    await tampered.write(tamper)
    shifted, changed, end = await findings(tampered)
    assert name_of(shifted) == "entry 25"
    assert shifted.endswith("up to entry 144 stand 1 place too early: an entry before it was removed")
    assert (name_of(changed), changed.rsplit(") ", 1)[1]) == ("entry 60", "was changed")
    assert end == "entry 145 is missing at the end"


async def test_an_entry_that_was_moved_to_the_end_is_found(tampered: Database) -> None:
    """The others are where they are because of it, and are told of as one."""
    await tampered.write(lambda connection: append_many(connection, 136))

    def move(connection: Connection) -> None:
        change(connection, 25, seq=999)
        close_the_gap(connection, 25)
        change(connection, 999, seq=141)

    await tampered.write(move)
    shifted, moved, head = await findings(tampered)
    assert name_of(shifted) == "entry 25"
    assert shifted.endswith("up to entry 140 stand 1 place too early: an entry before it was removed")
    assert name_of(moved) == "entry 141"
    assert moved.endswith("stands in another's place: it was entry 25")
    assert "the log ends with another entry 141" in head


async def test_an_entry_that_was_put_in_is_found(tampered: Database) -> None:
    """It is named, and those that made room for it are one finding."""

    def put_in(connection: Connection) -> None:
        for seq in (5, 4, 3):
            change(connection, seq, seq=seq + 1)
        copy(connection, 2, 3)

    await tampered.write(put_in)
    forged, shifted, *_ = await findings(tampered)
    assert (name_of(forged), forged.rsplit(") ", 1)[1]) == ("entry 3", "was changed")
    assert name_of(shifted) == "entry 4"
    assert shifted.endswith("up to entry 6 stand 1 place too late: an entry before it was put in")


async def test_many_changed_entries_are_all_named(tampered: Database) -> None:
    """However many there are, staff learn which."""
    await tampered.write(lambda connection: append_many(connection, 140))

    def tamper(connection: Connection) -> None:
        for seq in (*range(2, 104, 2), 105, 106, 107):
            change(connection, seq, actor="operator:eve")

    await tampered.write(tamper)
    (found,) = await findings(tampered)
    assert name_of(found) == "entry 2"
    assert f"and entries {', '.join(map(str, range(4, 104, 2)))}, 105 to 107 were changed" in found


async def test_a_log_written_anew_without_the_key_is_found(tampered: Database) -> None:
    """Who hashes the rest of the chain again needs the key for it; without, the first entry is named."""
    await tampered.write(lambda connection: rewrite(connection, 3, actor="operator:eve"))
    found = await findings(tampered)
    assert [name_of(finding) for finding in found] == ["entry 3", "entry 4", "entry 5", "the head"]
    assert "cannot be checked because entry 3 was" in found[1]


async def test_a_long_log_written_anew_is_told_in_a_few_words(tampered: Database) -> None:
    """A million entries that do not fit are no help one by one: the first is named, and the last."""
    for _ in range(60):
        await tampered.write(append_one)
    await tampered.write(lambda connection: rewrite(connection, 2, actor="operator:eve"))
    found = await findings(tampered)
    assert [name_of(finding) for finding in found] == ["entry 2", "the head"]
    assert "and entries 3 to 65 were changed" in found[0]


async def test_an_end_cut_off_with_the_head_set_back_is_found(tampered: Database) -> None:
    """The head has a seal, which cannot be made without the key."""
    await tampered.write(cut_off_and_set_the_head_back)
    assert [name_of(finding) for finding in await findings(tampered)] == ["the head"]


async def test_a_forged_head_stays_forged(tampered: Database) -> None:
    """The engine goes on writing, and gives no good seal to a chain that stands on a forged head."""
    await tampered.write(cut_off_and_set_the_head_back)
    await tampered.write(append_one)
    assert [name_of(finding) for finding in await findings(tampered)] == ["the head"]


async def test_a_head_that_was_taken_away_is_found(tampered: Database) -> None:
    """Also when the engine wrote on afterwards."""
    await tampered.write(lambda connection: connection.execute(delete(audit_head)))
    assert await findings(tampered) == ["the head of the chain is missing"]
    await tampered.write(append_one)
    assert await findings(tampered) == ["the head of the chain was changed; it says that entry 6 is the last"]


async def test_a_log_put_back_to_an_earlier_day_is_found_by_a_noted_head(tampered: Database) -> None:
    """An old copy is whole in itself; only what was noted elsewhere tells that it is old, or another."""
    old = await tampered.read(lambda connection: connection.execute(select(audit_head)).mappings().one())
    await tampered.write(append_one)
    noted = await tampered.read(audit.head_of)
    await tampered.write(lambda connection: remove(connection, 6))
    await tampered.write(lambda connection: connection.execute(update(audit_head).values(**old)))
    assert await findings(tampered) == []
    assert await findings(tampered, noted) == ["entry 6 is missing: the head that was noted is entry 6"]
    await tampered.write(append_one)
    assert await findings(tampered, noted) == ["entry 6 is not the one that was noted"]


@pytest.mark.parametrize(
    ("seq", "told"), [(0, "was put in outside the numbers of the log"), (6, "was changed")]
)
async def test_an_entry_that_the_engine_did_not_write_is_found(
    tampered: Database, seq: int, told: str
) -> None:
    """Before the first and after the last."""
    await tampered.write(lambda connection: copy(connection, 5, seq))
    found = (await findings(tampered))[0]
    assert name_of(found) == f"entry {seq}"
    assert told in found


@pytest.mark.parametrize(("column", "value"), [("at", "yesterday"), ("seq", "three")])
async def test_a_value_of_another_kind_does_not_stop_the_check(
    tampered: Database, column: str, value: str
) -> None:
    """SQLite takes any text for a time or a number; the entry is told, and the rest is checked."""
    if tampered.engine.dialect.name != "sqlite":
        pytest.skip("this database takes a time for a time")
    statement = text(f"UPDATE audit_log SET {column} = :value WHERE seq = 3")
    await tampered.write(lambda connection: connection.execute(statement, {"value": value}))
    found = await findings(tampered)
    assert any("record-3" in finding for finding in found)
    assert not any("record-4" in finding or "record-5" in finding for finding in found)


# --- what the tests do to the log -------------------------------------------------------------------------


async def findings(database: Database, noted: Head | None = None) -> list[str]:
    return await database.read(lambda connection: list(audit.verify(connection, KEYS, noted)))


def name_of(finding: str) -> str:
    return " ".join(finding.split()[:2])


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        actor="operator:ann",
        action="change.approved",
        entity="users",
        entity_id=f"record-{number}",
        request_id=f"request-{number}",
        before={"name": f"Jane {number}"},
        after={"name": f"Janet {number}"},
    )


def write_entries(connection: Connection) -> None:
    """In two transactions' worth of appending, as a chain is made of several."""
    audit.append(connection, KEYS, [entry(1)], NOW)
    audit.append(connection, KEYS, [entry(number) for number in range(2, 6)], NOW)


def append_one(connection: Connection) -> None:
    audit.append(connection, KEYS, [entry(6)], NOW)


def append_in_a_process(url: str, times: int) -> None:
    async def run() -> None:
        database = Database(url)
        for _ in range(times):
            await database.write(append_one)
        await database.close()

    asyncio.run(run())


def unguard(connection: Connection) -> None:
    """Whoever owns the database may drop its triggers."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("DROP TRIGGER audit_log_append_only ON audit_log"))
        return
    for verb in ("update", "delete"):
        connection.execute(text(f"DROP TRIGGER audit_log_no_{verb}"))


def change(connection: Connection, place: int, /, **values: object) -> None:
    done = connection.execute(update(audit_log).where(audit_log.c.seq == place).values(**values))
    assert done.rowcount == 1


def remove(connection: Connection, seq: int) -> None:
    assert connection.execute(delete(audit_log).where(audit_log.c.seq == seq)).rowcount == 1


def swap(connection: Connection, one: int, other: int) -> None:
    for from_, to in ((one, 99), (other, one), (99, other)):
        change(connection, from_, seq=to)


def remove_and_close_the_gap(connection: Connection, seq: int) -> None:
    remove(connection, seq)
    close_the_gap(connection, seq)


def close_the_gap(connection: Connection, missing: int) -> None:
    later = select(audit_log.c.seq).where((audit_log.c.seq > missing) & (audit_log.c.seq < 999))
    for seq in connection.execute(later.order_by(audit_log.c.seq)).scalars().all():
        change(connection, seq, seq=seq - 1)


def append_many(connection: Connection, times: int) -> None:
    audit.append(connection, KEYS, [entry(6)] * times, NOW)


def copy(connection: Connection, from_: int, to: int) -> None:
    row = connection.execute(select(audit_log).where(audit_log.c.seq == from_)).mappings().one()
    connection.execute(insert(audit_log).values({**row, "seq": to, "id": "a-copy"}))


def rewrite(connection: Connection, first: int, **values: Any) -> None:
    """Change an entry, and make all hashes from there on and the head's seal fit, under another key."""
    change(connection, first, **values)
    rows = connection.execute(select(audit_log).order_by(audit_log.c.seq)).mappings().all()
    head = Head(first - 1, rows[first - 2]["hash"])
    for row in rows[first - 1 :]:
        head = Head(row["seq"], audit.link(OTHER_KEYS, head.hash, dict(row)))
        change(connection, row["seq"], hash=head.hash)
    seal = OTHER_KEYS.digest("audit-head", str(head.seq), head.hash)
    connection.execute(update(audit_head).values(seq=head.seq, hash=head.hash, seal=seal))


def cut_off_and_set_the_head_back(connection: Connection) -> None:
    remove(connection, 5)
    hash_ = connection.execute(select(audit_log.c.hash).where(audit_log.c.seq == 4)).scalar_one()
    connection.execute(update(audit_head).values(seq=4, hash=hash_))
