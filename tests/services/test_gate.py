"""The date-of-birth gate: what wrong answers cost, and what nobody can learn from it."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from adapters.numbers.sandbox import RECYCLED, SWAPPED, SandboxNumberChecks
from tests.database_fixtures import KINDS, urls_of
from tests.services.parts import BORN, Parts, Script, WallClock, running
from ussd_engine.errors import (
    AlreadySubscribed,
    BankUnavailable,
    IdentityNotVerified,
    NotAllowed,
    UssdError,
)
from ussd_engine.ports import Found, Holder
from ussd_engine.services.number_gate import NumberGate
from ussd_engine.services.operations import OperationPending
from ussd_engine.services.policies import Policy
from ussd_engine.services.subscription import Registered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRONG = date(1990, 1, 16)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def parts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Parts]:
    numbers = NumberGate(SandboxNumberChecks(WallClock()), sim_swap_within_h=72, when_unavailable="refuse")
    folder = tmp_path_factory.mktemp("gate")
    urls = urls_of(request.param, folder, request)
    async with running(folder, numbers=numbers, urls=urls) as running_parts:
        yield running_parts


def customer(
    parts: Parts, ref: str, *phones: str, born: date | None = BORN, since: date | None = date(2020, 1, 1)
) -> None:
    for phone in phones:
        parts.bank.scripts[phone] = Script(search=[Found(ref)])
    parts.bank.scripts[ref] = Script(details=[Holder(ref, "Max", "Sample", phones[0], born, since=since)])


async def tried(parts: Parts, phone: str, born: date, name: str) -> str:
    """The code of what a registration comes to."""
    try:
        done: Any = await parts.register(f"{phone}-{name}", phone, born)
    except UssdError as error:
        return error.code
    return "pending" if isinstance(done, OperationPending) else "staged"


async def reason(parts: Parts, phone: str, name: str) -> str | None:
    row = await parts.one("SELECT reason FROM audit_log WHERE request_id = :id", id=f"{phone}-{name}")
    return str(row.reason)


async def test_three_wrong_answers_lock_the_gate(parts: Parts) -> None:
    """Then the right one is refused as well, in the same words; only the audit log tells the difference."""
    phone = "+254711000201"
    customer(parts, "REF-201", phone)
    assert [await tried(parts, phone, WRONG, f"wrong-{n}") for n in range(3)] == ["identity_not_verified"] * 3
    with pytest.raises(IdentityNotVerified) as locked:
        await parts.register(f"{phone}-right", phone)
    customer(parts, "REF-202", "+254711000202")
    with pytest.raises(IdentityNotVerified) as wrong:
        await parts.register("+254711000202-wrong", "+254711000202", WRONG)
    assert str(locked.value) == str(wrong.value)
    assert await reason(parts, phone, "right") == "gate_locked"
    assert await reason(parts, "+254711000202", "wrong") == "identity_not_verified"


async def test_wrong_answers_count_for_the_customer_whatever_the_phone(parts: Parts) -> None:
    """Who guesses from three phones guesses three times in all, and not three times from each."""
    phones = [f"+25471100021{n}" for n in range(4)]
    customer(parts, "REF-210", *phones)
    codes = [await tried(parts, phone, WRONG, "guess") for phone in phones[:3]]
    assert codes == ["identity_not_verified"] * 3
    assert await tried(parts, phones[3], BORN, "right") == "identity_not_verified"
    assert await reason(parts, phones[3], "right") == "gate_locked"


async def test_wrong_answers_count_for_the_phone_whoever_the_customer(parts: Parts) -> None:
    """A phone whose owner changes at the bank carries its wrong answers along."""
    phone = "+254711000220"
    for n in range(3):
        customer(parts, f"REF-22{n}", phone)
        assert await tried(parts, phone, WRONG, f"guess-{n}") == "identity_not_verified"
    customer(parts, "REF-229", phone)
    assert await tried(parts, phone, BORN, "right") == "identity_not_verified"


async def test_a_thousand_guesses_at_once_are_three(parts: Parts) -> None:
    """Many attempts at the same moment, each from its own phone, for one customer: no more than three are looked at."""
    phones = [f"+2547110003{n:02}" for n in range(30)]
    customer(parts, "REF-300", *phones)
    await asyncio.gather(*(tried(parts, phone, WRONG, "guess") for phone in phones))
    rows = await parts.rows(
        "SELECT reason FROM audit_log WHERE request_id LIKE '+2547110003__-guess' ORDER BY seq"
    )
    reasons = [row.reason for row in rows]
    assert len(reasons) == 30
    assert reasons.count("gate_locked") == 27


async def test_the_right_answer_forgets_the_wrong_ones(parts: Parts) -> None:
    """Two slips and the right date: verified, and the next slip is the first again."""
    phone = "+254711000230"
    customer(parts, "REF-230", phone)
    for n in range(2):
        assert await tried(parts, phone, WRONG, f"slip-{n}") == "identity_not_verified"
    assert await tried(parts, phone, BORN, "right") == "staged"
    rows = await parts.rows("SELECT failures FROM gate_counters WHERE failures > 0 AND locked_until IS NULL")
    assert not [row for row in rows if row.failures > 2]


async def test_lockout_ends(parts: Parts) -> None:
    """After the lockout there are three attempts again."""
    phone = "+254711000240"
    customer(parts, "REF-240", phone)
    for n in range(3):
        await tried(parts, phone, WRONG, f"wrong-{n}")
    assert await tried(parts, phone, BORN, "too-early") == "identity_not_verified"
    await parts.do("UPDATE gate_counters SET locked_until = counted_at WHERE locked_until IS NOT NULL")
    assert await tried(parts, phone, BORN, "later") == "staged"


async def test_an_answer_that_nobody_could_check_costs_nothing(parts: Parts) -> None:
    """While the bank is down, attempts are given back."""
    phone = "+254711000250"
    customer(parts, "REF-250", phone)
    parts.bank.scripts["REF-250"].details = [BankUnavailable("down")]
    for n in range(5):
        assert await tried(parts, phone, BORN, f"down-{n}") == "cbs_unavailable"
    customer(parts, "REF-250", phone)
    assert await tried(parts, phone, BORN, "up") == "staged"


async def test_no_date_at_the_bank_matches_no_date(parts: Parts) -> None:
    """What the bank does not hold cannot be guessed, and counts as a wrong answer like any other."""
    phone = "+254711000260"
    customer(parts, "REF-260", phone, born=None)
    for n, born in enumerate((BORN, WRONG, date(1, 1, 1))):
        assert await tried(parts, phone, born, f"none-{n}") == "identity_not_verified"
    assert await tried(parts, phone, BORN, "again") == "identity_not_verified"
    assert await reason(parts, phone, "again") == "gate_locked"


async def test_a_number_in_other_hands_is_not_verified(parts: Parts) -> None:
    """A swapped SIM and a number given to another refuse the right date in the same words, and cost no attempt."""
    customer(parts, "REF-270", SWAPPED)
    customer(parts, "REF-271", RECYCLED)
    for n in range(5):
        assert await tried(parts, SWAPPED, BORN, f"swap-{n}") == "identity_not_verified"
    assert await tried(parts, RECYCLED, BORN, "recycled") == "identity_not_verified"
    assert await reason(parts, SWAPPED, "swap-4") == "sim_swapped"
    assert await reason(parts, RECYCLED, "recycled") == "number_recycled"


@pytest.mark.parametrize(
    ("phone", "against"),
    [
        ("+254700000001", None),
        ("+254700000011", "sim_swapped"),
        ("+254700000012", "number_recycled"),
        ("+254700000013", "number_checks_unavailable"),
    ],
)
async def test_the_numbers_to_play_with_behave_as_the_readme_tells(
    parts: Parts, phone: str, against: str | None
) -> None:
    """The sandbox bank has customers on the numbers of the sandbox operator: the right date is refused for each."""
    parts.bank.scripts.clear()
    code = await tried(parts, phone, BORN, "readme")
    assert code == ("identity_not_verified" if against else "staged")
    if against:
        assert await reason(parts, phone, "readme") == against


async def test_a_bank_that_does_not_tell_since_when_leaves_a_number_unchecked(parts: Parts) -> None:
    """Then the configured answer holds, as when the operator is silent."""
    customer(parts, "REF-290", "+254711000290", since=None)
    assert await tried(parts, "+254711000290", BORN, "unknown") == "identity_not_verified"
    assert await reason(parts, "+254711000290", "unknown") == "number_checks_unavailable"


async def test_a_second_phone_of_a_subscriber_is_for_staff(parts: Parts) -> None:
    """A customer with a new number at the bank is verified, and then waits: policy alone adds no number."""
    first, second = "+254711000280", "+254711000281"
    customer(parts, "REF-280", first, second)
    done = await parts.register("first", first)
    assert isinstance(done, Registered)
    await parts.approvals.approve(done.change_id, 1, "operator:ann", "request-1")
    with pytest.raises(AlreadySubscribed):
        await parts.register("first-again", first)
    moved = await parts.register("second", second)
    assert (moved.customer_id, moved.user_id) == (done.customer_id, done.user_id)
    change = await parts.approvals.get(moved.change_id)
    assert change.before["person"]["phone_number"] == first
    await parts.approvals.approve(moved.change_id, 1, "operator:ann", "request-2")
    for phone in (first, second):
        assert (await parts.subscriptions.check(phone)).customer_id == done.customer_id


async def test_policy_is_asked_before_each_action(parts: Parts) -> None:
    """What the role may not do is refused, and an opening beyond the limit of the day has no room."""
    policy = Policy(frozenset({"account.open"}), kyc_tier=2, openings_per_day=2)
    denied = Policy(frozenset(), kyc_tier=1, openings_per_day=None)
    for action in ("subscription.check", "subscription.register", "account.open"):
        with pytest.raises(NotAllowed):
            denied.require(action)
    now = WallClock().now()
    counted = [
        await parts.database.write(lambda connection: policy.count_opening(connection, "o1", now))
        for _ in range(3)
    ]
    assert counted == [True, True, False]
