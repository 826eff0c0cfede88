"""What every core banking adapter owes the engine, whatever bank is behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from ussd_engine.ports import CoreBanking, Duplicate, Found, Holder, NotFound, Opened, OpenOutcome

from .applicants import applicant

FreshPhone = Callable[[], str]


async def open_at(
    bank: CoreBanking, phone: str, attempt: str, *, national_id: str | None = None
) -> OpenOutcome:
    request = applicant(phone, national_id=national_id)
    return await bank.open_account(request, idempotency_key=f"key-{attempt}", external_id=f"ext-{attempt}")


async def accounts_of(bank: CoreBanking, phone: str) -> tuple[str, ...]:
    match await bank.search_by_phone(phone):
        case Found(ref):
            holder = await bank.account_details(ref)
            assert isinstance(holder, Holder)
            return holder.account_numbers
        case NotFound():
            return ()


async def test_unknown_phone_number_is_not_found(bank: CoreBanking, fresh_phone: FreshPhone) -> None:
    """A number that the bank has never heard of is an answer, not an error."""
    assert await bank.search_by_phone(fresh_phone()) == NotFound()


@pytest.mark.parametrize("ref", ["", "0", "no such customer", "' OR 1=1 --", "\u0661", "9" * 30])
async def test_unknown_customer_is_not_found(bank: CoreBanking, ref: str) -> None:
    """A reference that the bank never gave names nobody."""
    assert await bank.account_details(ref) == NotFound()


async def test_opening_that_never_arrived_is_not_found(bank: CoreBanking) -> None:
    """Only an opening that the bank has never seen may be tried as if for the first time."""
    assert await bank.find_opening("ext-never-sent") == NotFound()


async def test_opened_customer_is_known_from_then_on(bank: CoreBanking, fresh_phone: FreshPhone) -> None:
    """What was opened is found by phone, by reference and by our own id, with what the applicant gave."""
    phone = fresh_phone()
    request = replace(applicant(phone, national_id="SAMPLE-77"), first_name="Zo\u00eb", last_name="O'Sample")
    opened = await bank.open_account(request, idempotency_key="key-1", external_id="ext-1")
    assert isinstance(opened, Opened)
    assert await bank.search_by_phone(phone) == Found(opened.customer_ref)
    assert await bank.find_opening("ext-1") == opened
    holder = await bank.account_details(opened.customer_ref)
    assert isinstance(holder, Holder)
    assert holder.account_numbers == (opened.account_number,)
    assert (holder.customer_ref, holder.phone_number) == (opened.customer_ref, phone)
    assert (holder.first_name, holder.last_name) == ("Zo\u00eb", "O'Sample")
    assert (holder.date_of_birth, holder.national_id) == (request.date_of_birth, "SAMPLE-77")


async def test_same_key_gives_the_same_result(bank: CoreBanking, fresh_phone: FreshPhone) -> None:
    """A request that is sent again under its key has no second effect and gets the first answer."""
    phone = fresh_phone()
    first = await open_at(bank, phone, "1")
    assert isinstance(first, Opened)
    assert await open_at(bank, phone, "1") == first
    assert await accounts_of(bank, phone) == (first.account_number,)


async def test_key_outweighs_the_request(bank: CoreBanking, fresh_phone: FreshPhone) -> None:
    """Another request under a used key opens nothing: the key says which request it is."""
    first_phone, other_phone = fresh_phone(), fresh_phone()
    first = await open_at(bank, first_phone, "1")
    assert await open_at(bank, other_phone, "1") == first
    assert await accounts_of(bank, other_phone) == ()


async def test_refused_request_gets_its_refusal_again(bank: CoreBanking, fresh_phone: FreshPhone) -> None:
    """A key keeps a refusal as it keeps a success, and so does the external id."""
    phone = fresh_phone()
    await open_at(bank, phone, "1")
    refused = await open_at(bank, phone, "2")
    assert refused == await open_at(bank, phone, "2") == await bank.find_opening("ext-2")


async def test_one_customer_per_phone_number(bank: CoreBanking, fresh_phone: FreshPhone) -> None:
    """A second opening for a phone number is told which field is taken, and opens nothing."""
    phone = fresh_phone()
    first = await open_at(bank, phone, "1")
    assert isinstance(first, Opened)
    assert await open_at(bank, phone, "2") == Duplicate("phone_number")
    assert await accounts_of(bank, phone) == (first.account_number,)


async def test_one_customer_per_national_id(bank: CoreBanking, fresh_phone: FreshPhone) -> None:
    """A person who has an account gets no second one under another phone number."""
    second_phone = fresh_phone()
    await open_at(bank, fresh_phone(), "1", national_id="SAMPLE-77")
    assert await open_at(bank, second_phone, "2", national_id="SAMPLE-77") == Duplicate("national_id")
    assert await accounts_of(bank, second_phone) == ()


@pytest.mark.parametrize("absent", [None, ""])
async def test_no_national_id_is_nobodys(
    bank: CoreBanking, fresh_phone: FreshPhone, absent: str | None
) -> None:
    """Applicants who give no national id are not taken for one person, and get accounts of their own."""
    outcomes = [await open_at(bank, fresh_phone(), str(n), national_id=absent) for n in range(3)]
    accounts = {outcome.account_number for outcome in outcomes if isinstance(outcome, Opened)}
    assert len(accounts) == 3


async def test_external_id_never_opens_twice(bank: CoreBanking, fresh_phone: FreshPhone) -> None:
    """Our own id is a second guard when a key is lost: the first opening stands and is still found by it."""
    other_phone = fresh_phone()
    first = await open_at(bank, fresh_phone(), "1")
    again = await bank.open_account(applicant(other_phone), idempotency_key="key-2", external_id="ext-1")
    assert again == Duplicate("external_id")
    assert await accounts_of(bank, other_phone) == ()
    assert await bank.find_opening("ext-1") == first


async def test_refused_external_id_may_be_used_again(bank: CoreBanking, fresh_phone: FreshPhone) -> None:
    """A refusal leaves nothing behind: a mended request may carry the same external id under a new key."""
    taken = fresh_phone()
    await open_at(bank, taken, "1")
    await open_at(bank, taken, "2")
    mended = await bank.open_account(applicant(fresh_phone()), idempotency_key="key-3", external_id="ext-2")
    assert isinstance(mended, Opened)
    assert await bank.find_opening("ext-2") == mended


async def test_fifty_openings_at_once_make_one_account(bank: CoreBanking, fresh_phone: FreshPhone) -> None:
    """However many workers ask at the same moment, a phone number gets one account."""
    phone = fresh_phone()
    outcomes = await asyncio.gather(*(open_at(bank, phone, str(n)) for n in range(50)))
    opened = [outcome for outcome in outcomes if isinstance(outcome, Opened)]
    assert len(opened) == 1
    assert outcomes.count(Duplicate("phone_number")) == 49
    assert await accounts_of(bank, phone) == (opened[0].account_number,)


async def test_one_request_sent_often_at_once_has_one_result(
    bank: CoreBanking, fresh_phone: FreshPhone
) -> None:
    """A request that arrives many times at the same moment is one request."""
    phone = fresh_phone()
    outcomes = await asyncio.gather(*(open_at(bank, phone, "1") for _ in range(20)))
    assert len(set(outcomes)) == 1
    assert isinstance(outcomes[0], Opened)


@pytest.mark.parametrize("steps", range(4))
async def test_caller_that_gives_up_can_ask_again(
    bank: CoreBanking, fresh_phone: FreshPhone, steps: int
) -> None:
    """A cancelled call leaves either nothing or a whole account, and its key settles which."""
    phone = fresh_phone()
    await bank.search_by_phone(phone)
    call = asyncio.create_task(open_at(bank, phone, "1"))
    for _ in range(steps):
        await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    again = await open_at(bank, phone, "1")
    assert isinstance(again, Opened)
    assert await accounts_of(bank, phone) == (again.account_number,)
