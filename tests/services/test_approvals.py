"""Maker and checker, where policy approves registrations and leaves openings to staff."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.database_fixtures import KEYS, KINDS, urls_of
from tests.services.parts import Parts, Script, eventually, running
from ussd_engine.platform import changes
from ussd_engine.platform.audit import verify
from ussd_engine.platform.operations import operation_id
from ussd_engine.ports import Found, Holder
from ussd_engine.services.approvals import (
    ChangeConflict,
    ChangeDecided,
    ChangeExpired,
    ChangeNotFound,
    ChangeStale,
    Request,
    SelfApproval,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def parts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Parts]:
    folder = tmp_path_factory.mktemp("approvals")
    urls = urls_of(request.param, folder, request)
    async with running(folder, automatic=frozenset({"subscription.register"}), urls=urls) as running_parts:
        yield running_parts


async def test_automatic_approval_activates_and_tells(parts: Parts) -> None:
    """Where policy approves registrations, the subscriber is active at once and hears it by SMS."""
    phone = "+254700000001"
    done = await parts.register("auto", phone)
    assert await parts.text_comes(phone) == (
        "Dear Jane, you are registered for Acme Bank on your phone. Dial again to begin."
    )
    assert (await parts.subscriptions.check(phone)).subscribed
    change = await parts.one("SELECT * FROM staged_changes WHERE id = :id", id=done.change_id)
    assert (change.state, change.checker, change.version) == ("approved", "policy", 2)


async def test_a_staged_opening_waits_and_is_told_when_it_is_approved(parts: Parts) -> None:
    """The account is open at the bank; here the customer is written, and active, once staff approve: and is told."""
    phone = "+254711000030"
    done = await parts.open("staged", phone)
    assert (await parts.subscriptions.check(phone)).status == "pending_approval"
    assert done.account_number in await parts.text_comes(phone)
    assert not await parts.rows("SELECT 1 FROM customers WHERE id = :id", id=done.customer_id)
    change = await parts.approvals.get(done.change_id)
    assert change.before == {}
    assert change.after["person"]["first_name"] == "Ann"
    decided = await parts.approvals.approve(change.id, change.version, "operator:ann", "request-1")
    assert (decided.state, decided.checker, decided.version) == ("approved", "operator:ann", 2)
    assert (await parts.subscriptions.check(phone)).subscribed
    await eventually(lambda: said(parts, phone, 2))
    assert "you are registered" in (await parts.texts(phone))[1]


async def test_a_rejected_change_stays_with_its_reason(parts: Parts) -> None:
    """Who rejected it and why is kept; nothing is written, and the subscriber hears of it, and may try again."""
    phone = "+254711000036"
    done = await parts.open("rejected", phone)
    await parts.approvals.reject(done.change_id, 1, "operator:ann", "request-1", "the name is not real")
    change = await parts.approvals.get(done.change_id)
    assert (change.state, change.checker, change.reason) == (
        "rejected",
        "operator:ann",
        "the name is not real",
    )
    assert not await parts.rows("SELECT 1 FROM customers WHERE id = :id", id=done.customer_id)
    await eventually(lambda: said(parts, phone, 2))
    assert "could not accept" in (await parts.texts(phone))[1]
    assert (await parts.subscriptions.check(phone)).status == "existing_customer"


async def test_of_two_checkers_at_the_same_moment_one_decides(parts: Parts) -> None:
    """Any number of checkers at once: one decision, and the others are told that it was taken."""
    done = await parts.open("once", "+254711000031")
    answers = await asyncio.gather(
        *(
            parts.approvals.approve(done.change_id, 1, f"operator:o{n}", f"request-{n}")
            if n % 2
            else parts.approvals.reject(done.change_id, 1, f"operator:o{n}", f"request-{n}", "no")
            for n in range(10)
        ),
        return_exceptions=True,
    )
    decided = [answer for answer in answers if isinstance(answer, changes.StagedChange)]
    refused = [answer for answer in answers if isinstance(answer, ChangeDecided)]
    assert (len(decided), len(refused)) == (1, 9)
    assert str(decided[0].checker) in str(refused[0])
    audited = await parts.rows(
        "SELECT action FROM audit_log WHERE reason LIKE :r AND action <> 'change.staged'",
        r=f"%{done.change_id}",
    )
    assert [row.action for row in audited] == [f"change.{decided[0].state}"]


async def test_an_old_version_is_not_decided(parts: Parts) -> None:
    """Who read another version than there is decides on nothing."""
    done = await parts.open("stale", "+254711000032")
    for version in (0, 7):
        with pytest.raises(ChangeStale):
            await parts.approvals.approve(done.change_id, version, "operator:ann", "request-1")
    with pytest.raises(ChangeNotFound):
        await parts.approvals.approve("no-such-change", 1, "operator:ann", "request-1")
    assert (await parts.approvals.get(done.change_id)).state == "pending"


async def test_a_record_that_has_changed_since_is_not_overwritten(parts: Parts) -> None:
    """A change was made against what the maker saw; when the record is another by then, it is refused."""
    phone = "+254711000037"
    done = await parts.open("opened", phone)
    await parts.approvals.approve(done.change_id, 1, "operator:ann", "request-1")
    known = await parts.subscriptions.check(phone)
    assert known.user_id

    def language(wanted: str, change_id: str, kind: str = "subscription.language") -> Request:
        return Request(
            id=change_id,
            kind=kind,
            entity="users",
            entity_id=str(known.user_id),
            before={"language": "en"},
            after={"language": wanted},
            context={},
            maker="operator:bob",
            maker_reason="asked at the counter",
            request_id="request-2",
        )

    first = await parts.approvals.propose(language("sw", "change-sw"))
    assert not first.approved
    with pytest.raises(ChangeConflict):
        await parts.approvals.propose(language("fr", "change-fr"))
    # another change of the same record, of another kind, is decided first
    await parts.database.write(lambda c: changes.advance(c, "users", str(known.user_id), 0) and None)
    with pytest.raises(ChangeStale, match="after this change was asked for"):
        await parts.approvals.approve("change-sw", 1, "operator:ann", "request-3")
    assert (await parts.subscriptions.check(phone)).language == "en"
    assert (await parts.approvals.get("change-sw")).state == "pending"


async def test_what_nobody_decides_on_expires_and_is_told(parts: Parts) -> None:
    """A change whose time is up can no longer be approved; it ends by itself, and the subscriber hears of it."""
    phone = "+254711000038"
    done = await parts.open("late", phone)
    await parts.do("UPDATE staged_changes SET expires_at = created_at WHERE id = :id", id=done.change_id)
    with pytest.raises(ChangeExpired):
        await parts.approvals.approve(done.change_id, 1, "operator:ann", "request-1")
    await parts.approvals.expire()
    assert (await parts.approvals.get(done.change_id)).state == "expired"
    await eventually(lambda: said(parts, phone, 2))
    await parts.approvals.expire()
    assert len(await parts.texts(phone)) == 2


async def test_how_long_a_change_waits_is_configured(tmp_path: Path) -> None:
    """A bank that wants decisions within a week says so."""
    async with running(tmp_path, automatic=frozenset(), expires_after=timedelta(days=7)) as weekly:
        done = await weekly.open("weekly", "+254711000035")
        change = await weekly.approvals.get(done.change_id)
        assert change.expires_at - change.created_at == timedelta(days=7)


async def test_the_maker_is_never_the_checker(parts: Parts) -> None:
    """Who asked is refused, with words; and the database itself refuses what would get past that."""
    done = await parts.open("eyes", "+254711000033")
    for decide in (
        parts.approvals.approve(done.change_id, 1, "ussd", "request-1"),
        parts.approvals.reject(done.change_id, 1, "ussd", "request-1", "no"),
    ):
        with pytest.raises(SelfApproval):
            await decide
    change = await parts.approvals.get(done.change_id)

    def past_the_service(connection: Any) -> None:
        changes.decide(connection, change, "approved", change.maker, None, datetime.now(UTC))

    with pytest.raises(IntegrityError, match="four_eyes"):
        await parts.database.write(past_the_service)


async def test_a_number_that_moved_to_another_customer_is_for_staff(parts: Parts) -> None:
    """The bank knows the number under another customer than the platform: nothing moves until staff decide twice."""
    phone = "+254711000039"
    script(parts, phone, "REF-OLD", "Old")
    old = await parts.register("old-owner", phone)
    assert (await parts.subscriptions.check(phone)).customer_id == old.customer_id
    script(parts, phone, "REF-NEW", "New")
    new = await parts.register("new-owner", phone)  # policy would approve a registration, but not this one
    assert new.customer_id != old.customer_id
    assert (await parts.subscriptions.check(phone)).status == "pending_approval"
    with pytest.raises(ChangeConflict, match=r"decide on .* first") as conflict:
        await parts.approvals.approve(new.change_id, 1, "operator:ann", "request-1")
    (move,) = await parts.rows("SELECT * FROM staged_changes WHERE kind = 'identity.move'")
    assert move.id in str(conflict.value)
    await parts.approvals.approve(move.id, 1, "operator:ann", "request-2")
    await parts.approvals.approve(new.change_id, 1, "operator:bob", "request-3")
    found = await parts.subscriptions.check(phone)
    assert (found.status, found.customer_id) == ("subscribed", new.customer_id)


async def test_an_address_that_two_customers_share_keeps_nobody_waiting(parts: Parts) -> None:
    """A family may have one email address: it stays with the first, staff are told, and both are subscribers."""
    for number, ref in (("+254711000042", "REF-42"), ("+254711000043", "REF-43")):
        script(parts, number, ref, "Shared", email="family@sample.example")
        await parts.register(f"shared-{ref}", number)
        assert (await parts.subscriptions.check(number)).status == "subscribed"
    waiting = await parts.approvals.waiting("pending", 50)
    assert [one.before["type"] for one in waiting if one.kind == "identity.move"] == ["email"]


async def test_the_language_is_a_change_as_well(parts: Parts) -> None:
    """Where staff decide on languages, the wish waits; taken up twice, it is asked for once."""
    phone = "+254711000040"
    done = await parts.open("speaks", phone)
    await parts.approvals.approve(done.change_id, 1, "operator:ann", "request-1")
    for _ in range(2):
        assert await parts.profiles.set_language("speak-1", phone, "sw", wait_s=5) == "staged"
    assert await parts.profiles.workflow(
        {"workflow_id": "speak-1", "phone_number": phone, "language": "sw"}
    ) == {"kind": "staged"}
    await parts.approvals.approve(operation_id("speak-1"), 1, "operator:ann", "request-2")
    assert (await parts.subscriptions.check(phone)).language == "sw"
    assert await parts.profiles.set_language("speak-2", phone, "sw", wait_s=5) == "changed"
    assert await parts.profiles.set_language("speak-3", "+254711000041", "sw", wait_s=5) == "not_found"


async def test_the_audit_log_only_grows_and_its_chain_holds(parts: Parts) -> None:
    """An entry can be neither changed nor deleted, not even by hand; the chain of all that happened here is whole."""
    await parts.open("audit", "+254711000034")
    for statement in ("UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"):
        with pytest.raises(DBAPIError, match="append-only"):
            await parts.do(statement)
    assert await parts.database.read(lambda c: list(verify(c, KEYS))) == []


async def said(parts: Parts, phone: str, times: int) -> bool:
    return len(await parts.texts(phone)) == times


def script(parts: Parts, phone: str, ref: str, name: str, email: str | None = None) -> None:
    born = datetime(1990, 1, 15, tzinfo=UTC).date()
    parts.bank.scripts[phone] = Script(search=[Found(ref)])
    parts.bank.scripts[ref] = Script(details=[Holder(ref, name, "Sample", phone, born, email=email)])
