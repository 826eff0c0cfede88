"""Delivery reports over HTTP: the real route over a real database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from adapters.sms.africastalking import parse_report
from tests.database_fixtures import KEYS
from tests.outbox_rows import PHONE, Message, put
from tests.services.parts import RETRY, MoodyEvents
from tests.web.parts import FixedClock
from ussd_engine.errors import DatabaseUnavailable
from ussd_engine.platform.database import Database
from ussd_engine.platform.migrate import migrate
from ussd_engine.services.deliveries import Deliveries
from ussd_engine.services.notifications import Notifications
from ussd_engine.web.problems import guarded
from ussd_engine.web.sms_reports import reports_route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REPORTS = "/sms/sample/reports"
LOST = "00000000-0000-0000-0000-000000000001"
REPORT = {
    "id": "ATXid_1",
    "status": "Success",
    "phoneNumber": PHONE,
    "networkCode": "63902",
    "retryCount": "0",
}


@dataclass
class Desk:
    """The route at `url` over the database at `address`."""

    database: Database
    deliveries: Deliveries
    notifications: Notifications
    events: MoodyEvents
    client: ClientSession
    url: str
    address: str

    async def put(self, *messages: Message) -> None:
        for message in messages:
            await self.database.write(lambda connection, one=message: put(connection, one))  # type: ignore[misc]

    async def report(self, **fields: str) -> tuple[int, str]:
        async with self.client.post(self.url + REPORTS, data={**REPORT, **fields}) as response:
            return response.status, await response.text()


@asynccontextmanager
async def desk_at(url: str, waits_s: tuple[float, ...] = ()) -> AsyncIterator[Desk]:
    """A report that belongs to no message is looked up again after `waits_s`."""
    await migrate(url, KEYS)
    database, events = Database(url), MoodyEvents()
    nobody: Any = None  # neither workflows nor a sender nor templates have a part in this
    notifications = Notifications(
        database, KEYS, FixedClock(), nobody, nobody, events, nobody, RETRY, held_for_s=0
    )
    deliveries = Deliveries(database, KEYS, FixedClock(), notifications.tell_failures, waits_s)
    app = web.Application()
    app.router.add_post(REPORTS, guarded(reports_route(parse_report, deliveries, 65536)))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as client:
        site = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield Desk(database, deliveries, notifications, events, client, site, url)
    await runner.cleanup()
    await database.close()


@pytest.fixture
async def desk(url: str) -> AsyncIterator[Desk]:
    async with desk_at(url) as opened:
        yield opened


# --- reports --------------------------------------------------------------------------------------------


async def test_report_stands_at_its_message(desk: Desk) -> None:
    """The sender hears OK, and staff see what became of the message."""
    await desk.put(Message("m-1", sender_ref="ATXid_1"), Message(LOST, sender_ref="ATXid_2", age_s=1))
    assert await desk.report() == (200, "OK\n")
    assert await desk.report(id="ATXid_2", status="Failed", failureReason="UserIsInactive") == (200, "OK\n")
    listed = await desk.deliveries.listed(None, 10, None)
    found = [(one.id, one.delivery, one.failure) for one in listed]
    assert found == [("m-1", "delivered", None), (LOST, "failed", "UserIsInactive")]


async def test_operators_hear_once_that_a_message_did_not_arrive(desk: Desk) -> None:
    """However often the sender says so; if the feed is away they hear of it when it is back."""
    await desk.put(Message(LOST, sender_ref="ATXid_1"), Message("m-2", sender_ref="ATXid_2"))
    desk.events.failures = 1
    for _ in range(2):
        await desk.report(status="Failed", failureReason="UserIsInactive")
    await desk.report(id="ATXid_2")
    await desk.notifications.tell_failures()
    (event,) = desk.events.published
    assert (event.kind, event.detail["notification_id"]) == ("sms.failed", LOST)


async def test_report_of_no_message_is_taken_and_logged_without_the_number(desk: Desk) -> None:
    """To send it again would not help the sender, so it is 200; the log has the id and nobody's number."""
    with capture_logs() as logs:
        assert await desk.report() == (200, "OK\n")
    assert [entry["event"] for entry in logs] == ["sms_report_unmatched"]
    assert PHONE[1:] not in str(logs)


async def test_report_that_is_faster_than_our_own_record_is_not_lost(url: str) -> None:
    """The message was accepted, and the report is here before the acceptance is on record: it is held."""
    async with desk_at(url, waits_s=(0.01,) * 1000) as desk:
        early = asyncio.create_task(desk.report())
        await desk.put(Message("m-0"))  # something else is on record meanwhile
        assert not early.done()
        await desk.put(Message("m-1", sender_ref="ATXid_1"))
        assert await early == (200, "OK\n")
        listed = await desk.deliveries.listed("delivered", 10, None)
        assert [one.id for one in listed] == ["m-1"]


@pytest.mark.parametrize("fields", [{"id": ""}, {"status": ""}, {"id": "a b"}])
async def test_what_is_no_report_is_refused(desk: Desk, fields: dict[str, str]) -> None:
    """A request that cannot be read is told which field is wrong, as a gateway's is."""
    status, text = await desk.report(**fields)
    assert (status, text.partition(":")[0]) == (400, next(iter(fields)))


async def test_report_waits_for_a_database_that_is_away(desk: Desk) -> None:
    """What cannot be kept now is not said to be kept: 503 asks the sender to come again."""

    class Away(Database):
        async def write(self, work: object) -> None:  # type: ignore[override]
            raise DatabaseUnavailable("away for this test")

    desk.deliveries._database = away = Away(desk.address)
    status, _ = await desk.report()
    assert status == 503
    await away.close()
