"""Delivery reports over HTTP: the real route over a real database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from adapters.sms.africastalking import parse_report
from tests.outbox_rows import KEYS, PHONE, Message, put
from tests.web.parts import FixedClock
from ussd_engine.platform.database import Database
from ussd_engine.platform.migrate import migrate
from ussd_engine.services.deliveries import Deliveries
from ussd_engine.web.problems import guarded
from ussd_engine.web.sms_reports import reports_route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

REPORTS = "/sms/sample/reports"
REPORT = {
    "id": "ATXid_1",
    "status": "Success",
    "phoneNumber": PHONE,
    "networkCode": "63902",
    "retryCount": "0",
}


@dataclass
class Desk:
    """The route; a report that belongs to no message is looked up again after `waits_s`."""

    database: Database
    deliveries: Deliveries
    client: ClientSession
    url: str

    async def put(self, *messages: Message) -> None:
        for message in messages:
            await self.database.write(lambda connection, one=message: put(connection, one))  # type: ignore[misc]

    async def report(self, **fields: str) -> tuple[int, str]:
        async with self.client.post(self.url + REPORTS, data={**REPORT, **fields}) as response:
            return response.status, await response.text()


@asynccontextmanager
async def desk_at(folder: Path, waits_s: tuple[float, ...] = ()) -> AsyncIterator[Desk]:
    url = f"sqlite+aiosqlite:///{folder}/platform.db"
    await migrate(url, KEYS)
    database = Database(url)
    deliveries = Deliveries(database, KEYS, FixedClock(), waits_s)
    app = web.Application()
    app.router.add_post(REPORTS, guarded(reports_route(parse_report, deliveries, 65536)))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as client:
        yield Desk(database, deliveries, client, f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()
    await database.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_at(tmp_path) as opened:
        yield opened


# --- reports --------------------------------------------------------------------------------------------


async def test_report_stands_at_its_message(desk: Desk) -> None:
    """The sender hears OK, and staff see what became of the message."""
    await desk.put(Message("m-1", sender_ref="ATXid_1"), Message("m-2", sender_ref="ATXid_2", age_s=1))
    assert await desk.report() == (200, "OK\n")
    assert await desk.report(id="ATXid_2", status="Failed", failureReason="UserIsInactive") == (200, "OK\n")
    listed = await desk.deliveries.listed(None, 10, None)
    found = [(one.id, one.delivery, one.failure) for one in listed]
    assert found == [("m-1", "delivered", None), ("m-2", "failed", "UserIsInactive")]


async def test_report_of_no_message_is_taken_and_logged_without_the_number(desk: Desk) -> None:
    """To send it again would not help the sender, so it is 200; the log has the id and nobody's number."""
    with capture_logs() as logs:
        assert await desk.report() == (200, "OK\n")
    assert [entry["event"] for entry in logs] == ["sms_report_unmatched"]
    assert PHONE[1:] not in str(logs)


async def test_report_that_is_faster_than_our_own_record_is_not_lost(tmp_path: Path) -> None:
    """The message was accepted, and the report is here before the acceptance is on record: it is held."""
    async with desk_at(tmp_path, waits_s=(0.01,) * 1000) as desk:
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
    await desk.database.write(lambda connection: connection.exec_driver_sql("DROP TABLE notifications"))
    status, _ = await desk.report()
    assert status == 503
