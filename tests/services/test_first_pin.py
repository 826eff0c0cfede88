"""The first PIN: whoever has the phone in the hand needs the date of birth that the bank holds as well."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from adapters.numbers.sandbox import SWAPPED, SandboxNumberChecks
from tests.database_fixtures import KINDS, urls_of
from tests.services.parts import BORN, OPENED_BORN, Parts, Script, WallClock, eventually, running
from ussd_engine.errors import BankUnavailable, IdentityNotVerified
from ussd_engine.platform.gate import Verdict
from ussd_engine.ports import Found, Holder, NotFound
from ussd_engine.services.number_gate import NumberGate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN = "835917"
WRONG = date(1991, 2, 4)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def parts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Parts]:
    folder = tmp_path_factory.mktemp("first_pin")
    urls = urls_of(request.param, folder, request)
    async with running(folder, urls=urls) as running_parts:
        yield running_parts


async def subscriber(parts: Parts, phone: str) -> str:
    await parts.open(f"open-{phone}", phone)
    return phone


async def chosen(parts: Parts, phone: str, born: date, name: str) -> str:
    return await parts.choose_pin(f"{phone}-{name}", phone, PIN, born)


async def has_pin(parts: Parts, phone: str, name: str) -> bool:
    return await parts.pins.verify(f"{phone}-{name}", phone, PIN, wait_s=10) == Verdict("verified")


async def reason(parts: Parts, phone: str, name: str) -> str | None:
    row = await parts.one(
        "SELECT reason FROM audit_log WHERE entity = 'operations' AND request_id = :id", id=f"{phone}-{name}"
    )
    return str(row.reason)


async def bank_ref(parts: Parts, phone: str) -> str:
    found = await parts.sandbox.search_by_phone(phone)
    assert isinstance(found, Found)
    return found.customer_ref


async def test_right_date_of_birth_sets_the_pin(parts: Parts) -> None:
    """The audit log has it under the user; nobody is sent an SMS who was told at once."""
    phone = await subscriber(parts, "+254711000320")
    assert await chosen(parts, phone, OPENED_BORN, "set") == "set"
    assert await has_pin(parts, phone, "door")
    row = await parts.one(
        "SELECT entity FROM audit_log WHERE action = 'pin.set' AND request_id = :id", id=f"{phone}-set"
    )
    assert row.entity == "users"
    assert not await parts.rows(
        "SELECT 1 FROM notifications JOIN operations ON operations.id = operation_id"
        " WHERE kind = 'pin.set' AND phone_number = :phone",
        phone=phone,
    )


async def test_three_wrong_dates_lock_and_the_answer_stays_the_same(parts: Parts) -> None:
    """Then the right date is refused as well, as only the audit log tells; after the lockout it sets the PIN."""
    phone = await subscriber(parts, "+254711000321")
    codes = [await chosen(parts, phone, WRONG, f"wrong-{n}") for n in range(3)]
    assert [*codes, await chosen(parts, phone, OPENED_BORN, "right")] == ["identity_not_verified"] * 4
    assert await reason(parts, phone, "wrong-2") == "identity_not_verified"
    assert await reason(parts, phone, "right") == "gate_locked"
    assert not await has_pin(parts, phone, "door")
    await parts.do("UPDATE gate_counters SET locked_until = counted_at WHERE locked_until IS NOT NULL")
    assert await chosen(parts, phone, OPENED_BORN, "later") == "set"


async def test_wrong_dates_of_a_registration_and_of_a_pin_are_counted_together(parts: Parts) -> None:
    """Nobody gets three guesses at each: what was guessed for the customer from another phone locks here."""
    phone, other = await subscriber(parts, "+254711000322"), "+254711000323"
    parts.bank.scripts[other] = Script(search=[Found(await bank_ref(parts, phone))])
    for n in range(2):
        with pytest.raises(IdentityNotVerified):
            await parts.register(f"{other}-{n}", other, WRONG)
    assert await chosen(parts, phone, WRONG, "third") == "identity_not_verified"
    assert await chosen(parts, phone, OPENED_BORN, "right") == "identity_not_verified"
    assert await reason(parts, phone, "right") == "gate_locked"


async def test_guesses_at_once_get_no_further_than_the_limit(parts: Parts) -> None:
    """Sessions side by side wait for each other or are told to try later; three dates are looked at, no more."""
    phone = await subscriber(parts, "+254711000324")
    await asyncio.gather(*(chosen(parts, phone, WRONG, f"guess-{n}") for n in range(8)))
    rows = await parts.rows(
        "SELECT reason FROM audit_log WHERE action = 'pin.set.refused' AND request_id LIKE :id",
        id=f"{phone}-guess%",
    )
    assert Counter(row.reason for row in rows)["identity_not_verified"] == 3
    assert await chosen(parts, phone, OPENED_BORN, "right") == "identity_not_verified"


async def test_repeated_turn_counts_once(parts: Parts) -> None:
    """It hears what it heard before, whatever date it brings, and takes no further attempt."""
    phone = await subscriber(parts, "+254711000325")
    for born in (WRONG, WRONG, WRONG, OPENED_BORN):
        assert await chosen(parts, phone, born, "one") == "identity_not_verified"
    assert await chosen(parts, phone, OPENED_BORN, "two") == "set"


async def test_bank_that_is_away_costs_nothing(parts: Parts) -> None:
    """Neither where it does not find the customer, nor where it does not tell the details."""
    phone = await subscriber(parts, "+254711000326")
    ref = await bank_ref(parts, phone)
    parts.bank.scripts[ref] = Script(details=[BankUnavailable("down")])
    for n in range(4):
        assert await chosen(parts, phone, WRONG, f"details-{n}") == "cbs_unavailable"
    parts.bank.scripts[phone] = Script(search=[BankUnavailable("down")])
    assert await chosen(parts, phone, WRONG, "search") == "cbs_unavailable"
    parts.bank.scripts.clear()
    assert await chosen(parts, phone, OPENED_BORN, "up") == "set"


async def test_number_that_the_bank_gave_to_another_chooses_no_pin(parts: Parts) -> None:
    """Its new owner knows the own date of birth, and not that of the subscriber whose menu the phone still shows."""
    phone = await subscriber(parts, "+254711000327")
    parts.bank.scripts[phone] = Script(search=[Found("REF-327")])
    parts.bank.scripts["REF-327"] = Script(details=[Holder("REF-327", "Max", "Sample", phone, BORN)])
    assert await chosen(parts, phone, BORN, "another") == "customer_not_found"
    parts.bank.scripts[phone] = Script(search=[NotFound()])
    assert await chosen(parts, phone, OPENED_BORN, "nobody") == "customer_not_found"
    assert not await has_pin(parts, phone, "door")


async def test_number_of_two_subscribers_chooses_no_pin_for_the_other(parts: Parts) -> None:
    """Who has the number at the bank is subscribed too, under another one: the right date of that one opens nothing."""
    phone = await subscriber(parts, "+254711000336")
    other = await subscriber(parts, "+254711000337")
    parts.bank.scripts[phone] = Script(search=[Found(await bank_ref(parts, other))])
    assert await chosen(parts, phone, OPENED_BORN, "other") == "customer_not_found"
    assert not await has_pin(parts, phone, "door")
    assert not await has_pin(parts, other, "door")


async def test_who_has_a_pin_is_asked_nothing(parts: Parts) -> None:
    """Wrong dates cost nothing then, and tell nothing."""
    phone = await subscriber(parts, "+254711000328")
    assert await chosen(parts, phone, OPENED_BORN, "set") == "set"
    for n, born in enumerate((WRONG, WRONG, WRONG, OPENED_BORN)):
        assert await chosen(parts, phone, born, f"again-{n}") == "pin_exists"
    assert not await parts.rows(
        "SELECT 1 FROM operations WHERE gate = 'failed' AND phone_number = :phone", phone=phone
    )


async def test_slow_bank_is_told_by_sms(parts: Parts) -> None:
    """Who could not wait is promised an SMS, and gets it when the PIN is set."""
    phone = await subscriber(parts, "+254711000329")
    ref = await bank_ref(parts, phone)
    holder = await parts.sandbox.account_details(ref)
    answered = asyncio.Event()

    async def late() -> object:
        await answered.wait()
        return holder

    parts.bank.scripts[ref] = Script(details=[late])
    assert await parts.choose_pin(f"{phone}-slow", phone, PIN, OPENED_BORN, wait_s=3) == "pending"
    answered.set()

    async def told() -> bool:
        return "Dear Ann, your PIN for Acme Bank is set. Dial again to use it." in await parts.texts(phone)

    await eventually(told)
    assert await has_pin(parts, phone, "door")


async def test_opening_under_way_is_not_taken_for_the_pin(parts: Parts) -> None:
    """One that stays in doubt keeps the number busy: the subscriber is told to try later, and promised nothing."""
    phone = await subscriber(parts, "+254711000330")
    await parts.do(
        "INSERT INTO operations (id, kind, phone_number, workflow_id, channel, asked_digest, state, reconciling,"
        " told_pending, retries, created_at) SELECT 'doubt', 'account.open', phone_number, 'doubt', 'api', 'd',"
        " 'in_doubt', true, false, 0, created_at FROM operations WHERE phone_number = :phone",
        phone=phone,
    )
    assert await chosen(parts, phone, OPENED_BORN, "busy") == "busy"
    (row,) = await parts.rows("SELECT told_pending FROM operations WHERE id = 'doubt'")
    assert not row.told_pending
    await parts.do("UPDATE operations SET state = 'failed' WHERE id = 'doubt'")
    assert await chosen(parts, phone, OPENED_BORN, "free") == "set"


async def test_swapped_sim_chooses_no_pin(tmp_path: Path) -> None:
    """The number is checked as for a registration: a thief with a new SIM and the right date is refused."""
    numbers = NumberGate(SandboxNumberChecks(WallClock()), sim_swap_within_h=72, when_unavailable="refuse")
    async with running(tmp_path, automatic=frozenset({"subscription.register"})) as before:
        await before.register("register", SWAPPED)
    async with running(tmp_path, numbers=numbers) as after:
        assert await chosen(after, SWAPPED, BORN, "thief") == "identity_not_verified"
        assert await reason(after, SWAPPED, "thief") == "sim_swapped"
