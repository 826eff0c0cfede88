"""What a flow hands to an action."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ussd_engine.errors import IllegalMove
from ussd_engine.services.actions import Actions, Invocation

if TYPE_CHECKING:
    from tests.services.parts import Parts

pytestmark = pytest.mark.asyncio(loop_scope="module")


def invocation(phone: str) -> Invocation:
    inputs = {
        "phone": phone,
        "first_name": "Ann",
        "last_name": "Sample",
        "birth_date": "1991-02-03",
        "language": "en",
    }
    return Invocation(f"turn:{phone}", inputs, 5.0)


async def test_a_number_in_two_spellings_is_one_customer(parts: Parts) -> None:
    """A gateway that sends the zero of the national form along opens no second account."""
    actions = Actions(
        parts.subscriptions, parts.accounts, parts.profiles, parts.pins, parts.first_pins, parts.workflows
    )
    odd, usual = "+2540711888099", "+254711888099"
    assert (await actions.run("account.open", invocation(odd))).outcome == "opened"
    for spelling in (usual, odd):
        assert (await actions.run("subscription.check", invocation(spelling))).outcome == "subscribed"
    assert (await actions.run("account.open", invocation(usual))).outcome == "existing_customer"
    assert await parts.sandbox.opened_count(odd) == 0
    assert await parts.sandbox.opened_count(usual) == 1


@pytest.mark.parametrize("phone", ["0711888099", "+2547", "+999123456789", "+25471188809912"])
async def test_what_is_no_number_runs_no_action(parts: Parts, phone: str) -> None:
    """The turn ends politely, and nothing is asked or begun."""
    actions = Actions(
        parts.subscriptions, parts.accounts, parts.profiles, parts.pins, parts.first_pins, parts.workflows
    )
    with pytest.raises(IllegalMove):
        await actions.run("account.open", invocation(phone))


async def test_a_profile_lists_every_account_and_the_oldest_is_first(parts: Parts) -> None:
    """Also for who has none: the list is there, and empty. Who is no subscriber has no profile."""
    actions = Actions(
        parts.subscriptions, parts.accounts, parts.profiles, parts.pins, parts.first_pins, parts.workflows
    )
    phone = "+254711888098"
    assert (await actions.run("subscription.profile", invocation(phone))).outcome == "not_found"
    assert (await actions.run("account.open", invocation(phone))).outcome == "opened"
    mine = "customer_id = (SELECT customer_id FROM identities WHERE value = :phone)"
    first = await parts.one(f"SELECT account_number FROM accounts WHERE {mine}", phone=phone)
    await parts.do(
        "INSERT INTO accounts (id, customer_id, account_number, source, created_at)"
        f" SELECT 'later', customer_id, 'A-0001', 'bank', '2999-01-01 00:00:00' FROM accounts WHERE {mine}",
        phone=phone,
    )
    found = await actions.run("subscription.profile", invocation(phone))
    assert found.outcome == "found"
    assert found.outputs["accounts"] == ({"number": first.account_number}, {"number": "A-0001"})
    await parts.do(f"DELETE FROM accounts WHERE {mine}", phone=phone)
    assert (await actions.run("subscription.profile", invocation(phone))).outputs["accounts"] == ()
