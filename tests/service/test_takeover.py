"""Two machines on one PostgreSQL and one Redis; one is killed for good in the middle of its work."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text

from tests.database_fixtures import Postgres, Urls
from tests.service.process import KEY, Service
from ussd_engine.platform.database import Database

FINISHED_WITHIN_S = 60.0
SLOW, LOST, APPROVED_LATE = "+254700000003", "+254700000005", "+254700000006"
EACH = 60
"""Ordinary openings at each machine, besides those of the bank's special numbers."""
AT_ONCE = 12
KILL_AFTER = 20
"""The one machine dies when so many openings are done and one of its own has an answer that was lost."""


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@dataclass
class Applicants:
    """People who open accounts at one machine over the JSON route; who gets no answer notes it."""

    machine: Service
    client: aiohttp.ClientSession
    unanswered: list[str] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)

    async def all_open(self, phones: Iterable[str]) -> None:
        waiting = iter(phones)

        async def one_after_another() -> None:
            for phone in waiting:
                await self.open(phone)

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))

    async def open(self, phone: str) -> None:
        body = {
            "phone_number": phone,
            "first_name": "Jane",
            "last_name": "Sample",
            "date_of_birth": "1990-01-01",
        }
        headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": f"open-{phone}"}
        url = f"{self.machine.url}/api/v1/ussd/account/register"
        try:
            async with self.client.post(url, json=body, headers=headers) as answer:
                await answer.read()
                self.answers[answer.status] += 1
        except aiohttp.ClientError:
            self.unanswered.append(phone)


@dataclass(frozen=True)
class Outside:
    """A look into the databases that both machines share."""

    database: Database

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return await self.database.read(
            lambda connection: [tuple(row) for row in connection.execute(text(sql))]
        )

    async def count(self, sql: str) -> int:
        return int((await self.rows(f"SELECT count(*) FROM {sql}"))[0][0])

    async def until(self, sql: str, wanted: int, within_s: float) -> float:
        """Wait until the count is as wanted; how long it took."""
        begun = time.monotonic()
        async with asyncio.timeout(within_s):
            while await self.count(sql) != wanted:
                await asyncio.sleep(0.1)
        return time.monotonic() - begun


@pytest.fixture
def urls(postgres: Postgres) -> Urls:
    return postgres.one()


@pytest.fixture
async def outside(urls: Urls) -> AsyncIterator[Outside]:
    database = Database(urls.platform)
    yield Outside(database)
    await database.close()


@pytest.fixture
async def machines(
    tmp_path: Path,
    urls: Urls,
    redis_url: str,
) -> AsyncIterator[tuple[Service, Service]]:
    """Two services that share all but their ids; also the sandbox bank and the SMS file, in one data folder."""
    shared = {
        "USSD__DATABASE__URL": urls.platform,
        "USSD__WORKFLOWS__URL": urls.workflows,
        "USSD__REDIS__URL": redis_url,
        "USSD__CBS__TIMEOUT_S": "5",
        "USSD__CBS__SANDBOX__SLOW_S": "2",
        "USSD__CBS__SANDBOX__APPROVAL_S": "4",
    }
    pair = [
        Service(tmp_path / "var", {**shared, "USSD__WORKFLOWS__EXECUTOR_ID": f"machine-{name}"})
        for name in ("a", "b")
    ]
    try:
        await asyncio.gather(*(machine.start() for machine in pair))
        yield pair[0], pair[1]
    finally:
        await asyncio.gather(*(machine.stop() for machine in pair if machine.process))


@pytest.mark.slow
async def test_what_a_machine_that_died_for_good_left_is_finished_by_the_other(
    machines: tuple[Service, Service],
    client: aiohttp.ClientSession,
    outside: Outside,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Killed under load and never started again, a machine leaves nothing undone and nothing done twice."""
    stays, dies = machines
    at_stays, at_dies = Applicants(stays, client), Applicants(dies, client)
    special = [SLOW, LOST, APPROVED_LATE]
    load = asyncio.gather(
        at_stays.all_open(f"+2547110001{number:02}" for number in range(EACH)),
        at_dies.all_open([*special, *(f"+2547110002{number:02}" for number in range(EACH))]),
    )
    async with asyncio.timeout(60):
        while not (
            await stays.opened_at_the_bank(LOST)
            and await outside.count("operations WHERE state = 'done'") >= KILL_AFTER
        ):
            await asyncio.sleep(0.02)
    await dies.stop(signal.SIGKILL)
    left = await outside.count("dbos.workflow_status WHERE status = 'PENDING' AND executor_id = 'machine-b'")
    unfinished = await outside.count("operations WHERE state IN ('open', 'in_doubt')")
    assert left > 0

    took_s = await outside.until("operations WHERE state IN ('open', 'in_doubt')", 0, FINISHED_WITHIN_S)
    await load
    assert at_dies.unanswered
    repeated = Applicants(stays, client)  # who got no answer asks again, with the same key
    await repeated.all_open(at_dies.unanswered)
    await outside.until("operations WHERE state IN ('open', 'in_doubt')", 0, FINISHED_WITHIN_S)
    await outside.until("notifications WHERE state <> 'sent'", 0, FINISHED_WITHIN_S)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{EACH * 2 + len(special)} openings at two machines; killed with {left} workflows of its own and"
            f" {unfinished} operations open in all, all finished {took_s:.1f} s later;"
            f" {len(at_dies.unanswered)} callers without an answer asked again: {dict(repeated.answers)}\n"
        )
    accounts = dict(
        await outside.rows(
            "SELECT identities.value, accounts.account_number FROM accounts"
            " JOIN identities USING (customer_id) WHERE identities.type = 'phone'"
        )
    )
    assert await outside.count("accounts") == len(accounts) == EACH * 2 + len(special)
    assert await outside.count("operations WHERE state <> 'done'") == 0
    for phone, account in accounts.items():
        assert await stays.opened_at_the_bank(phone) == 1
        assert [account in sms for sms in stays.sms(phone)] == [True]
    assert await outside.rows("SELECT executor_id FROM workers") == [("machine-a",)]
