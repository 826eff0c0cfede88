"""What became of messages: the sender's reports, and the list for staff."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, get_args

import pytest
import pytest_asyncio
from sqlalchemy import select

from tests.database_fixtures import KEYS
from tests.outbox_rows import NOW, PHONE, Message, put
from ussd_engine.platform import outbox
from ussd_engine.platform.database import Database
from ussd_engine.platform.deliveries import Listed, Standing, listed, record_report
from ussd_engine.platform.outbox import Notification
from ussd_engine.platform.tables import notifications

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ussd_engine.ports import Delivery

LATER = NOW + timedelta(minutes=1)


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = Database(url)
    yield opened
    await opened.close()


async def put_all(database: Database, *messages: Message) -> None:
    for message in messages:
        await database.write(lambda connection, one=message: put(connection, one))  # type: ignore[misc]


async def report(
    database: Database, delivery: Delivery, failure: str | None = None, ref: str = "ref-1"
) -> bool:
    return await database.write(lambda connection: record_report(connection, ref, delivery, failure, LATER))


async def list_(
    database: Database, standing: Standing | None = None, limit: int = 10, before: str | None = None
) -> list[Listed]:
    return await database.read(lambda connection: listed(connection, KEYS, standing, limit, before))


# --- what the outbox keeps of an attempt ----------------------------------------------------------------


async def test_parts_of_a_message_are_known_when_it_is_queued(database: Database) -> None:
    """What a message will cost is on record before it is sent: here two parts, for a name outside GSM-7."""
    await put_all(database, Message("m-1"))
    text = "Dear \u0218tefan, your account is open. " + "Dial again to see it. " * 3
    message = Notification("m-2", "op-m-1", None, "account_delayed", "en", PHONE, text, NOW)
    await database.write(lambda connection: outbox.add(connection, KEYS, message))
    kept = select(notifications.c.parts).where(notifications.c.id == "m-2")
    assert await database.read(lambda connection: connection.execute(kept).scalar_one()) == 2


async def test_reason_of_a_refusal_is_kept(database: Database) -> None:
    """Staff see why a message failed; a later attempt that is accepted has no reason any more."""
    await put_all(database, Message("m-1", state="queued"))
    await database.write(lambda c: outbox.begin_attempt(c, "m-1", "a", None))
    await database.write(lambda c: outbox.end_attempt(c, "m-1", "queued", None, NOW, "uncertain"))
    assert (await list_(database))[0].failure == "uncertain"
    await database.write(lambda c: outbox.begin_attempt(c, "m-1", "a", None))
    await database.write(lambda c: outbox.end_attempt(c, "m-1", "sent", "ref-1", NOW))
    (sent,) = await list_(database)
    assert (sent.state, sent.failure, sent.attempts) == ("sent", None, 3)


# --- reports --------------------------------------------------------------------------------------------


async def test_report_of_an_unknown_message_changes_nothing(database: Database) -> None:
    """A report with an id of somebody else's is said to be that."""
    await put_all(database, Message("m-1", sender_ref="ref-1"), Message("m-2", state="queued"))
    assert not await report(database, "delivered", ref="ref-9")
    assert {message.delivery for message in await list_(database)} == {None}


async def test_reports_follow_a_message_to_its_end(database: Database) -> None:
    """On its way, then delivered, with the time of the last report; other messages are left alone."""
    await put_all(database, Message("m-1", sender_ref="ref-1"), Message("m-2", sender_ref="ref-2", age_s=1))
    for delivery in ("pending", "pending", "delivered"):
        assert await report(database, delivery)
        reported, other = await list_(database)
        assert (reported.delivery, reported.reported_at) == (delivery, LATER)
        assert (other.delivery, other.reported_at) == (None, None)


@pytest.mark.parametrize("final", ["delivered", "failed"])
@pytest.mark.parametrize("late", ["pending", "delivered", "failed"])
async def test_final_report_stands(database: Database, final: Delivery, late: Delivery) -> None:
    """Reports come twice and out of order: what was final once is not undone, and the late one is no stranger."""
    await put_all(database, Message("m-1", sender_ref="ref-1"))
    failure = "UserDoesNotExist" if final == "failed" else None
    assert await report(database, final, failure)
    assert await report(database, late, "Expired" if late == "failed" else None)
    (kept,) = await list_(database)
    assert (kept.delivery, kept.failure) == (final, failure)


# --- the list -------------------------------------------------------------------------------------------

ALL = (
    Message("queued", state="queued", age_s=1),
    Message("outdated", state="superseded", age_s=8),
    Message("refused", state="failed", failure="InvalidPhoneNumber", age_s=2),
    Message("sent", sender_ref="r1", age_s=3),
    Message("pending", sender_ref="r2", delivery="pending", age_s=4),
    Message("delivered", sender_ref="r3", delivery="delivered", age_s=5),
    Message("lost", sender_ref="r4", delivery="failed", failure="Expired", age_s=6),
)


@pytest.mark.parametrize(
    ("standing", "ids"),
    [
        (None, ["queued", "refused", "sent", "pending", "delivered", "lost", "outdated"]),
        ("queued", ["queued"]),
        ("sent", ["sent", "pending"]),
        ("delivered", ["delivered"]),
        ("failed", ["refused", "lost"]),
        ("superseded", ["outdated"]),
    ],
)
async def test_list_by_standing(database: Database, standing: Standing | None, ids: list[str]) -> None:
    """Failed is what never reached a phone, whoever says so; the newest come first."""
    await put_all(database, *ALL)
    assert [message.id for message in await list_(database, standing)] == ids


async def test_every_message_has_one_standing(database: Database) -> None:
    """None is listed twice, and none is missing from every list."""
    await put_all(database, *ALL)
    found = [message.id for standing in get_args(Standing) for message in await list_(database, standing)]
    assert sorted(found) == sorted(message.id for message in ALL)


async def test_list_goes_on_where_it_ended(database: Database) -> None:
    """Page by page everything is seen once, also of messages that were made at the same moment."""
    await put_all(database, *(Message(f"m-{n}", age_s=n // 3) for n in range(7)))
    seen: list[str] = []
    while page := await list_(database, limit=2, before=seen[-1] if seen else None):
        seen += [message.id for message in page]
    assert seen == ["m-2", "m-1", "m-0", "m-5", "m-4", "m-3", "m-6"]
    assert await list_(database, before="nobody's") == []


async def test_list_shows_no_text_and_no_number(database: Database) -> None:
    """Staff see which message it is, and nothing that it says."""
    await put_all(database, Message("m-1"))
    (message,) = await list_(database)
    assert message.phone_masked == "+254*******01"
    assert "Jane" not in repr(message)
    assert PHONE not in repr(message)
