"""The special numbers of the sandbox bank, and what its one file must stand."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from datetime import date
from typing import TYPE_CHECKING

import pytest

from adapters.cbs.sandbox import REJECTION, SPECIAL_NUMBERS, SandboxBank
from adapters.cbs.sandbox_books import account_number
from ussd_engine.errors import BankUnavailable
from ussd_engine.ports import (
    Duplicate,
    Found,
    Holder,
    InProgress,
    NotFound,
    Opened,
    OpenOutcome,
    PendingApproval,
    Rejected,
    Unknown,
)

from .applicants import applicant

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import HandClock, OpenSandbox

JANE, NO_BIRTH_DATE, SLOW, UNAVAILABLE, ANSWER_LOST, NEEDS_APPROVAL, REJECTED = SPECIAL_NUMBERS
NEW = "+254711000001"
SOON_S = 0.2
"""Long enough for the bank to take a request in, on a busy machine too."""


async def open_at(bank: SandboxBank, phone: str, attempt: str = "1") -> OpenOutcome:
    return await bank.open_account(
        applicant(phone), idempotency_key=f"key-{attempt}", external_id=f"ext-{attempt}"
    )


async def give_up_on(bank: SandboxBank, phone: str, attempt: str = "1") -> None:
    await bank.opened_count()  # the file is there before the short time begins
    assert await open_at(bank, phone, attempt) == Unknown("timeout")


async def taken_in(bank: SandboxBank) -> OpenOutcome:
    """Ask until the first attempt has reached the bank."""
    while True:
        outcome = await bank.find_opening("ext-1")
        if not isinstance(outcome, NotFound):
            return outcome


async def holder_of(bank: SandboxBank, phone: str) -> Holder:
    found = await bank.search_by_phone(phone)
    assert isinstance(found, Found)
    holder = await bank.account_details(found.customer_ref)
    assert isinstance(holder, Holder)
    return holder


# --- existing customers ---


async def test_existing_customer(open_sandbox: OpenSandbox) -> None:
    """+254700000001 is Jane Sample, born 1990-01-15, who has one account."""
    holder = await holder_of(open_sandbox(), JANE)
    assert (holder.first_name, holder.last_name) == ("Jane", "Sample")
    assert holder.date_of_birth == date(1990, 1, 15)
    assert len(holder.account_numbers) == 1


async def test_existing_customer_without_a_date_of_birth(open_sandbox: OpenSandbox) -> None:
    """+254700000002 is known to the bank, which has no date of birth to compare with."""
    assert (await holder_of(open_sandbox(), NO_BIRTH_DATE)).date_of_birth is None


@pytest.mark.parametrize("phone", [JANE, NO_BIRTH_DATE])
async def test_existing_customer_opens_nothing(open_sandbox: OpenSandbox, phone: str) -> None:
    """The bank refuses a customer that it has."""
    bank = open_sandbox()
    assert await open_at(bank, phone) == Duplicate("phone_number")
    assert await bank.opened_count() == 0


# --- slow ---


async def test_slow_number_is_not_read_in_time(open_sandbox: OpenSandbox) -> None:
    """A read of +254700000003 that takes longer than the timeout is no answer."""
    with pytest.raises(BankUnavailable):
        await open_sandbox(timeout_s=SOON_S, slow_s=15).search_by_phone(SLOW)


async def test_slow_number_is_read_by_the_patient(open_sandbox: OpenSandbox) -> None:
    """A caller that waits long enough gets the answer of +254700000003."""
    bank = open_sandbox(slow_s=SOON_S)
    opened = await open_at(bank, SLOW)
    assert isinstance(opened, Opened)
    assert await open_at(bank, SLOW) == opened


async def test_slow_customer_is_slow_to_describe(open_sandbox: OpenSandbox, clock: HandClock) -> None:
    """The details of +254700000003 take as long as everything about it."""
    opened = await open_at(open_sandbox(slow_s=0), SLOW)
    assert isinstance(opened, Opened)
    with pytest.raises(BankUnavailable):
        await open_sandbox(timeout_s=SOON_S, slow_s=15).account_details(opened.customer_ref)


async def test_slow_opening_goes_on_after_the_caller_gave_up(
    open_sandbox: OpenSandbox, clock: HandClock
) -> None:
    """The caller learns nothing at its timeout; the account is opened once, after the bank's own time."""
    await give_up_on(open_sandbox(timeout_s=SOON_S, slow_s=15), SLOW)
    bank = open_sandbox()
    clock.advance(14)
    assert await taken_in(bank) == InProgress()
    assert await bank.opened_count(SLOW) == 0
    clock.advance(1)
    assert isinstance(await bank.find_opening("ext-1"), Opened)
    assert await bank.opened_count(SLOW) == 1


async def test_slow_opening_goes_on_after_its_process_ended(
    open_sandbox: OpenSandbox, clock: HandClock
) -> None:
    """The bank's work does not hang on the process that asked for it: any other sees it done."""
    await give_up_on(open_sandbox(timeout_s=SOON_S), SLOW)
    later = open_sandbox(slow_s=0)
    assert await taken_in(later) == InProgress()
    clock.advance(15)
    assert isinstance(await later.find_opening("ext-1"), Opened)
    assert await open_at(later, SLOW, "2") == Duplicate("phone_number")


async def test_slow_opening_holds_up_nobody(open_sandbox: OpenSandbox) -> None:
    """While the bank is slow for one customer, it opens accounts for others: nothing is locked meanwhile."""
    waiting, other = open_sandbox(slow_s=15), open_sandbox()
    slow = asyncio.create_task(open_at(waiting, SLOW))
    assert await taken_in(other) == InProgress()
    assert isinstance(await open_at(other, NEW, "2"), Opened)
    assert isinstance(await open_at(waiting, "+254711000002", "3"), Opened)
    assert not slow.done()
    slow.cancel()


# --- unavailable ---


async def test_unavailable_number_changes_nothing(open_sandbox: OpenSandbox) -> None:
    """+254700000004 gets no answer, and the bank has certainly done nothing."""
    bank = open_sandbox()
    with pytest.raises(BankUnavailable):
        await bank.search_by_phone(UNAVAILABLE)
    with pytest.raises(BankUnavailable):
        await open_at(bank, UNAVAILABLE)
    assert await bank.find_opening("ext-1") == NotFound()
    assert await bank.opened_count() == 0


# --- the lost answer ---


async def test_lost_answer_is_found_by_the_external_id(open_sandbox: OpenSandbox) -> None:
    """The account of +254700000005 is opened, though the caller never hears so; asking by our id tells."""
    await give_up_on(open_sandbox(timeout_s=SOON_S), ANSWER_LOST)
    bank = open_sandbox()
    found = await taken_in(bank)
    assert isinstance(found, Opened)
    assert (await holder_of(bank, ANSWER_LOST)).account_numbers == (found.account_number,)


async def test_lost_answer_stays_lost(open_sandbox: OpenSandbox) -> None:
    """Asking again in the same way opens no second account and hears no more."""
    impatient, bank = open_sandbox(timeout_s=SOON_S), open_sandbox()
    await give_up_on(impatient, ANSWER_LOST)
    await taken_in(bank)
    await give_up_on(impatient, ANSWER_LOST)
    await give_up_on(impatient, ANSWER_LOST, "2")
    assert await bank.opened_count(ANSWER_LOST) == 1
    assert await bank.find_opening("ext-2") == Duplicate("phone_number")


# --- approval ---


async def test_opening_waits_for_approval(open_sandbox: OpenSandbox) -> None:
    """The opening of +254700000006 has no account until a person at the bank approves, then it has one."""
    bank = open_sandbox()
    pending = await open_at(bank, NEEDS_APPROVAL)
    assert isinstance(pending, PendingApproval)
    assert await bank.find_opening("ext-1") == pending == await open_at(bank, NEEDS_APPROVAL)
    assert await bank.search_by_phone(NEEDS_APPROVAL) == NotFound()
    assert await bank.approve(pending.reference)
    opened = await bank.find_opening("ext-1")
    assert isinstance(opened, Opened)
    assert opened == await open_at(bank, NEEDS_APPROVAL)
    assert await bank.search_by_phone(NEEDS_APPROVAL) == Found(opened.customer_ref)


async def test_approval_comes_by_itself(open_sandbox: OpenSandbox, clock: HandClock) -> None:
    """Where nobody sits at the bank's desk, the application is approved after its time."""
    bank = open_sandbox(approval_s=30)
    pending = await open_at(bank, NEEDS_APPROVAL)
    clock.advance(29)
    assert await bank.find_opening("ext-1") == pending
    clock.advance(1)
    assert isinstance(await bank.find_opening("ext-1"), Opened)
    assert await bank.opened_count(NEEDS_APPROVAL) == 1


async def test_waiting_application_holds_its_phone_number(open_sandbox: OpenSandbox) -> None:
    """A second application for a phone number that waits for approval could become a second account."""
    bank = open_sandbox()
    await open_at(bank, NEEDS_APPROVAL)
    assert await open_at(bank, NEEDS_APPROVAL, "2") == Duplicate("phone_number")


async def test_refused_application_is_over(open_sandbox: OpenSandbox, clock: HandClock) -> None:
    """A refused application never becomes an account, and the applicant may apply anew under a new number."""
    bank = open_sandbox()
    pending = await open_at(bank, NEEDS_APPROVAL)
    assert isinstance(pending, PendingApproval)
    assert await bank.reject_pending(pending.reference, "NO_DOCUMENT")
    clock.advance(1000)
    refused = await bank.find_opening("ext-1")
    assert refused == Rejected("NO_DOCUMENT") == await open_at(bank, NEEDS_APPROVAL)
    assert await bank.opened_count() == 0
    again = await open_at(bank, NEEDS_APPROVAL, "2")
    assert isinstance(again, PendingApproval)
    assert again.reference != pending.reference


@pytest.mark.parametrize("reference", ["", "APP-000000099", "APP-", "C000000001", "APP-0000000010"])
async def test_unknown_application_is_not_decided(open_sandbox: OpenSandbox, reference: str) -> None:
    """A decision on an application that is not there has no effect, and says so."""
    bank = open_sandbox()
    assert not await bank.approve(reference)
    assert not await bank.reject_pending(reference, "X")


async def test_decision_is_made_once(open_sandbox: OpenSandbox) -> None:
    """What was approved cannot be refused afterwards, nor approved a second time."""
    bank = open_sandbox()
    pending = await open_at(bank, NEEDS_APPROVAL)
    assert isinstance(pending, PendingApproval)
    assert await bank.approve(pending.reference)
    assert not await bank.reject_pending(pending.reference, "X")
    assert not await bank.approve(pending.reference)
    assert isinstance(await bank.find_opening("ext-1"), Opened)


async def test_slow_opening_is_no_application(open_sandbox: OpenSandbox) -> None:
    """Nobody can approve or refuse an opening that is merely slow."""
    await give_up_on(open_sandbox(timeout_s=SOON_S), SLOW)
    bank = open_sandbox()
    assert await taken_in(bank) == InProgress()
    assert not any([await bank.approve(f"APP-{number:09d}") for number in range(10)])
    assert await bank.find_opening("ext-1") == InProgress()


# --- rejected ---


async def test_rejected_number(open_sandbox: OpenSandbox) -> None:
    """+254700000007 is refused for good, with the bank's own code."""
    bank = open_sandbox()
    assert await open_at(bank, REJECTED) == Rejected(REJECTION) == await bank.find_opening("ext-1")
    assert await bank.search_by_phone(REJECTED) == NotFound()


# --- the file ---


async def test_books_outlive_the_process(open_sandbox: OpenSandbox) -> None:
    """What one process opened, the next one knows; the existing customers are there once."""
    first = open_sandbox()
    opened = await open_at(first, NEW)
    second = open_sandbox()
    assert await second.find_opening("ext-1") == opened
    assert await second.opened_count() == 1
    assert (await holder_of(second, JANE)).first_name == "Jane"


async def test_locked_file_is_not_a_definite_answer(open_sandbox: OpenSandbox, tmp_path: Path) -> None:
    """While another process locks the file, an opening is unknown and reads go on; a retry settles it."""
    bank = open_sandbox(timeout_s=SOON_S)
    patient = open_sandbox()
    await patient.opened_count()
    await bank.opened_count()
    other = sqlite3.connect(tmp_path / "bank.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert isinstance(await open_at(bank, NEW), Unknown)
    assert await patient.search_by_phone(NEW) == NotFound()
    other.execute("ROLLBACK")
    other.close()
    assert isinstance(await open_at(patient, NEW), Opened)
    assert await patient.opened_count(NEW) == 1


@pytest.mark.parametrize("name", [".", "not-a-folder/bank.sqlite"])
async def test_unusable_file_is_an_unavailable_bank(tmp_path: Path, clock: HandClock, name: str) -> None:
    """A bank whose file cannot be opened is one that does not answer, not a crash of the caller."""
    (tmp_path / "not-a-folder").write_text("")
    bank = SandboxBank(tmp_path / name, clock, timeout_s=20)
    with pytest.raises(BankUnavailable):
        await bank.search_by_phone(NEW)
    assert await open_at(bank, NEW) == Unknown("storage")
    await bank.close()


async def test_books_are_for_their_owner_only(open_sandbox: OpenSandbox, tmp_path: Path) -> None:
    """The file holds names and dates of birth, so other users of the machine cannot read it."""
    await open_sandbox().opened_count()
    modes = {entry.name: entry.stat().st_mode & 0o077 for entry in os.scandir(tmp_path)}
    assert modes.pop("bank.sqlite") == 0
    assert not any(modes.values())


def test_account_numbers_have_a_check_digit() -> None:
    """An account number is 13 digits; a wrong digit or two neighbours changed over do not pass."""

    def passes(number: str) -> bool:
        doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(number), 1)]
        return sum(value // 10 + value % 10 for value in doubled) % 10 == 0

    numbers = [account_number(n) for n in (*range(1, 200), 10**10 - 1)]
    assert all(re.fullmatch(r"[0-9]{13}", number) and passes(number) for number in numbers)
    assert len(set(numbers)) == len(numbers)
    assert account_number(1) == "1000000000017"
    assert not passes("1000000000018")
    assert not passes("1000000000107")
