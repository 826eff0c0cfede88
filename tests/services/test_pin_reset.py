"""A forgotten PIN: taken away by two of the staff, and chosen anew by who tells the date of birth."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.database_fixtures import KINDS, urls_of
from tests.services.parts import Parts, eventually, running
from ussd_engine.platform.gate import Verdict
from ussd_engine.services.approvals import ChangeConflict, SelfApproval
from ussd_engine.services.pin_hashes import hashed
from ussd_engine.services.pin_reset import PinNotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ussd_engine.platform.changes import StagedChange

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN, OTHER, WRONG = "835917", "270846", "940281"
ANOTHER_DAY = date(1991, 2, 4)
MAKER, CHECKER = "operator:max", "operator:carl"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def parts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Parts]:
    folder = tmp_path_factory.mktemp("pin_reset")
    urls = urls_of(request.param, folder, request)
    async with running(folder, urls=urls) as running_parts:
        yield running_parts


async def subscriber(parts: Parts, phone: str) -> str:
    await parts.open(f"open-{phone}", phone)
    assert await parts.choose_pin(f"set-{phone}", phone, PIN) == "set"
    return phone


async def asked(parts: Parts, phone: str) -> str:
    staged = await parts.pin_resets.propose(phone, maker=MAKER, reason="came to us", request_id="request-1")
    assert not staged.approved
    return staged.change_id


async def approved(parts: Parts, change_id: str, checker: str = CHECKER) -> StagedChange:
    return await parts.approvals.approve(change_id, 1, checker, "request-2")


async def tried(parts: Parts, phone: str, pin: str, name: str) -> Verdict | str | None:
    return await parts.pins.verify(f"{phone}-{name}", phone, pin, wait_s=10)


async def test_forgotten_pin_is_chosen_anew(parts: Parts) -> None:
    """It holds until somebody else approves; then the subscriber hears of it, and chooses another one by the date."""
    phone = await subscriber(parts, "+254711000340")
    change = await asked(parts, phone)
    with pytest.raises(SelfApproval):
        await approved(parts, change, MAKER)
    assert await tried(parts, phone, PIN, "still") == Verdict("verified")
    await approved(parts, change)
    assert await tried(parts, phone, PIN, "none") == "not_set"

    async def told() -> bool:
        wanted = (
            "Dear Ann, your old PIN for Acme Bank is removed, as you asked. Dial again and choose a new one."
        )
        return wanted in await parts.texts(phone)

    await eventually(told)
    assert await parts.choose_pin(f"{phone}-guess", phone, OTHER, ANOTHER_DAY) == "identity_not_verified"
    assert await parts.choose_pin(f"{phone}-again", phone, OTHER) == "set"
    assert await tried(parts, phone, PIN, "old") == Verdict("wrong", 2)
    assert await tried(parts, phone, OTHER, "new") == Verdict("verified")


async def test_reset_opens_no_gate(parts: Parts) -> None:
    """Whoever guessed PINs or dates too often stays locked out."""
    phone = await subscriber(parts, "+254711000341")
    locked = [await tried(parts, phone, WRONG, f"wrong-{n}") for n in range(3)]
    assert locked[-1] == Verdict("locked")
    await approved(parts, await asked(parts, phone))
    assert await parts.choose_pin(f"{phone}-new", phone, OTHER) == "set"
    assert await tried(parts, phone, OTHER, "door") == Verdict("locked")
    await approved(parts, await asked(parts, phone))
    for n in range(3):
        await parts.choose_pin(f"{phone}-date-{n}", phone, OTHER, ANOTHER_DAY)
    assert await parts.choose_pin(f"{phone}-right", phone, OTHER) == "identity_not_verified"


async def test_pin_that_was_changed_since_stays(parts: Parts) -> None:
    """Who has changed it knows it: the approval says so, and takes nothing away."""
    phone = await subscriber(parts, "+254711000342")
    change = await asked(parts, phone)
    await parts.pins.change(f"{phone}-change", phone, PIN, OTHER, wait_s=10)
    with pytest.raises(ChangeConflict, match="another PIN by now"):
        await approved(parts, change)
    assert await tried(parts, phone, OTHER, "new") == Verdict("verified")
    assert (await parts.approvals.get(change)).state == "pending"


async def test_reset_may_be_needed_more_than_once(parts: Parts) -> None:
    """Each waits alone; after one was decided on, the next is asked for."""
    phone = await subscriber(parts, "+254711000343")
    for number in range(2):
        change = await asked(parts, phone)
        with pytest.raises(ChangeConflict, match="waits for this record already"):
            await asked(parts, phone)
        await approved(parts, change)
        assert await parts.choose_pin(f"{phone}-{number}", phone, OTHER) == "set"


async def test_where_there_is_no_pin_none_is_taken_away(parts: Parts) -> None:
    """Neither of a stranger nor of a subscriber who has none yet."""
    await parts.open("open-344", "+254711000344")
    for phone in ("+254711000344", "+254711000345"):
        with pytest.raises(PinNotFound):
            await asked(parts, phone)


async def test_attempt_under_way_tells_nothing_after_a_reset(parts: Parts) -> None:
    """The former PIN neither opens anything nor is put back by a change that had begun."""
    phone = await subscriber(parts, "+254711000346")
    known = await parts.database.read(lambda c: parts.directory.subscriber(c, phone))
    assert known is not None
    await approved(parts, await asked(parts, phone))
    payload = {
        "workflow_id": f"{phone}-late",
        "user_id": known.user_id,
        "set_by": f"set-{phone}",
        "right": True,
        "hash": hashed(OTHER),
    }
    for work in (parts.pins._verify, parts.pins._change):
        assert await parts.database.write(partial(work, payload=payload)) == {"outcome": "overtaken"}
    assert await tried(parts, phone, OTHER, "none") == "not_set"
