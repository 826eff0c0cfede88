"""PINs: what wrong ones cost, and that nobody can read a PIN anywhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.database_fixtures import KEYS, KINDS, urls_of
from tests.services.parts import LIMIT, OPENED_BORN, Parts, running
from ussd_engine.errors import Busy, NotAllowed
from ussd_engine.platform import audit, gate, pins
from ussd_engine.platform.gate import Verdict
from ussd_engine.services.first_pin import FirstPin
from ussd_engine.services.pin_hashes import hashed, matches
from ussd_engine.services.policies import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN = "835917"
WRONG = "940281"
OTHER = "270846"
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def parts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Parts]:
    folder = tmp_path_factory.mktemp("pins")
    urls = urls_of(request.param, folder, request)
    async with running(folder, urls=urls) as running_parts:
        yield running_parts


async def subscriber(parts: Parts, phone: str, pin: str | None = PIN) -> str:
    await parts.open(f"open-{phone}", phone)
    if pin is not None:
        assert await parts.choose_pin(f"set-{phone}", phone, pin) == "set"
    return phone


async def tried(parts: Parts, phone: str, pin: str, name: str) -> Verdict | str | None:
    return await parts.pins.verify(f"{phone}-{name}", phone, pin, wait_s=10)


async def changed(parts: Parts, phone: str, old: str, new: str, name: str) -> Verdict | str | None:
    return await parts.pins.change(f"{phone}-{name}", phone, old, new, wait_s=10)


async def user_of(parts: Parts, phone: str) -> str:
    known = await parts.database.read(lambda c: parts.directory.subscriber(c, phone))
    assert known is not None
    return known.user_id


async def taken_up(
    parts: Parts, phone: str, name: str, *, right: bool, later: timedelta = timedelta(0)
) -> Verdict | None:
    """What an attempt hears whose process has died, or one that is made in this moment."""
    user_id, now = await user_of(parts, phone), datetime.now(UTC) + later
    return await parts.database.write(
        lambda c: pins.attempt(c, KEYS, user_id, f"{phone}-{name}", f"set-{phone}", LIMIT, now, right=right)
    )


async def test_right_pin_is_verified(parts: Parts) -> None:
    """And only that one."""
    phone = await subscriber(parts, "+254711000301")
    assert await tried(parts, phone, PIN, "right") == Verdict("verified")
    assert await tried(parts, phone, PIN[:-1], "short") == Verdict("wrong", 2)


async def test_three_wrong_pins_lock(parts: Parts) -> None:
    """Each tells how many are left; then the right one is refused as well. The audit log says once when that began."""
    phone = await subscriber(parts, "+254711000302")
    said = [await tried(parts, phone, WRONG, f"wrong-{n}") for n in range(3)]
    assert [one.attempts_left for one in said if isinstance(one, Verdict)] == [2, 1, 0]
    assert [one.outcome for one in said if isinstance(one, Verdict)] == ["wrong", "wrong", "locked"]
    assert await tried(parts, phone, PIN, "right") == Verdict("locked")
    rows = await parts.rows(
        "SELECT request_id FROM audit_log WHERE action = 'pin.locked' AND request_id LIKE :id", id=f"{phone}%"
    )
    assert [row.request_id for row in rows] == [f"{phone}-wrong-2"]
    assert await parts.database.read(lambda c: list(audit.verify(c, KEYS))) == []


async def test_right_pin_forgets_wrong_ones(parts: Parts) -> None:
    """Who knows the PIN may mistype it twice each time."""
    phone = await subscriber(parts, "+254711000303")
    for number in range(4):
        pin = PIN if number % 2 else WRONG
        found = await tried(parts, phone, pin, str(number))
        assert found == (Verdict("verified") if number % 2 else Verdict("wrong", 2))


async def test_guesses_at_once_get_no_further_than_the_limit(parts: Parts) -> None:
    """Sessions side by side share one count."""
    phone = await subscriber(parts, "+254711000304")
    found = await asyncio.gather(*(tried(parts, phone, WRONG, f"guess-{n}") for n in range(12)))
    outcomes = Counter(one.outcome for one in found if isinstance(one, Verdict))
    assert outcomes == {"wrong": 2, "locked": 10}
    assert await tried(parts, phone, PIN, "right") == Verdict("locked")


async def test_repeated_callback_counts_once(parts: Parts) -> None:
    """The same turn gets the same verdict, also where its process died before it could tell."""
    phone = await subscriber(parts, "+254711000305")
    first = await tried(parts, phone, WRONG, "one")
    assert await tried(parts, phone, WRONG, "one") == first == Verdict("wrong", 2)
    assert await taken_up(parts, phone, "one", right=False) == first
    assert await tried(parts, phone, WRONG, "two") == Verdict("wrong", 1)


async def test_attempt_that_is_taken_up_after_another_counts_once(parts: Parts) -> None:
    """Its process has died, and the subscriber has dialled again before it is recovered."""
    phone = await subscriber(parts, "+254711000318")
    assert await tried(parts, phone, WRONG, "dies") == Verdict("wrong", 2)
    assert await tried(parts, phone, WRONG, "next") == Verdict("wrong", 1)
    assert await taken_up(parts, phone, "dies", right=False) == Verdict("wrong", 2)
    assert await tried(parts, phone, PIN, "right") == Verdict("verified")


async def test_attempts_are_kept_no_longer_than_they_can_be_taken_up(parts: Parts) -> None:
    """The next attempt of the same user takes the old ones away, and those of nobody else."""
    phone, other = await subscriber(parts, "+254711000319"), await subscriber(parts, "+254711000320")
    for one in (phone, other):
        await tried(parts, one, PIN, "old")
    assert await taken_up(parts, phone, "new", right=True, later=pins.KEPT) == Verdict("verified")
    ids = [f"{phone}-old", f"{phone}-new", f"{other}-old"]
    kept = {row.id for row in await parts.rows("SELECT id FROM pin_attempts")}
    assert kept.intersection(ids) == {*ids[1:]}


async def test_pin_is_chosen_once(parts: Parts) -> None:
    """Whoever holds the phone later cannot choose another one; a repeated turn hears what it heard before."""
    phone = await subscriber(parts, "+254711000306")
    assert await parts.choose_pin("another", phone, WRONG) == "pin_exists"
    assert await parts.choose_pin(f"set-{phone}", phone, WRONG) == "set"
    assert await tried(parts, phone, PIN, "right") == Verdict("verified")


async def test_pin_that_has_no_turn_in_time_is_not_known(parts: Parts) -> None:
    """Nothing is counted then, and the subscriber is told to try again."""
    phone = await subscriber(parts, "+254711000311")
    with pytest.raises(Busy):
        await parts.pins.verify(f"{phone}-late", phone, WRONG, wait_s=0)
    assert await tried(parts, phone, WRONG, "first") == Verdict("wrong", 2)


async def test_who_knows_the_pin_changes_it(parts: Parts) -> None:
    """From then on only the new one is right; the audit log says once when that was."""
    phone = await subscriber(parts, "+254711000312")
    assert await changed(parts, phone, PIN, OTHER, "change") == Verdict("verified")
    assert await tried(parts, phone, PIN, "old") == Verdict("wrong", 2)
    assert await tried(parts, phone, OTHER, "new") == Verdict("verified")
    rows = await parts.rows(
        "SELECT request_id FROM audit_log WHERE action = 'pin.change' AND entity_id = :id",
        id=await user_of(parts, phone),
    )
    assert [row.request_id for row in rows] == [f"{phone}-change"]


async def test_wrong_old_pin_changes_nothing_and_counts(parts: Parts) -> None:
    """It is an attempt as any other: together with those at the door it locks, and then no old PIN is right."""
    phone = await subscriber(parts, "+254711000313")
    assert await tried(parts, phone, WRONG, "door") == Verdict("wrong", 2)
    assert await changed(parts, phone, WRONG, OTHER, "guess") == Verdict("wrong", 1)
    assert await changed(parts, phone, WRONG, OTHER, "last") == Verdict("locked", 0, locks=False)
    assert await changed(parts, phone, PIN, OTHER, "right") == Verdict("locked")
    await parts.do("UPDATE gate_counters SET locked_until = counted_at WHERE locked_until IS NOT NULL")
    assert await tried(parts, phone, PIN, "later") == Verdict("verified")


async def test_repeated_change_hears_what_it_heard_and_changes_once(parts: Parts) -> None:
    """Also where its process died before it could tell: it neither fails at the PIN it has set nor puts it back."""
    phone = await subscriber(parts, "+254711000314")
    for _ in range(2):
        assert await changed(parts, phone, PIN, OTHER, "one") == Verdict("verified")
    payload = {
        "workflow_id": f"{phone}-one",
        "user_id": await user_of(parts, phone),
        "set_by": f"set-{phone}",
        "right": True,
        "hash": hashed(WRONG),
    }
    again = await parts.database.write(lambda c: parts.pins._change(c, payload))
    assert again == {"outcome": "verified", "attempts_left": 0}
    assert await tried(parts, phone, OTHER, "new") == Verdict("verified")


async def test_two_changes_at_once_are_one(parts: Parts) -> None:
    """Two sessions that both know the PIN: one changes it, and the other is too late, at no cost or for a wrong PIN."""
    phone = await subscriber(parts, "+254711000315")
    wanted = (OTHER, "461357")
    found = await asyncio.gather(
        *(changed(parts, phone, PIN, new, f"session-{new}") for new in wanted), return_exceptions=True
    )
    (winner,) = (new for new, one in zip(wanted, found, strict=True) if one == Verdict("verified"))
    (late,) = (one for one in found if one != Verdict("verified"))
    assert late == Verdict("wrong", 2) or isinstance(late, Busy)
    assert await tried(parts, phone, winner, "new") == Verdict("verified")


async def test_attempt_at_a_pin_that_was_changed_tells_nothing(parts: Parts) -> None:
    """What was compared with the former PIN neither verifies, nor changes, nor counts."""
    phone = await subscriber(parts, "+254711000316")
    user_id = await user_of(parts, phone)
    assert await changed(parts, phone, PIN, OTHER, "change") == Verdict("verified")
    for right in (True, False):
        payload = {
            "workflow_id": f"{phone}-late-{right}",
            "user_id": user_id,
            "set_by": f"set-{phone}",
            "right": right,
            "hash": hashed(WRONG),
        }
        found = await parts.database.write(partial(parts.pins._change, payload=payload))
        assert found == {"outcome": "overtaken"}
    assert await tried(parts, phone, WRONG, "first") == Verdict("wrong", 2)
    assert await tried(parts, phone, OTHER, "new") == Verdict("verified")


async def test_who_has_no_pin_changes_none(parts: Parts) -> None:
    """A change is no way around the date of birth."""
    phone = await subscriber(parts, "+254711000317", pin=None)
    assert await changed(parts, phone, PIN, OTHER, "change") == "not_set"
    assert await tried(parts, phone, OTHER, "new") == "not_set"


async def test_who_is_no_subscriber_has_no_pin(parts: Parts) -> None:
    """And a subscriber without one is told so at no cost."""
    assert await tried(parts, "+254711000307", PIN, "nobody") == "not_set"
    assert await parts.choose_pin("nobody", "+254711000307", PIN) == "customer_not_found"
    phone = await subscriber(parts, "+254711000308", pin=None)
    assert [await tried(parts, phone, PIN, str(number)) for number in range(4)] == ["not_set"] * 4


async def test_lock_opens_after_its_time(parts: Parts) -> None:
    """Then the count begins anew; and as long a peace forgets wrong answers that have locked nothing."""

    def answers(connection: Connection) -> list[Verdict]:
        later = NOW + timedelta(seconds=LIMIT.lockout_s)
        times = (
            NOW,
            NOW,
            NOW,
            later - timedelta(seconds=1),
            later,
            later + timedelta(seconds=LIMIT.lockout_s),
        )
        return [gate.judge(connection, "a subject", LIMIT, at, right=False) for at in times]

    locking = Verdict("locked", locks=True)
    two_left, one_left = Verdict("wrong", 2), Verdict("wrong", 1)
    assert await parts.database.write(answers) == [
        two_left,
        one_left,
        locking,
        Verdict("locked"),
        two_left,
        two_left,
    ]


async def test_policy_may_forbid_pins(parts: Parts) -> None:
    """What the role does not allow is refused before anything is looked up."""
    nothing = Policy(frozenset(), 1, None)
    phone = "+254711000310"
    first = FirstPin(phone, OPENED_BORN, PIN)
    with pytest.raises(NotAllowed):
        await replace(parts.pins, policy=nothing).verify("id", phone, PIN, wait_s=1)
    with pytest.raises(NotAllowed):
        await replace(parts.pins, policy=nothing).change("id", phone, PIN, OTHER, wait_s=1)
    with pytest.raises(NotAllowed):
        await replace(parts.first_pins, policy=nothing).choose("id", first, wait_s=1)


async def test_hash_is_salted_and_tells_the_pins_apart() -> None:
    """Two subscribers with one PIN have two hashes."""
    first, second = hashed(PIN), hashed(PIN)
    assert first != second
    assert matches(PIN, first)
    assert matches(PIN, second)
    assert not matches(WRONG, first)
