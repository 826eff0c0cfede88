"""Opening an account: every answer that a bank can give, and every way to ask twice."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.database_fixtures import KEYS
from tests.services.parts import Script, WallClock, eventually
from ussd_engine.errors import AccountRejected, BankUnavailable, CustomerExists
from ussd_engine.platform import operations
from ussd_engine.platform.operations import Claim
from ussd_engine.ports import (
    Duplicate,
    InProgress,
    NotFound,
    Opened,
    PendingApproval,
    Rejected,
    Unknown,
)
from ussd_engine.services.accounts import AccountOpened
from ussd_engine.services.operations import OperationPending

if TYPE_CHECKING:
    from tests.services.parts import Parts

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_new_customer_gets_one_account_and_is_told_in_the_own_language(parts: Parts) -> None:
    """An opened account is answered, recorded with its user active by policy, and told by SMS in Swahili."""
    phone = "+254711000001"
    done = await parts.open("new-1", phone, language="sw")
    assert isinstance(done, AccountOpened)
    assert await parts.text_comes(phone) == (
        f"Mpendwa Ann, akaunti yako ya Acme Bank {done.account_number} imefunguliwa. Piga tena kuiona."
    )
    account = await parts.one(
        "SELECT a.account_number, u.status, u.language, r.name AS role, p.name AS policy FROM accounts a"
        " JOIN users u ON u.customer_id = a.customer_id JOIN roles r ON r.id = u.role_id"
        " JOIN role_policies rp ON rp.role_id = r.id JOIN policies p ON p.id = rp.policy_id"
        " WHERE a.customer_id = :id",
        id=done.customer_id,
    )
    assert tuple(account) == (done.account_number, "active", "sw", "USSD Role", "USSD Customers")
    change = await parts.one("SELECT * FROM staged_changes WHERE id = :id", id=done.change_id)
    assert (change.state, change.maker, change.checker) == ("approved", "ussd", "policy")
    assert change.reason == "approved by policy"
    actions = await parts.rows("SELECT actor, action FROM audit_log WHERE request_id = 'new-1'")
    assert sorted(map(tuple, actions)) == [
        ("policy", "change.approved"),
        ("ussd", "account.open.success"),
        ("ussd", "change.staged"),
    ]
    (event,) = [e for e in parts.events.published if e.detail.get("change_id") == done.change_id]
    assert (event.kind, event.phone_masked) == ("account.open.done", "+254*******01")
    assert done.account_number not in str(event)
    status = await parts.subscriptions.check(phone)
    assert (status.status, status.language) == ("subscribed", "sw")


async def test_two_hundred_equal_requests_at_once_open_one_account(parts: Parts) -> None:
    """Every duplicate of one request gets the same answer from one opening, and one SMS is sent."""
    phone = "+254711000002"
    answers = await asyncio.gather(*(parts.open("dup-1", phone) for _ in range(200)))
    assert len(set(answers)) == 1
    assert await parts.sandbox.opened_count(phone) == 1
    await parts.text_comes(phone)


async def test_different_requests_for_one_phone_at_once_open_one_account(parts: Parts) -> None:
    """Twenty dials of one phone at once share the first one's account, or are told that it exists."""
    phone = "+254711000003"
    answers = await asyncio.gather(
        *(parts.open(f"many-{i}", phone) for i in range(20)), return_exceptions=True
    )
    opened = {answer for answer in answers if isinstance(answer, AccountOpened)}
    assert len(opened) == 1
    assert all(isinstance(a, AccountOpened | CustomerExists) for a in answers)
    assert await parts.sandbox.opened_count(phone) == 1
    await parts.text_comes(phone)


async def test_who_stood_behind_a_refused_opening_has_a_turn(parts: Parts) -> None:
    """Two people, one number: the second is promised an SMS, and once the first is refused, is answered for itself."""
    phone = "+254711000098"
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def refuses_slowly() -> Rejected:
        reached.set()
        await go_on.wait()
        return Rejected("RULE")

    parts.bank.scripts[phone] = Script(search=[NotFound()], open=[refuses_slowly, Opened("REF-98", "ACC-98")])
    first = asyncio.create_task(parts.open("refused-1", phone))
    await reached.wait()
    assert isinstance(await parts.open("behind-1", phone, first_name="Eve"), OperationPending)
    go_on.set()
    with pytest.raises(AccountRejected):
        await first
    for _ in range(2):
        opened = await parts.open("behind-1", phone, first_name="Eve")
        assert isinstance(opened, AccountOpened)
        assert opened.account_number == "ACC-98"


async def test_a_finished_request_answers_again_the_same(parts: Parts) -> None:
    """The result of a workflow id is final, also when the same id comes with another wish."""
    phone = "+254711000004"
    first = await parts.open("again-1", phone)
    await parts.text_comes(phone)
    await eventually(lambda: _idle(parts))
    assert await parts.open("again-1", phone, first_name="Bea") == first
    with pytest.raises(CustomerExists):
        await parts.open("again-2", phone)
    with pytest.raises(CustomerExists):
        await parts.open("again-2", phone)


async def _idle(parts: Parts) -> bool:
    return not parts.workflows._runs


async def test_an_existing_customer_is_sent_to_registration(parts: Parts) -> None:
    """A phone number that the bank knows opens nothing, and no SMS is sent for an answered refusal."""
    with pytest.raises(CustomerExists):
        await parts.open("exists-1", "+254700000001")
    assert await parts.state("+254700000001") == "refused"
    assert await parts.texts("+254700000001") == []


@pytest.mark.parametrize("phone", ["+254700000003", "+254700000004"])
async def test_a_bank_that_cannot_be_searched_leaves_nothing_behind(parts: Parts, phone: str) -> None:
    """When the search gets no answer, nothing is opened or recorded, and a later dial may try again."""
    for attempt in ("a", "b"):
        with pytest.raises(BankUnavailable):
            await parts.open(f"down-{phone}-{attempt}", phone)
    assert await parts.state(phone) == "failed"
    assert await parts.sandbox.opened_count(phone) == 0


async def test_a_lost_answer_is_found_by_our_id_and_told_by_sms(parts: Parts) -> None:
    """The caller of a lost answer is promised an SMS, which comes with the number; a re-dial opens nothing."""
    phone = "+254700000005"
    told = await parts.open("lost-1", phone)
    assert isinstance(told, OperationPending)
    again = await parts.open("lost-2", phone)
    if isinstance(again, OperationPending):
        assert again == told
    text = await parts.text_comes(phone)
    (account,) = await parts.rows(
        "SELECT account_number FROM accounts a JOIN identities i"
        " ON i.customer_id = a.customer_id WHERE i.value = :p",
        p=phone,
    )
    assert account.account_number in text
    done = await parts.open("lost-1", phone)
    assert isinstance(done, AccountOpened)
    assert await parts.sandbox.opened_count(phone) == 1


async def test_an_opening_that_waits_at_the_bank_is_followed_to_its_end(parts: Parts) -> None:
    """A pending approval is answered at once as pending, and ends with an SMS when the bank approves."""
    phone = "+254700000006"
    told = await parts.open("pending-1", phone, wait_s=60)
    assert isinstance(told, OperationPending)
    assert (await parts.subscriptions.check(phone)).status == "pending_approval"
    assert await parts.open("pending-2", phone, wait_s=60) == told
    row = await parts.one("SELECT * FROM operations WHERE id = :id", id=told.operation_id)
    assert row.bank_reference
    assert "is open" in await parts.text_comes(phone)
    assert (await parts.subscriptions.check(phone)).status == "subscribed"
    assert isinstance(await parts.open("pending-2", phone), AccountOpened)


async def test_a_rejection_is_answered_without_an_sms(parts: Parts) -> None:
    """Who hears the refusal on the screen needs no message; staff find the bank's code in the audit."""
    phone = "+254700000007"
    with pytest.raises(AccountRejected):
        await parts.open("no-1", phone)
    with pytest.raises(AccountRejected):
        await parts.open("no-1", phone)
    assert await parts.texts(phone) == []
    (entry,) = await parts.rows("SELECT reason FROM audit_log WHERE request_id = 'no-1'")
    assert entry.reason == "SANDBOX_RULE"


async def test_a_pending_opening_that_the_bank_refuses_is_told_by_sms(parts: Parts) -> None:
    """A promised SMS comes for a refusal too."""
    phone = "+254711000010"
    parts.bank.scripts[phone] = Script(
        open=[PendingApproval("REF1")], find=[PendingApproval("REF1"), Rejected("KYC")]
    )
    assert isinstance(await parts.open("late-no", phone), OperationPending)
    assert await parts.text_comes(phone) == (
        "Dear Ann, Acme Bank could not open an account for you. Please visit a branch."
    )
    with pytest.raises(AccountRejected):
        await parts.open("late-no", phone)
    assert await parts.state(phone) == "refused"


async def test_what_never_reached_the_bank_is_sent_again_under_the_same_key(parts: Parts) -> None:
    """After an unknown outcome that the bank has never heard of, the second try carries the same two ids."""
    phone = "+254711000011"
    opened = Opened("REF-11", "ACC-11")
    script = Script(open=[Unknown("timeout"), Unknown("timeout"), opened], find=[NotFound()])
    parts.bank.scripts[phone] = script
    assert isinstance(await parts.open("resend", phone), OperationPending)
    assert "ACC-11" in await parts.text_comes(phone)
    assert len(script.keys) == 3
    assert len(set(script.keys)) == 1


async def test_in_progress_is_asked_about_and_never_sent_again(parts: Parts) -> None:
    """While the bank still works on a request, it is only asked, even if it once finds nothing."""
    phone = "+254711000012"
    script = Script(
        open=[InProgress()],
        find=[BankUnavailable("down"), *[NotFound()] * 4, InProgress(), Opened("REF-12", "ACC-12")],
    )
    parts.bank.scripts[phone] = script
    assert isinstance(await parts.open("progress", phone), OperationPending)
    assert "ACC-12" in await parts.text_comes(phone)
    assert len(script.keys) == 1


async def test_a_duplicate_that_is_ours_is_our_account(parts: Parts) -> None:
    """A bank that calls our own repeated opening a duplicate is asked by our id, and the account recorded."""
    phone = "+254711000013"
    parts.bank.scripts[phone] = Script(open=[Duplicate("external_id")], find=[Opened("REF-13", "ACC-13")])
    done = await parts.open("ours", phone)
    assert done.account_number == "ACC-13"


async def test_a_duplicate_that_is_not_ours_is_an_existing_customer(parts: Parts) -> None:
    """A national id that another customer of the bank has opens nothing."""
    phone = "+254711000014"
    parts.bank.scripts[phone] = Script(open=[Duplicate("national_id")], find=[NotFound()])
    with pytest.raises(CustomerExists):
        await parts.open("theirs", phone)
    assert await parts.state(phone) == "refused"


async def test_an_opening_that_certainly_had_no_effect_may_be_tried_again(parts: Parts) -> None:
    """BankUnavailable from the opening ends the operation as failed; the next dial opens the account."""
    phone = "+254711000015"
    parts.bank.scripts[phone] = Script(open=[BankUnavailable("down"), Opened("REF-15", "ACC-15")])
    with pytest.raises(BankUnavailable):
        await parts.open("try-1", phone)
    assert (
        await parts.rows(
            "SELECT 1 FROM staged_changes WHERE operation_id IN"
            " (SELECT id FROM operations WHERE phone_number = :p)",
            p=phone,
        )
        == []
    )
    assert (await parts.open("try-2", phone)).account_number == "ACC-15"


async def test_a_caller_who_cannot_wait_is_told_later(parts: Parts) -> None:
    """When the time is up before the bank answers, an SMS is promised, and a refusal comes by SMS as well."""
    phone = "+254711000016"
    slow = asyncio.Event()

    async def wait_then_refuse() -> Rejected:
        await slow.wait()
        return Rejected("KYC")

    parts.bank.scripts[phone] = Script(open=[wait_then_refuse])
    told = await parts.open("slow-1", phone, wait_s=0.2)
    assert isinstance(told, OperationPending)
    slow.set()
    assert "could not open" in await parts.text_comes(phone)


async def test_a_failing_step_of_ours_is_no_dead_end(parts: Parts) -> None:
    """An adapter that breaks in the opening leaves the outcome unknown: asked for, not opened again, told."""
    phone = "+254711000017"
    parts.bank.scripts[phone] = Script(open=[RuntimeError("Ann Sample")], find=[Opened("REF-17", "ACC-17")])
    assert isinstance(await parts.open("broken", phone), OperationPending)
    assert "ACC-17" in await parts.text_comes(phone)


async def test_an_opening_that_was_begun_before_is_never_called_failed(parts: Parts) -> None:
    """Who takes an opening up cannot tell what was sent before: only the bank's own word ends it.

    So it is asked before it is told again, and what would else be "nothing was done" leaves the outcome open.
    """
    phone = "+254711000019"
    claim = Claim("account.open", phone, "begun", "ussd", "Ann Sample", {})
    script = Script(open=[BankUnavailable("down")])
    parts.bank.scripts[phone] = script
    await parts.database.write(lambda c: operations.claim(c, KEYS, claim, WallClock().now()))
    assert isinstance(await parts.open("begun", phone), OperationPending)
    assert script.keys
    assert await parts.state(phone) == "open"
    script.open = [Opened("REF-19", "ACC-19")]
    assert "ACC-19" in await parts.text_comes(phone)
    assert len(set(script.keys)) == 1


async def test_birth_dates_and_ids_are_sealed_at_rest(parts: Parts) -> None:
    """Neither database file holds a date of birth, a national id or an SMS text in clear."""
    phone = "+254711000018"
    await parts.open(
        "sealed", phone, date_of_birth=date(1971, 11, 29), national_id="NATIONAL77", first_name="Zebulon"
    )
    await parts.text_comes(phone)
    platform, workflows = await everything(parts)
    for secret in (b"1971-11-29", b"NATIONAL77", b"Dear Zebulon"):
        assert secret not in platform
        assert secret not in workflows
    assert phone.encode() in platform, "the look into the database sees what stands there"
    assert phone.encode() not in workflows
    assert b"Zebulon" not in workflows


async def everything(parts: Parts) -> tuple[bytes, bytes]:
    """What lies on the disk of each database, or all that can be read from it."""
    if parts.urls.platform.startswith("sqlite"):
        folder = Path(str(parts.database.engine.url.database)).parent
        return tuple(  # type: ignore[return-value]
            (folder / f"{name}.db").read_bytes() + (folder / f"{name}.db-wal").read_bytes()
            for name in ("platform", "workflows")
        )
    found = []
    for url in (parts.urls.platform.replace("+asyncpg", ""), parts.urls.workflows):
        with psycopg.connect(url) as connection:
            tables = connection.execute(
                "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            rows = [
                connection.execute(f"SELECT t::text FROM {name} t".encode()).fetchall() for (name,) in tables
            ]
            found.append(str(rows).encode())
    return found[0], found[1]
