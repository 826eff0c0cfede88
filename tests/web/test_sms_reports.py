"""Delivery reports over HTTP, and the list of messages for staff: real routes over a real database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from adapters.sms.africastalking import parse_report
from tests.outbox_rows import KEYS, PHONE, Message, put
from tests.web.parts import FixedClock
from ussd_engine.platform.database import Database
from ussd_engine.platform.migrate import migrate
from ussd_engine.services.deliveries import Deliveries
from ussd_engine.web.problems import Problem, guarded
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
KEY = {"Authorization": "Bearer sample"}


@dataclass
class Desk:
    """The two routes; a report that belongs to no message is looked up again after `waits_s`."""

    database: Database
    client: ClientSession
    url: str

    async def put(self, *messages: Message) -> None:
        for message in messages:
            await self.database.write(lambda connection, one=message: put(connection, one))  # type: ignore[misc]

    async def report(self, **fields: str) -> tuple[int, str]:
        async with self.client.post(self.url + REPORTS, data={**REPORT, **fields}) as response:
            return response.status, await response.text()

    async def listed(self, query: str = "", headers: dict[str, str] = KEY) -> tuple[int, Any]:
        async with self.client.get(f"{self.url}{PATH}{query}", headers=headers) as response:
            return response.status, await response.json(content_type=None)


async def authenticate(request: web.Request) -> None:
    if request.headers.get("Authorization") != KEY["Authorization"]:
        raise Problem(401, "unauthorized", "Send the key.")


@asynccontextmanager
async def desk_at(folder: Path, waits_s: tuple[float, ...] = ()) -> AsyncIterator[Desk]:
    url = f"sqlite+aiosqlite:///{folder}/platform.db"
    await migrate(url, KEYS)
    database = Database(url)
    deliveries = Deliveries(database, KEYS, FixedClock(), waits_s)
    app = web.Application()
    app.router.add_post(REPORTS, guarded(reports_route(parse_report, deliveries, 65536)))
    app.router.add_get(PATH, guarded(notifications_route(deliveries, authenticate)))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as client:
        yield Desk(database, client, f"http://127.0.0.1:{runner.addresses[0][1]}")
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
    _, body = await desk.listed()
    found = [(one["id"], one["delivery"], one["failure"]) for one in body["notifications"]]
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
        _, body = await desk.listed("?state=delivered")
        assert [one["id"] for one in body["notifications"]] == ["m-1"]


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


# --- the list -------------------------------------------------------------------------------------------


async def test_failed_messages_are_listed_for_staff(desk: Desk) -> None:
    """Which message failed, why, and for whom in part: no text, no whole number."""
    await desk.put(
        Message("m-1", state="failed", failure="InvalidPhoneNumber"),
        Message("m-2", sender_ref="ATXid_2", delivery="delivered"),
    )
    status, body = await desk.listed("?state=failed")
    assert status == 200
    assert body == {
        "notifications": [
            {
                "id": "m-1",
                "operation_id": "op-m-1",
                "change_id": None,
                "event": "account_opened",
                "language": "en",
                "phone_masked": "+254*******01",
                "parts": 1,
                "state": "failed",
                "attempts": 1,
                "delivery": None,
                "failure": "InvalidPhoneNumber",
                "created_at": "2030-01-02T03:04:05Z",
                "finished_at": None,
                "reported_at": None,
            }
        ]
    }


async def test_list_goes_on_page_by_page(desk: Desk) -> None:
    """`before` names the last message that was seen."""
    await desk.put(*(Message(f"m-{n}", age_s=n) for n in range(3)))
    _, first = await desk.listed("?limit=2")
    _, rest = await desk.listed(f"?limit=2&before={first['notifications'][-1]['id']}")
    assert [one["id"] for page in (first, rest) for one in page["notifications"]] == ["m-0", "m-1", "m-2"]


async def test_list_is_for_those_who_may_see_it(desk: Desk) -> None:
    """Who is not let in learns nothing, not even that the question was wrong."""
    status, body = await desk.listed("?state=nonsense", headers={})
    assert (status, body["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?state=lost", "state"),
        ("?limit=0", "limit"),
        ("?limit=many", "limit"),
        ("?before=" + "a" * 37, "before"),
        ("?page=2", "page"),
        ("?state=sent&state=failed", "state"),
    ],
)
async def test_wrong_question_is_answered_with_the_field(desk: Desk, query: str, field: str) -> None:
    """A misspelt filter would show messages that nobody asked for, so it is refused."""
    status, body = await desk.listed(query)
    assert (status, body["code"]) == (422, "invalid_request")
    assert [error["field"] for error in body["errors"]] == [field]
