"""An identity that another customer has: who decides on it, what they see, and that no way ends nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.database_fixtures import KINDS, urls_of
from tests.services.parts import BORN, POLICY, Parts, Script, running
from ussd_engine.ports import Found, Holder
from ussd_engine.services.approvals import ChangeConflict, SelfApproval
from ussd_engine.services.subscription import Registered, RegisterSubscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ussd_engine.platform.changes import StagedChange

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def parts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Parts]:
    """Where policy approves whatever it may."""
    folder = tmp_path_factory.mktemp("moves")
    urls = urls_of(request.param, folder, request)
    async with running(folder, automatic=POLICY.actions, urls=urls) as running_parts:
        yield running_parts


async def registered(parts: Parts, ref: str, phone: str, maker: str = "api", **further: Any) -> Registered:
    """The bank's customer `ref`, registered with the phone that the bank finds it by now."""
    number = len(await parts.rows("SELECT 1 FROM operations"))
    parts.bank.scripts[phone] = Script(search=[Found(ref)])
    parts.bank.scripts[ref] = Script(details=[Holder(ref, "Max", "Sample", phone, BORN, **further)])
    request = RegisterSubscription(phone, BORN, "en", "api", maker)
    done = await parts.subscriptions.register(f"{ref}-{number}", request, wait_s=5.0)
    assert isinstance(done, Registered)
    return done


async def approve(parts: Parts, change_id: str, checker: str = "operator:ann") -> StagedChange:
    return await parts.approvals.approve(change_id, 1, checker, "request-1")


async def reject(parts: Parts, change_id: str) -> StagedChange:
    return await parts.approvals.reject(change_id, 1, "operator:ann", "request-1", "no")


async def moves(parts: Parts, phone: str) -> list[StagedChange]:
    """What waits to move identities, asked for by registrations of this phone."""
    rows = await parts.rows(
        "SELECT c.id FROM staged_changes c JOIN operations o ON o.id = c.operation_id"
        " WHERE c.kind = 'identity.move' AND c.state = 'pending' AND o.phone_number = :phone",
        phone=phone,
    )
    return [await parts.approvals.get(row.id) for row in rows]


async def conflict(parts: Parts, change_id: str) -> str:
    with pytest.raises(ChangeConflict) as found:
        await approve(parts, change_id)
    assert (await parts.approvals.get(change_id)).state == "pending"
    return str(found.value)


async def test_a_further_phone_of_another_customer_is_for_staff(parts: Parts) -> None:
    """Whoever a number finds now, by whatever type, keeps it until staff decide; policy decides nothing of it."""
    own, shared = "+254711000701", "+254711000702"
    holder = await registered(parts, "REF-701", own, further_phones=(shared,))
    assert (await parts.subscriptions.check(shared)).customer_id == holder.customer_id
    claimant = await registered(parts, "REF-702", shared)
    assert (await parts.approvals.get(claimant.change_id)).state == "pending"
    assert (await parts.subscriptions.check(shared)).status == "pending_approval"
    (move,) = await moves(parts, shared)
    which = {"type": "alternate_phone", "value": "+254*******02"}
    assert move.before == {**which, "customer_id": holder.customer_id}
    assert move.after == {**which, "customer_id": claimant.customer_id}
    assert f"decide on {move.id} first" in await conflict(parts, claimant.change_id)
    await approve(parts, move.id)
    await approve(parts, claimant.change_id)
    for phone, done in ((own, holder), (shared, claimant)):
        found = await parts.subscriptions.check(phone)
        assert (found.status, found.customer_id) == ("subscribed", done.customer_id)


async def test_who_asked_for_a_registration_does_not_decide_on_its_moves(parts: Parts) -> None:
    """The maker of the move is who made the registration, by name, and not a word for the channel."""
    phone = "+254711000703"
    await registered(parts, "REF-703", phone)
    await registered(parts, "REF-704", phone, maker="key:core")
    (move,) = await moves(parts, phone)
    assert move.maker == "key:core"
    with pytest.raises(SelfApproval):
        await approve(parts, move.id, checker="key:core")


async def test_a_number_that_staff_have_given_already_is_not_asked_for_again(parts: Parts) -> None:
    """The move approved, the registration rejected, and registered anew: the number is the customer's already."""
    phone = "+254711000705"
    await registered(parts, "REF-705", phone)
    claimant = await registered(parts, "REF-706", phone)
    (move,) = await moves(parts, phone)
    await approve(parts, move.id)
    await reject(parts, claimant.change_id)
    again = await registered(parts, "REF-706", phone)
    assert await moves(parts, phone) == []
    assert (await parts.approvals.get(again.change_id)).state == "approved"
    assert (await parts.subscriptions.check(phone)).customer_id == claimant.customer_id


async def test_after_a_rejected_move_approval_asks_for_it_again(parts: Parts) -> None:
    """Approval says what has to be decided first, and it is there to be decided on."""
    phone = "+254711000707"
    await registered(parts, "REF-707", phone)
    claimant = await registered(parts, "REF-708", phone)
    (move,) = await moves(parts, phone)
    await reject(parts, move.id)
    words = await conflict(parts, claimant.change_id)
    (again,) = await moves(parts, phone)
    assert f"decide on {again.id} first" in words
    assert f"decide on {again.id} first" in await conflict(parts, claimant.change_id)
    await approve(parts, again.id)
    await approve(parts, claimant.change_id)
    assert (await parts.subscriptions.check(phone)).customer_id == claimant.customer_id


async def test_two_who_claim_one_number_both_come_to_a_decision(parts: Parts) -> None:
    """The move waits for the first who claimed it; once it is decided, the other's is asked for."""
    phone = "+254711000709"
    await registered(parts, "REF-709", phone)
    first, second = [await registered(parts, ref, phone) for ref in ("REF-710", "REF-711")]
    for claimant in (first, second):
        (move,) = await moves(parts, phone)
        if claimant is second:  # the first has it by now
            assert move.before["customer_id"] == first.customer_id
        await approve(parts, move.id)
        await approve(parts, claimant.change_id)
        found = await parts.database.read(lambda c: parts.directory.by_phone_number(c, phone))
        assert found
        assert found.customer_id == claimant.customer_id
        if claimant is first:
            assert "now asked for" in await conflict(parts, second.change_id)


async def test_the_reason_of_a_move_is_who_vouches_for_it(parts: Parts) -> None:
    """What the bank's record holds, and what an applicant gave: a checker sees which, and a masked value."""
    holder, borrower, applicant = "+254711000712", "+254711000713", "+254711000714"
    await registered(parts, "REF-712", holder, national_id="ID-7126543")
    await registered(parts, "REF-713", borrower, national_id="id 7126543")
    (by_bank,) = await moves(parts, borrower)
    assert by_bank.maker_reason == "the bank holds it for another customer than the platform"
    await reject(parts, by_bank.id)
    await parts.open("applies", applicant, national_id="ID7126543")
    (by_applicant,) = await moves(parts, applicant)
    assert (
        by_applicant.maker_reason
        == "it was given for an account that the bank has opened for another customer"
    )
    for move in (by_bank, by_applicant):
        assert (move.after["type"], move.after["value"]) == ("national_id", "*******43")


async def test_a_language_chosen_while_staff_decide_is_kept(parts: Parts) -> None:
    """A second phone waits for staff; the subscriber changes the language on the first; approval leaves it."""
    first, second = "+254711000716", "+254711000717"
    await registered(parts, "REF-716", first)
    moved = await registered(parts, "REF-716", second)
    assert await parts.profiles.set_language("speaks", first, "sw", wait_s=5) == "changed"
    change = await parts.approvals.get(moved.change_id)
    assert change.state == "pending"
    assert change.after["user"] == change.before["user"]
    await approve(parts, moved.change_id)
    for phone in (first, second):
        assert (await parts.subscriptions.check(phone)).language == "sw"
