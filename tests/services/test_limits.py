"""What the policy of the USSD role says holds: its limit of openings a day, its tier, its actions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.database_fixtures import KINDS, urls_of
from tests.services.parts import BORN, POLICY, Parts, Script, eventually, running
from ussd_engine.errors import AccountRejected, BankUnavailable, CustomerExists, NotAllowed
from ussd_engine.platform.operations import operation_id
from ussd_engine.ports import NotFound, Rejected, Unknown
from ussd_engine.services.actions import Actions, Invocation
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.policies import Policy, give_back

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ussd_engine.ports import CoreBanking, NewAccount, OpenOutcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

KNOWN, UNAVAILABLE, REJECTED = "+254700000001", "+254700000004", "+254700000007"
BIRTH_DATE = BORN.isoformat()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def parts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Parts]:
    """Two openings a day; a doubt is left to staff soon."""
    folder = tmp_path_factory.mktemp("limits")
    soon = Backoff(first_delay_s=0.02, factor=1, max_delay_s=0.02, give_up_after_s=0.3)
    policy = replace(POLICY, openings_per_day=2)
    urls = urls_of(request.param, folder, request)
    async with running(folder, policy=policy, reconcile=soon, urls=urls) as running_parts:
        yield running_parts


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _a_new_day(parts: Parts) -> None:
    await parts.do("UPDATE operations SET counted_on = NULL")
    await parts.do("DELETE FROM policy_counters")


async def used(parts: Parts) -> int:
    rows = await parts.rows("SELECT used FROM policy_counters")
    return int(rows[0].used) if rows else 0


async def test_what_opens_nothing_takes_up_no_room(parts: Parts) -> None:
    """A refusal by the bank, a customer that it has and a bank that is down leave the day's limit as it was."""
    for number, (phone, refusal) in enumerate(
        ((REJECTED, AccountRejected), (KNOWN, CustomerExists), (UNAVAILABLE, BankUnavailable)) * 2
    ):
        with pytest.raises(refusal):
            await parts.open(f"nothing-{number}", phone)
        assert await used(parts) == 0
    await parts.open("room-1", "+254711000601")
    await parts.open("room-2", "+254711000602")
    with pytest.raises(NotAllowed):
        await parts.open("room-3", "+254711000603")
    with pytest.raises(NotAllowed):  # the same request hears the same
        await parts.open("room-3", "+254711000603")
    assert await used(parts) == 2
    assert await parts.sandbox.opened_count("+254711000603") == 0


async def test_a_doubt_keeps_its_place_until_it_is_known(parts: Parts) -> None:
    """An account may be open where nobody knows; when the bank tells that there is none, there is room again."""
    phone = "+254711000604"
    parts.bank.scripts[phone] = Script(
        search=[NotFound()], open=[Unknown("timeout")], find=[Unknown("timeout")]
    )
    await parts.open("doubt", phone, wait_s=0.1)
    await eventually(lambda: stands(parts, phone, "in_doubt"))
    assert await used(parts) == 1
    parts.bank.scripts[phone].find = [Rejected("RULE")]
    await parts.recovery.retry(operation_id("doubt"), "operator:ann", "request-1")
    await eventually(lambda: stands(parts, phone, "refused"))
    assert await used(parts) == 0


async def test_room_is_made_once_for_each_opening(parts: Parts) -> None:
    """However often the end of an opening is taken up again, and whatever the limit is by then."""
    await parts.open("kept", "+254711000605")
    with pytest.raises(AccountRejected):
        await parts.open("given", REJECTED)
    for _ in range(2):
        await parts.database.write(lambda c: give_back(c, operation_id("given")))
    assert await used(parts) == 1


async def test_an_opening_beyond_the_limit_is_not_allowed_on_the_phone(parts: Parts) -> None:
    """The menu says that it is not allowed, and not that the bank is away."""
    for number in range(2):
        await parts.open(f"full-{number}", f"+25471100061{number}")
    assert await acted(parts, "account.open", "+254711000619") == "not_allowed"


async def acted(parts: Parts, action: str, phone: str) -> str:
    inputs = {
        "phone": phone,
        "first_name": "Ann",
        "last_name": "Sample",
        "birth_date": BIRTH_DATE,
        "language": "en",
        "pin": "8362",
        "old_pin": "8362",
        "new_pin": "9274",
    }
    actions = Actions(
        parts.subscriptions, parts.accounts, parts.profiles, parts.pins, parts.first_pins, parts.workflows
    )
    done = await actions.run(action, Invocation(f"turn:{action}:{phone}", inputs, 5.0))
    return done.outcome


async def stands(parts: Parts, phone: str, state: str) -> bool:
    return await parts.state(phone) == state


async def test_an_action_outside_the_policy_is_not_allowed(tmp_path: Path) -> None:
    """Each action that a flow may name has an outcome for it, and nothing is begun."""
    async with running(tmp_path, policy=Policy(frozenset(), kyc_tier=1, openings_per_day=None)) as denied:
        for action in POLICY.actions:
            assert await acted(denied, action, KNOWN) == "not_allowed"
        assert await denied.rows("SELECT 1 FROM operations") == []


async def test_the_tier_of_the_policy_reaches_the_bank_and_stays_with_the_account(tmp_path: Path) -> None:
    """The bank opens the tier that is configured, and the account is recorded in the tier that it was opened in."""
    asked: list[NewAccount] = []

    def noting(part: Any) -> Any:
        return _Noting(part, asked) if hasattr(part, "open_account") else part

    async with running(tmp_path, policy=replace(POLICY, kyc_tier=3), wrap=noting) as third:
        done = await third.open("tier", "+254711000620")
        assert [request.kyc_tier for request in asked] == [3]
        row = await third.one(
            "SELECT kyc_tier FROM accounts WHERE account_number = :n", n=done.account_number
        )
        assert row.kyc_tier == 3


async def test_an_account_is_of_the_tier_that_it_was_opened_in(tmp_path: Path) -> None:
    """The settings may have changed by the time that the bank's own staff have approved it."""
    phone, wanted = "+254700000006", "SELECT kyc_tier FROM accounts"
    async with running(tmp_path, policy=replace(POLICY, kyc_tier=3)) as before:
        await before.open("tier", phone, wait_s=0.1)
    async with running(tmp_path, policy=replace(POLICY, kyc_tier=1)) as after:
        await eventually(lambda: stands(after, phone, "done"))
        assert [row.kyc_tier for row in await after.rows(wanted)] == [3]


class _Noting:
    """A bank that lets see what it is asked to open."""

    def __init__(self, bank: CoreBanking, asked: list[NewAccount]) -> None:
        self._bank = bank
        self._asked = asked

    def __getattr__(self, name: str) -> object:
        return getattr(self._bank, name)

    async def open_account(
        self, request: NewAccount, *, idempotency_key: str, external_id: str
    ) -> OpenOutcome:
        self._asked.append(request)
        return await self._bank.open_account(
            request, idempotency_key=idempotency_key, external_id=external_id
        )
