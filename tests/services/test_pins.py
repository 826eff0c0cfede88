"""PINs: what wrong ones cost, and that nobody can read a PIN anywhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.database_fixtures import KINDS, urls_of
from tests.services.parts import KEYS, LIMIT, Parts, WallClock, running
from ussd_engine.errors import NotAllowed
from ussd_engine.platform import audit, gate, pins
from ussd_engine.platform.gate import Verdict
from ussd_engine.services.pins import Pins, hashed, matches
from ussd_engine.services.policies import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN = "835917"
WRONG = "940281"
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
    known = await parts.database.read(lambda c: parts.directory.by_phone_number(c, phone))
    assert known is not None

    def again(connection: Connection) -> Verdict:
        user_id = str(known.user_id)
        return pins.attempt(connection, KEYS, user_id, f"{phone}-one", LIMIT, datetime.now(UTC), right=False)

    assert await parts.database.write(again) == first
    assert await tried(parts, phone, WRONG, "two") == Verdict("wrong", 1)


async def test_pin_is_chosen_once(parts: Parts) -> None:
    """Whoever holds the phone later cannot choose another one; a repeated turn hears what it heard before."""
    phone = await subscriber(parts, "+254711000306")
    assert await parts.pins.set("another", phone, WRONG, wait_s=5) == "already_set"
    assert await parts.pins.set(f"set-{phone}", phone, WRONG, wait_s=5) == "set"
    assert await tried(parts, phone, PIN, "right") == Verdict("verified")


async def test_pin_that_has_no_turn_in_time_is_not_known(parts: Parts) -> None:
    """Nothing is counted then, and the subscriber is told to try again."""
    phone = await subscriber(parts, "+254711000311")
    assert await parts.pins.verify(f"{phone}-late", phone, WRONG, wait_s=0) is None
    assert await tried(parts, phone, WRONG, "first") == Verdict("wrong", 2)


async def test_who_is_no_subscriber_has_no_pin(parts: Parts) -> None:
    """And a subscriber without one is told so at no cost."""
    assert await tried(parts, "+254711000307", PIN, "nobody") == "not_set"
    assert await parts.pins.set("nobody", "+254711000307", PIN, wait_s=5) == "not_found"
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
    forbidden = Pins(parts.database, KEYS, WallClock(), parts.directory, nothing, LIMIT, parts.workflows)
    for work in (forbidden.verify, forbidden.set):
        with pytest.raises(NotAllowed):
            await work("id", "+254711000310", PIN, wait_s=1)


async def test_hash_is_salted_and_tells_the_pins_apart() -> None:
    """Two subscribers with one PIN have two hashes."""
    first, second = hashed(PIN), hashed(PIN)
    assert first != second
    assert matches(PIN, first)
    assert matches(PIN, second)
    assert not matches(WRONG, first)
