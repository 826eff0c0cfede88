"""Operations that nobody works on any more are taken up again, and those that somebody works on are left alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.database_fixtures import KEYS
from tests.outbox_rows import PHONE as MESSAGE_PHONE
from tests.outbox_rows import TEXT as MESSAGE_TEXT
from tests.outbox_rows import Message, put
from tests.services.parts import Script, WallClock, eventually, running
from ussd_engine.platform import operations
from ussd_engine.platform.operations import Claim, operation_id
from ussd_engine.ports import NotFound, Opened, Unknown
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.recovery import OperationFinished, OperationNotFound, note_retry

if TYPE_CHECKING:
    from pathlib import Path

    from tests.database_fixtures import Urls
    from tests.services.parts import Parts

PHONE = "+254711000510"
REQUEST = {
    "workflow_id": "lost-1",
    "phone_number": PHONE,
    "first_name": "Ann",
    "last_name": "Sample",
    "date_of_birth": "1991-02-03",
    "language": "en",
    "national_id": None,
    "gender": None,
    "product": None,
    "channel": "ussd",
    "maker": "ussd",
}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ussd_engine.services.recovery.ABANDONED_AFTER", timedelta(0))


async def test_an_operation_whose_workflow_was_lost_is_taken_up(urls: Urls, tmp_path: Path) -> None:
    """The workflow database may be lost, with the platform's still there: the row alone is enough to go on."""
    async with running(tmp_path, urls=urls) as parts:
        claim = Claim("account.open", PHONE, "lost-1", "ussd", "asked", REQUEST)
        await parts.database.write(lambda c: operations.claim(c, KEYS, claim, WallClock().now()))
        await parts.recovery.take_up_abandoned()

        async def done() -> bool:
            return await parts.state(PHONE) == "done"

        await eventually(done)
        assert await parts.sandbox.opened_count(PHONE) == 1
        assert await parts.text_comes(PHONE)


async def test_what_staff_want_tried_again_is_taken_up_at_once(
    urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry that was noted at a terminal is begun by the next sweep, however young the operation is."""
    monkeypatch.setattr("ussd_engine.services.recovery.ABANDONED_AFTER", timedelta(minutes=2))
    soon = Backoff(first_delay_s=0.02, factor=1, max_delay_s=0.02, give_up_after_s=0.3)
    async with running(tmp_path, urls=urls, reconcile=soon) as parts:
        parts.bank.scripts[PHONE] = Script(
            search=[NotFound()], open=[Unknown("timeout")], find=[Unknown("timeout")]
        )
        await parts.open("young-1", PHONE, wait_s=0.1)

        async def stands(state: str) -> bool:
            return await parts.state(PHONE) == state

        await eventually(lambda: stands("in_doubt"))
        parts.bank.scripts[PHONE].find = [Opened("REF-1", "ACC-1")]
        id_, now = operation_id("young-1"), WallClock().now()
        await parts.database.write(lambda c: note_retry(c, KEYS, id_, "operator:ann", "request-1", now))
        for _ in range(2):
            await parts.recovery.take_up_abandoned()
        await eventually(lambda: stands("done"))
        assert (await parts.recovery.get(id_)).retries == 1


async def test_a_message_whose_workflow_was_lost_is_sent(urls: Urls, tmp_path: Path) -> None:
    """As with an operation: what the workflow database has lost stands in the outbox, and goes out."""
    async with running(tmp_path, urls=urls) as parts:
        await parts.database.write(lambda c: put(c, Message("m-1", state="queued"), KEYS))
        await parts.do("UPDATE notifications SET created_at = :now", now=datetime(2020, 1, 1, tzinfo=UTC))
        for _ in range(3):
            await parts.recovery.take_up_messages()
        assert await parts.text_comes(MESSAGE_PHONE) == MESSAGE_TEXT
        assert parts.sms.calls == ["m-1"]


async def test_a_message_that_is_under_way_is_left_alone(urls: Urls, tmp_path: Path) -> None:
    """Who waits to try again is not overtaken."""
    async with running(tmp_path, urls=urls) as parts:
        parts.sms.held[PHONE] = release = asyncio.Event()
        await parts.open("busy-1", PHONE)
        await eventually(lambda: _called(parts))
        await parts.recovery.take_up_messages()
        (message,) = parts.sms.calls
        assert not await parts.workflows.exists(f"sms:{message}")
        release.set()
        await parts.text_comes(PHONE)


async def _called(parts: Parts) -> bool:
    return bool(parts.sms.calls)


async def test_an_operation_that_is_under_way_is_left_alone(urls: Urls, tmp_path: Path) -> None:
    """However often the sweep comes by, one workflow works on it."""
    async with running(tmp_path, urls=urls) as parts:
        parts.bank.scripts[PHONE] = Script(open=[Unknown("timeout")], find=[Unknown("timeout")])
        await parts.open("busy-1", PHONE, wait_s=0.2)
        for _ in range(3):
            await parts.recovery.take_up_abandoned()
        found = await parts.recovery.get(operation_id("busy-1"))
        assert (found.state, found.retries) == ("open", 0)


async def test_what_the_first_schema_left_without_a_request_is_left_alone(urls: Urls, tmp_path: Path) -> None:
    """Nobody can take up what nobody knows; staff are told to ask the bank."""
    async with running(tmp_path, urls=urls) as parts:
        claim = Claim("account.open", PHONE, "old-1", "ussd", "asked", REQUEST)
        await parts.database.write(lambda c: operations.claim(c, KEYS, claim, WallClock().now()))
        await parts.do("UPDATE operations SET request_sealed = NULL")
        await parts.recovery.take_up_abandoned()
        assert await parts.state(PHONE) == "open"
        with pytest.raises(OperationFinished, match="ask the bank"):
            await parts.recovery.retry(operation_id("old-1"), "operator:ann", "request-1")


async def test_only_what_is_unfinished_is_tried_again(urls: Urls, tmp_path: Path) -> None:
    """A finished operation and one that is not there are refused, and nothing is begun."""
    async with running(tmp_path, urls=urls) as parts:
        await parts.open("done-1", PHONE)
        with pytest.raises(OperationFinished, match="is done"):
            await parts.recovery.retry(operation_id("done-1"), "operator:ann", "request-1")
        with pytest.raises(OperationNotFound):
            await parts.recovery.retry("no-such-id", "operator:ann", "request-1")
