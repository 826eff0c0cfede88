"""The main job on the real service: real processes, real HTTP, a real Redis, and SIGKILL."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
import pytest_asyncio

from tests.database_fixtures import KINDS, urls_of
from tests.service.process import KEY, Phone, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENING = ("2", "1", "Jane", "Sample", "01011990")
"""Swahili, open an account, and the answers up to the question whether to go on."""
SMS_WITHIN_S = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


@asynccontextmanager
async def serving(folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Service]:
    """A service in a folder of its own, on the kind of database that the fixture is asked for."""
    urls = urls_of(request.param, folder, request)
    databases = {"USSD__DATABASE__URL": urls.platform, "USSD__WORKFLOWS__URL": urls.workflows}
    running = Service(
        folder / "var",
        {
            **(databases if request.param == "postgresql" else {}),
            "USSD__CBS__TIMEOUT_S": "1.5",
            "USSD__NETWORKS__DEFAULT__ANSWER_DEADLINE_S": "5",
            "USSD__RECONCILE__FIRST_DELAY_S": "0.2",
        },
    )
    await running.start()
    yield running
    await running.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """One for all tests of this module that have phone numbers of their own. Whoever stops it starts it again."""
    async with serving(tmp_path_factory.mktemp("shared"), request) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", params=KINDS)
async def own_service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    """For one test: the sandbox bank has one number only for each of its moods."""
    async with serving(tmp_path, request) as running:
        yield running


def phone(service: Service, client: aiohttp.ClientSession, number: str, session: str = "s1") -> Phone:
    return Phone(service, number, f"ATUid_{session}_{number[1:]}", client)


async def api(
    service: Service, client: aiohttp.ClientSession, route: str, **body: object
) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with client.post(f"{service.url}/api/v1/ussd/{route}", json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


def accounts_since(before: list[str], service: Service) -> list[str]:
    return [number for number in service.platform_accounts() if number not in before]


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(SMS_WITHIN_S):
        while not holds():
            await asyncio.sleep(0.1)


async def test_new_number_opens_an_account_in_swahili(
    service: Service, client: aiohttp.ClientSession
) -> None:
    """A new caller opens an account, hears its number, gets it by SMS, and is then known everywhere."""
    before = service.platform_accounts()
    handset = phone(service, client, "+254711000001")
    assert "Welcome to Acme Bank" in await handset.dial()
    assert "Jane Sample?" in await handset.press(*OPENING)
    screen = await handset.press("1")
    found = re.fullmatch(r"END Akaunti yako (\d+) imefunguliwa\. Tumekutumia SMS\.", screen)
    assert found
    number = found.group(1)
    assert accounts_since(before, service) == [number]
    await eventually(lambda: service.sms(handset.number))
    assert [number in text for text in service.sms(handset.number)] == [True]
    status, known = await api(service, client, "subscription/check", phone_number="0711 000 001")
    assert (status, known["status"], known["language"]) == (200, "subscribed", "sw")
    again = phone(service, client, handset.number, "s2")
    assert "Habari Jane" in await again.dial()
    assert "Weka PIN yako" in await again.press("3")
    assert "Bado huna PIN" in await again.press("8362")
    assert number[-4:] in await again.press("01011990", "8362", "8362")
    assert number in await again.press("1")


@pytest.mark.parametrize(
    ("born", "screen", "status", "code"),
    [
        ("15011990", "is being checked", 201, "staged"),
        ("16011990", "could not confirm", 403, "identity_not_verified"),
    ],
)
async def test_existing_customer_registers_by_the_date_of_birth(
    own_service: Service, client: aiohttp.ClientSession, born: str, screen: str, status: int, code: str
) -> None:
    """The date of birth that the bank holds lets a customer in, by callback and by route; another does not."""
    handset = phone(own_service, client, "+254700000001")
    assert "knows your number" in await handset.dial()
    assert screen in await handset.press("1", born)
    if status == 201:
        answer = await api(
            own_service,
            client,
            "subscription/register",
            phone_number=handset.number,
            date_of_birth="1990-01-15",
        )
        assert (answer[0], answer[1]["code"]) == (409, "already_subscribed")
        _, known = await api(own_service, client, "subscription/check", phone_number=handset.number)
        assert known["status"] == "pending_approval"
    else:
        iso = f"{born[4:]}-{born[2:4]}-{born[:2]}"
        answer = await api(
            own_service, client, "subscription/register", phone_number=handset.number, date_of_birth=iso
        )
        assert (answer[0], answer[1]["code"]) == (403, code)
        answer = await api(
            own_service,
            client,
            "subscription/register",
            phone_number=handset.number,
            date_of_birth="1990-01-15",
        )
        assert (answer[0], answer[1]["status"]) == (201, "staged")


async def test_unknown_date_of_birth_is_refused_in_the_same_words(
    service: Service, client: aiohttp.ClientSession
) -> None:
    """Nobody can tell from the answer whether the bank has no date of birth or another one."""
    absent = await api(
        service, client, "subscription/register", phone_number="+254700000002", date_of_birth="1990-01-15"
    )
    wrong = await api(
        service, client, "subscription/register", phone_number="+254700000001", date_of_birth="1991-01-15"
    )
    assert absent[0] == wrong[0] == 403
    assert {**absent[1], "request_id": ""} == {**wrong[1], "request_id": ""}


async def test_every_callback_twice_at_once_opens_one_account(
    service: Service, client: aiohttp.ClientSession
) -> None:
    """A gateway that sends every callback twice at the same moment gets equal answers, and one account."""
    before = service.platform_accounts()
    handset = phone(service, client, "+254711000002")
    transcript = ""
    for key in ("", *OPENING, "1"):
        transcript = f"{transcript}*{key}" if transcript else key
        first, second = await asyncio.gather(handset.send(transcript), handset.send(transcript))
        assert first == second
    assert first.startswith("END Akaunti yako")
    await eventually(lambda: service.sms(handset.number))
    assert len(accounts_since(before, service)) == len(service.sms(handset.number)) == 1
    assert await service.opened_at_the_bank(handset.number) == 1


async def test_200_callbacks_at_once_for_one_number_open_one_account(
    service: Service, client: aiohttp.ClientSession
) -> None:
    """200 sessions of one phone number, all at the last question, say yes at once: one account, one SMS.

    Every one of them gets a screen.
    """
    before, number = service.platform_accounts(), "+254711000200"
    handsets = [phone(service, client, number, session=f"many-{n}") for n in range(200)]
    for handset in handsets:
        await handset.dial("*".join(OPENING))
    screens = await asyncio.gather(*(handset.press("1") for handset in handsets))
    assert all(screen.startswith(("CON ", "END ")) for screen in screens)
    assert not [screen for screen in screens if "kuna hitilafu" in screen]  # nobody is told of a fault
    await eventually(lambda: service.sms(number))
    assert await service.opened_at_the_bank(number) == 1
    assert len(accounts_since(before, service)) == len(service.sms(number)) == 1
    states = service.rows("platform.sqlite", f"SELECT state FROM operations WHERE phone_number = '{number}'")
    assert states.count(("done",)) == 1


async def test_200_requests_at_once_for_one_number_open_one_account(
    service: Service, client: aiohttp.ClientSession
) -> None:
    """A program in a hurry, with and without Idempotency-Keys: one account, and an answer for each request."""
    before = service.platform_accounts()
    body = {
        "phone_number": "+254711000201",
        "first_name": "Jane",
        "last_name": "Sample",
        "date_of_birth": "1990-01-01",
    }
    answers = await asyncio.gather(*(api(service, client, "account/register", **body) for _ in range(200)))
    assert {status for status, _ in answers} <= {201, 202, 409}
    assert len({found["account_number"] for status, found in answers if status == 201}) == 1
    assert await service.opened_at_the_bank("+254711000201") == 1
    assert len(accounts_since(before, service)) == 1


async def test_killed_between_the_banks_answer_and_the_record(
    own_service: Service, client: aiohttp.ClientSession
) -> None:
    """The bank has opened, the service dies before it records: after the start one record, one SMS."""
    handset = phone(own_service, client, "+254700000005")
    await handset.dial()
    await handset.press("1", "Jane", "Sample", "01011990")
    last = asyncio.create_task(handset.press("1"))
    while not await own_service.opened_at_the_bank(handset.number):
        await asyncio.sleep(0.05)
    assert own_service.platform_accounts() == []
    await own_service.stop(signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await last
    await own_service.start()
    await eventually(lambda: own_service.sms(handset.number))
    (number,) = own_service.platform_accounts()
    assert [number in text for text in own_service.sms(handset.number)] == [True]
    again = phone(own_service, client, handset.number, "s2")
    assert "Hello Jane" in await again.dial()
    assert await own_service.opened_at_the_bank(handset.number) == 1


async def test_lost_answer_is_told_by_sms_and_opens_no_second_account(
    own_service: Service, client: aiohttp.ClientSession
) -> None:
    """When the bank's answer is lost the subscriber hears that an SMS will follow; a re-dial waits with them."""
    handset = phone(own_service, client, "+254700000005")
    await handset.dial()
    assert "send you an SMS" in await handset.press("1", "Jane", "Sample", "01011990", "1")
    again = phone(own_service, client, handset.number, "s2")
    screen = await again.dial()
    assert "being worked on" in screen or "Hello Jane" in screen
    await eventually(lambda: own_service.sms(handset.number))
    (number,) = own_service.platform_accounts()
    assert [number in text for text in own_service.sms(handset.number)] == [True]
    assert await own_service.opened_at_the_bank(handset.number) == 1


async def test_redis_killed_in_mid_session(service: Service, client: aiohttp.ClientSession) -> None:
    """The embedded Redis dies and is started again: the subscriber's next key goes on where they were."""
    handset = phone(service, client, "+254711000003")
    await handset.dial()
    await handset.press("1", "Jane")
    redis = await redis_pid(service)
    os.kill(redis, signal.SIGKILL)
    assert "Date of birth" in await handset.press("Sample")


async def redis_pid(service: Service) -> int:
    """The redis-server whose parent is the service."""
    assert service.process is not None
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        name, parent = text[text.index("(") + 1 : text.rindex(")")], int(text.rsplit(")", 1)[1].split()[1])
        if "redis" in name and parent == service.process.pid:
            return int(stat.parent.name)
    raise AssertionError("the service has no redis-server")


async def test_sessions_survive_a_restart_of_both(service: Service, client: aiohttp.ClientSession) -> None:
    """The service and its Redis stop and start again between two keys: the session goes on."""
    handset = phone(service, client, "+254711000004")
    await handset.dial()
    await handset.press("1", "Jane")
    assert await service.stop() == 0
    await service.start()
    assert "Date of birth" in await handset.press("Sample")


async def test_nothing_personal_is_logged(own_service: Service, client: aiohttp.ClientSession) -> None:
    """After an opening, a refused registration and a bad request no log line holds what the subscriber gave."""
    handset = phone(own_service, client, "+254711000005")
    await handset.dial()
    await handset.press("1", "Janette", "Samplesson", "01021990", "1")
    await api(
        own_service, client, "subscription/register", phone_number="+254700000001", date_of_birth="1991-03-04"
    )
    await api(own_service, client, "account/register", phone_number="+254711000005", first_name=7)
    async with client.post(
        f"{own_service.url}/ussd/africastalking",
        data={"phoneNumber": "+254711000005", "serviceCode": "*384*100#", "text": "4321"},
    ) as bad:
        assert bad.status == 400
        assert "sessionId" in await bad.text()
    await eventually(lambda: own_service.sms(handset.number))
    await own_service.stop()
    log = own_service.log()
    assert "account_open_answered" in log
    leaks = ("711000005", "Janette", "Samplesson", "01021990", "1990-02-01", "1991-03-04", KEY)
    assert [leak for leak in leaks if leak in log] == []
    assert [number for number in own_service.platform_accounts() if number in log] == []


async def test_slow_and_absent_bank_still_answers(service: Service, client: aiohttp.ClientSession) -> None:
    """A bank that is slow or down is a polite end, for the subscriber and for the JSON caller."""
    slow = phone(service, client, "+254700000003")
    assert "cannot be reached" in await slow.dial()
    down = phone(service, client, "+254700000004")
    assert "cannot be reached" in await down.dial()
    status, problem = await api(service, client, "subscription/check", phone_number="+254700000004")
    assert (status, problem["code"]) == (503, "cbs_unavailable")


async def test_a_locked_database_does_not_hold_the_subscriber(
    own_service: Service, client: aiohttp.ClientSession
) -> None:
    """Somebody holds the platform's database while a turn wants to promise an SMS: the screen comes before."""
    handset = phone(own_service, client, "+254700000005")
    await handset.dial()
    await handset.press("1", "Jane", "Sample", "01011990")
    last = asyncio.create_task(handset.press("1"))
    while not await own_service.opened_at_the_bank(handset.number):
        await asyncio.sleep(0.05)
    with locked(own_service):
        screen = await last  # the lock is still held
        assert screen.startswith("END ")
    await eventually(lambda: own_service.sms(handset.number))
    assert len(own_service.platform_accounts()) == await own_service.opened_at_the_bank(handset.number) == 1


async def test_the_same_deep_dial_again_does_nothing_that_was_not_asked(
    service: Service, client: aiohttp.ClientSession
) -> None:
    """A deep dial that opened an account leads a subscriber into other menus: nothing is changed there."""
    inputs = "*".join((*OPENING, "1"))
    assert "imefunguliwa" in await phone(service, client, "+254711000006").dial(inputs)
    again = phone(service, client, "+254711000006", "s2")
    assert "Chagua lugha" in await again.dial(inputs)
    _, known = await api(service, client, "subscription/check", phone_number="+254711000006")
    assert (known["status"], known["language"]) == ("subscribed", "sw")
    assert await service.opened_at_the_bank("+254711000006") == 1


@contextmanager
def locked(service: Service) -> Iterator[None]:
    """Somebody holds the platform's database, and nobody else can write."""
    url = service.settings.get("USSD__DATABASE__URL", "")
    if url.startswith("postgresql"):
        with psycopg.connect(url.replace("+asyncpg", "")) as holder:
            holder.execute(
                "LOCK TABLE operations, customers, staged_changes, audit_head IN ACCESS EXCLUSIVE MODE"
            )
            yield
        return
    with closing(sqlite3.connect(service.data_dir / "platform.sqlite", isolation_level=None)) as file:
        file.execute("BEGIN EXCLUSIVE")
        yield
