"""Operations that nobody works on any more are taken up again, and those that somebody works on are left alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.services.parts import KEYS, Script, WallClock, eventually, running
from ussd_engine.platform import operations
from ussd_engine.platform.operations import Claim, operation_id
from ussd_engine.ports import NotFound, Opened, Unknown
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.recovery import OperationFinished, OperationNotFound, note_retry

if TYPE_CHECKING:
    from pathlib import Path

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


async def test_an_operation_whose_workflow_was_lost_is_taken_up(tmp_path: Path) -> None:
    """The workflow database may be lost, with the platform's still there: the row alone is enough to go on."""
    async with running(tmp_path) as parts:
        claim = Claim("account.open", PHONE, "lost-1", "ussd", "asked", REQUEST)
        await parts.database.write(lambda c: operations.claim(c, KEYS, claim, WallClock().now()))
        await parts.recovery.take_up_abandoned()

        async def done() -> bool:
            return await parts.state(PHONE) == "done"

        await eventually(done)
        assert await parts.sandbox.opened_count(PHONE) == 1
        assert len(await parts.texts(PHONE)) == 1


async def test_what_staff_want_tried_again_is_taken_up_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry that was noted at a terminal is begun by the next sweep, however young the operation is."""
    monkeypatch.setattr("ussd_engine.services.recovery.ABANDONED_AFTER", timedelta(minutes=2))
    soon = Backoff(first_delay_s=0.02, factor=1, max_delay_s=0.02, give_up_after_s=0.3)
    async with running(tmp_path, reconcile=soon) as parts:
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


async def test_an_operation_that_is_under_way_is_left_alone(tmp_path: Path) -> None:
    """However often the sweep comes by, one workflow works on it."""
    async with running(tmp_path) as parts:
        parts.bank.scripts[PHONE] = Script(open=[Unknown("timeout")], find=[Unknown("timeout")])
        await parts.open("busy-1", PHONE, wait_s=0.2)
        for _ in range(3):
            await parts.recovery.take_up_abandoned()
        found = await parts.recovery.get(operation_id("busy-1"))
        assert (found.state, found.retries) == ("open", 0)


async def test_what_the_first_schema_left_without_a_request_is_left_alone(tmp_path: Path) -> None:
    """Nobody can take up what nobody knows; staff are told to ask the bank."""
    async with running(tmp_path) as parts:
        claim = Claim("account.open", PHONE, "old-1", "ussd", "asked", REQUEST)
        await parts.database.write(lambda c: operations.claim(c, KEYS, claim, WallClock().now()))
        await parts.do("UPDATE operations SET request_sealed = NULL")
        await parts.recovery.take_up_abandoned()
        assert await parts.state(PHONE) == "open"
        with pytest.raises(OperationFinished, match="ask the bank"):
            await parts.recovery.retry(operation_id("old-1"), "operator:ann", "request-1")


async def test_only_what_is_unfinished_is_tried_again(tmp_path: Path) -> None:
    """A finished operation and one that is not there are refused, and nothing is begun."""
    async with running(tmp_path) as parts:
        await parts.open("done-1", PHONE)
        with pytest.raises(OperationFinished, match="is done"):
            await parts.recovery.retry(operation_id("done-1"), "operator:ann", "request-1")
        with pytest.raises(OperationNotFound):
            await parts.recovery.retry("no-such-id", "operator:ann", "request-1")
