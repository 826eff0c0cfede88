"""Who a caller is, and the gate that an existing customer of the bank passes."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING

import pytest

from tests.services.parts import BORN, Script
from ussd_engine.errors import AlreadySubscribed, BankUnavailable, CustomerNotFound, IdentityNotVerified
from ussd_engine.ports import Found, Holder, NotFound
from ussd_engine.services.birth_date_gate import same_date_of_birth
from ussd_engine.services.operations import OperationPending
from ussd_engine.services.subscription import Registered

if TYPE_CHECKING:
    from tests.services.parts import Parts

pytestmark = pytest.mark.asyncio(loop_scope="module")


def holder(ref: str, phone: str, born: date | None = BORN, national_id: str | None = None) -> Holder:
    return Holder(
        customer_ref=ref,
        first_name="Max",
        last_name="Sample",
        phone_number=phone,
        date_of_birth=born,
        national_id=national_id or f"NID-{ref}",
        gender="male",
        email="max@sample.example",
        account_numbers=(f"{ref}-1", f"{ref}-2"),
    )


def script(
    parts: Parts, ref: str, phone: str, born: date | None = BORN, national_id: str | None = None
) -> None:
    parts.bank.scripts[phone] = Script(search=[Found(ref)])
    parts.bank.scripts[ref] = Script(details=[holder(ref, phone, born, national_id)])


async def test_an_existing_customer_registers_and_waits_for_approval(parts: Parts) -> None:
    """The right date of birth stages customer and user, filled from the bank; nothing is written before approval."""
    phone = "+254700000001"
    assert (await parts.subscriptions.check(phone)).status == "existing_customer"
    with pytest.raises(IdentityNotVerified):
        await parts.register("wrong-1", phone, date(1990, 1, 16))
    done = await parts.register("right-1", phone, language="sw")
    assert isinstance(done, Registered)
    assert await parts.register("right-1", phone, language="sw") == done
    assert not await parts.rows("SELECT 1 FROM customers WHERE id = :id", id=done.customer_id)
    change = await parts.one("SELECT * FROM staged_changes WHERE id = :id", id=done.change_id)
    assert (change.state, change.maker, change.checker) == ("pending", "api", None)
    status = await parts.subscriptions.check(phone)
    assert (status.status, status.subscribed, status.exists_on_cbs) == ("pending_approval", False, True)
    assert (status.customer_id, status.user_id, status.language) == (done.customer_id, done.user_id, "sw")
    assert await parts.texts(phone) == []
    with pytest.raises(AlreadySubscribed):
        await parts.register("right-2", phone)

    await parts.approvals.approve(done.change_id, 1, "operator:ann", "request-1")
    user = await parts.one(
        "SELECT u.status, u.language, r.name AS role, p.first_name, p.source FROM users u JOIN roles r"
        " ON r.id = u.role_id JOIN profiles p ON p.customer_id = u.customer_id WHERE u.id = :id",
        id=done.user_id,
    )
    assert tuple(user) == ("active", "sw", "USSD Role", "Jane", "bank")
    kinds = await parts.rows("SELECT kind FROM contacts WHERE customer_id = :id", id=done.customer_id)
    assert sorted(row.kind for row in kinds) == ["email", "phone"]
    accounts = await parts.rows("SELECT source FROM accounts WHERE customer_id = :id", id=done.customer_id)
    assert [row.source for row in accounts] == ["bank"]
    status = await parts.subscriptions.check(phone)
    assert (status.status, status.customer_id, status.language) == ("subscribed", done.customer_id, "sw")
    assert "umesajiliwa" in await parts.text_comes(phone)
    with pytest.raises(AlreadySubscribed):
        await parts.register("right-3", phone)


async def test_wrong_and_absent_birth_dates_are_refused_alike(parts: Parts) -> None:
    """A caller cannot tell from the answer whether the bank holds a date of birth at all."""
    script(parts, "REF-20", "+254711000020")
    words = set()
    for id_, phone in (("absent", "+254700000002"), ("wrong", "+254711000020")):
        with pytest.raises(IdentityNotVerified) as refusal:
            await parts.register(id_, phone, date(1980, 1, 1))
        words.add(str(refusal.value))
    assert len(words) == 1
    assert (
        await parts.rows(
            "SELECT 1 FROM customers WHERE id IN (SELECT customer_id FROM identities"
            " WHERE value IN ('REF-20', '+254700000002'))"
        )
        == []
    )


@pytest.mark.parametrize("given", [date(1, 1, 1), date(1990, 1, 15), date(9999, 12, 31)])
async def test_an_absent_birth_date_never_matches(given: date) -> None:
    """No date that a caller can give equals the one that the bank does not have."""
    assert not same_date_of_birth(None, given)


async def test_a_phone_number_that_the_bank_does_not_know_cannot_register(parts: Parts) -> None:
    """There is nothing to register, and the number is new to the check as well."""
    with pytest.raises(CustomerNotFound):
        await parts.register("unknown", "+254711000021")
    assert (await parts.subscriptions.check("+254711000021")).status == "new_customer"


async def test_a_customer_that_vanished_between_two_answers_is_not_found(parts: Parts) -> None:
    """The bank may find a number and then not know the customer: that is no customer."""
    parts.bank.scripts["+254711000022"] = Script(search=[Found("REF-22")])
    parts.bank.scripts["REF-22"] = Script(details=[NotFound()])
    with pytest.raises(CustomerNotFound):
        await parts.register("vanished", "+254711000022")


async def test_an_unavailable_bank_is_said_to_be_unavailable(parts: Parts) -> None:
    """Neither check nor registration guesses when the bank does not answer."""
    with pytest.raises(BankUnavailable):
        await parts.subscriptions.check("+254700000004")
    with pytest.raises(BankUnavailable):
        await parts.register("down-1", "+254700000004")
    parts.bank.scripts["+254711000023"] = Script(search=[Found("REF-23")])
    parts.bank.scripts["REF-23"] = Script(details=[BankUnavailable("down")])
    with pytest.raises(BankUnavailable):
        await parts.register("down-2", "+254711000023")


async def test_a_slow_bank_makes_a_promise_that_is_kept(parts: Parts) -> None:
    """Who cannot wait hears by SMS that the registration failed, without a word about why."""
    phone = "+254700000003"
    told = await parts.register("slow", phone, wait_s=0.1)
    assert isinstance(told, OperationPending)
    assert await parts.text_comes(phone) == (
        "Acme Bank could not complete your registration. Please dial again or visit a branch."
    )


async def test_two_registrations_of_one_phone_at_once_make_one_user(parts: Parts) -> None:
    """Of ten requests with ids of their own one registers; the others are promised an SMS, or told that it exists."""
    phone = "+254711000024"
    script(parts, "REF-24", phone)
    answers = await asyncio.gather(
        *(parts.register(f"both-{i}", phone) for i in range(10)), return_exceptions=True
    )
    done = [a for a in answers if isinstance(a, Registered)]
    assert len(done) == 1
    assert all(isinstance(a, Registered | OperationPending | AlreadySubscribed) for a in answers)


async def test_two_phones_of_one_bank_customer_are_one_user(parts: Parts) -> None:
    """A second phone of a customer who registered already is refused, and gets no access of its own."""
    script(parts, "REF-25", "+254711000025")
    script(parts, "REF-25", "+254711000026")
    assert isinstance(await parts.register("phone-a", "+254711000025"), Registered)
    with pytest.raises(AlreadySubscribed):
        await parts.register("phone-b", "+254711000026")
    assert (await parts.subscriptions.check("+254711000026")).status == "existing_customer"


async def test_a_number_under_another_phone_type_finds_its_customer(parts: Parts) -> None:
    """A further phone number belongs to its customer, unless it is somebody's primary phone."""
    script(parts, "REF-27", "+254711000027")
    script(parts, "REF-28", "+254711000028", national_id="NID-28")
    first, second = await subscribed(parts, "+254711000027"), await subscribed(parts, "+254711000028")
    for number in ("+254711000029", "+254711000028"):
        await parts.do(
            "INSERT INTO identities (id, customer_id, type, value, created_at)"
            " VALUES (:id, :customer, 'alternate_phone', :value, '2030-01-01 00:00:00')",
            id=f"w{number}",
            customer=first.customer_id,
            value=number,
        )
    assert (await parts.subscriptions.check("+254711000029")).customer_id == first.customer_id
    assert (await parts.subscriptions.check("+254711000028")).customer_id == second.customer_id


async def subscribed(parts: Parts, phone: str) -> Registered:
    done = await parts.register(f"subscribe-{phone}", phone)
    assert isinstance(done, Registered)
    await parts.approvals.approve(done.change_id, 1, "operator:ann", "request-1")
    return done


@pytest.mark.parametrize("right_first", [True, False])
async def test_a_date_of_birth_under_way_vouches_for_no_other(parts: Parts, right_first: bool) -> None:
    """Whatever date is asked for beside one that is under way: the answer is the same, and comes at once.

    Only who repeats the request itself, by its id, learns what became of it.
    """
    phone, ref = f"+25471100009{int(right_first)}", f"REF-9{int(right_first)}"
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> Holder:
        reached.set()
        await go_on.wait()
        return holder(ref, phone)

    parts.bank.scripts[phone] = Script(search=[Found(ref)])
    parts.bank.scripts[ref] = Script(details=[slowly])
    wrong, right = date(1990, 1, 16), BORN
    one, other = (right, wrong) if right_first else (wrong, right)
    first = asyncio.create_task(parts.register(f"first-{phone}", phone, one))
    await reached.wait()
    for number, born in enumerate((one, other)):
        assert isinstance(await parts.register(f"beside-{number}-{phone}", phone, born), OperationPending)
    again = asyncio.create_task(parts.register(f"first-{phone}", phone, one))
    go_on.set()
    if right_first:
        assert await first == await again
        for number, born in enumerate((one, other)):
            with pytest.raises(AlreadySubscribed):
                await parts.register(f"beside-{number}-{phone}", phone, born)
    else:
        for asked in (first, again):
            with pytest.raises(IdentityNotVerified):
                await asked
        # what stood in the way came to nothing: each date is looked at in its turn, and counted
        with pytest.raises(IdentityNotVerified):
            await parts.register(f"beside-0-{phone}", phone, one)
        assert isinstance(await parts.register(f"beside-1-{phone}", phone, other), Registered)
        with pytest.raises(IdentityNotVerified):
            await parts.register(f"beside-0-{phone}", phone, one)


async def test_wrong_dates_at_once_are_told_nothing_else_than_one(parts: Parts) -> None:
    """The bank is well, so nobody hears that it is away: a wrong date is refused, or an SMS is promised."""
    phone = "+254711000095"
    script(parts, "REF-95", phone)
    answers = await asyncio.gather(
        *(parts.register(f"guess-{i}", phone, date(1990, 2, 1 + i)) for i in range(20)),
        return_exceptions=True,
    )
    assert all(isinstance(a, IdentityNotVerified | OperationPending) for a in answers)
    for i in range(20):  # asked again, each hears of its own
        with pytest.raises(IdentityNotVerified):
            await parts.register(f"guess-{i}", phone, date(1990, 2, 1 + i))
    (counted,) = await parts.rows(
        "SELECT count(*) AS n FROM operations WHERE phone_number = :phone AND gate = 'failed'", phone=phone
    )
    assert counted.n == 3
