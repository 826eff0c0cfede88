"""What happens to a message, and to an event, when those who should take it do not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.database_fixtures import KEYS
from tests.outbox_rows import Message, put
from tests.services.parts import HELD_FOR_S, PERSIST, RETRY, Script, eventually
from ussd_engine.platform import outbox
from ussd_engine.platform.operations import operation_id as operation_id_of
from ussd_engine.ports import Opened, PendingApproval, Unknown
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.notifications import Notifications
from ussd_engine.services.workflows import Workflows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from tests.services.parts import Parts
    from ussd_engine.platform.outbox import Notification

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def outbox_row(parts: Parts, phone: str) -> Any:
    return await parts.one(
        "SELECT n.* FROM notifications n JOIN operations o ON o.id = n.operation_id"
        " WHERE o.phone_number = :phone",
        phone=phone,
    )


async def test_an_unavailable_sender_is_tried_again(parts: Parts) -> None:
    """Two failures later the message goes out, once, and the outbox counts three attempts."""
    phone = "+254711000040"
    parts.sms.unavailable[phone] = 2
    await parts.open("retry", phone)
    await parts.text_comes(phone)
    await eventually(lambda: _is(parts, phone, "sent"))
    row = await outbox_row(parts, phone)
    assert (row.attempts, row.sender_ref) == (3, f"console-{row.id}")


async def test_a_message_that_is_refused_for_good_is_marked_failed(parts: Parts) -> None:
    """A refusal is final: one attempt, and staff see the failed message; the account stays open."""
    phone = "+254711000041"
    parts.sms.rejected.add(phone)
    done = await parts.open("refused", phone)
    await eventually(lambda: _is(parts, phone, "failed"))
    assert (await outbox_row(parts, phone)).attempts == 1
    assert done.account_number


async def test_retries_end_and_the_message_is_left_to_staff(parts: Parts) -> None:
    """A sender that stays down ends in a failed message, not in an endless loop."""
    phone = "+254711000042"
    parts.sms.unavailable[phone] = 10_000
    await parts.open("never", phone)
    await eventually(lambda: _is(parts, phone, "failed"))
    assert await parts.texts(phone) == []


async def test_a_dashboard_that_is_down_does_not_hold_the_message_back(parts: Parts) -> None:
    """The SMS goes out while the feed is down, and the event follows when the feed is back."""
    phone = "+254711000043"
    parts.events.failures = 2
    done = await parts.open("feed", phone)
    await parts.text_comes(phone)

    async def published() -> bool:
        return any(e.detail.get("change_id") == done.change_id for e in parts.events.published)

    await eventually(published)
    ids = [event.event_id for event in parts.events.published]
    assert len(ids) == len(set(ids))


async def test_an_unknown_language_gets_the_default_text(parts: Parts) -> None:
    """A subscriber whose language has no text is told in the default language."""
    await parts.open("lang", "+254711000044", language="fr")
    assert (await parts.text_comes("+254711000044")).startswith("Dear Ann, your Acme Bank account")


async def test_what_the_bank_never_tells_is_left_to_staff_and_said_so(parts: Parts) -> None:
    """When the time to reconcile is up the operation is in doubt, still blocks a second opening, and is told."""
    phone = "+254711000045"
    script = Script(open=[Unknown("timeout")], find=[PendingApproval("REF-45")])
    parts.bank.scripts[phone] = script
    opening = parts.accounts._opening
    usual, opening._reconcile = opening._reconcile, _short()
    try:
        told = await parts.open("doubt", phone)
        assert "our staff are checking" in await parts.text_comes(phone)
    finally:
        opening._reconcile = usual
    assert await parts.state(phone) == "in_doubt"
    assert await parts.open("doubt-2", phone) == told
    assert await parts.open("doubt", phone) == told
    assert len(script.keys) == 1
    assert (await parts.subscriptions.check(phone)).status == "pending_approval"


def _short() -> Backoff:
    return Backoff(first_delay_s=0.05, factor=1, max_delay_s=0.05, give_up_after_s=0.15)


async def test_a_failure_that_was_promised_a_message_gets_one(parts: Parts) -> None:
    """A promised SMS comes also when nothing was opened in the end."""
    phone = "+254711000046"
    hold = asyncio.Event()

    async def wait_then_break() -> RuntimeError:
        await hold.wait()
        return RuntimeError("Ann Sample broke it")

    parts.bank.scripts[phone] = Script(search=[wait_then_break])
    await parts.open("promised", phone, wait_s=0.1)
    hold.set()
    assert "was not opened" in await parts.text_comes(phone)
    assert await parts.state(phone) == "failed"


async def test_one_workflow_delivers_a_message_that_two_would(parts: Parts) -> None:
    """Staff try an operation again while its first workflow is still at the sender: nobody calls it a second time."""
    phone = "+254711000047"
    parts.sms.held[phone] = release = asyncio.Event()
    async with left_in_doubt(parts, phone, "twice") as operation_id:
        await eventually(lambda: _called(parts, phone))
        await parts.recovery.retry(operation_id, "operator:ann", "request-1")

        async def tried_again() -> bool:
            return f"retry:{operation_id}:1" not in await parts.workflows.under_way()

        await eventually(tried_again)
    release.set()
    await parts.text_comes(phone)
    (message,) = await _messages(parts, phone)
    assert parts.sms.calls.count(message.id) == 1


async def test_a_worker_that_comes_back_sends_nothing_that_another_has_sent(parts: Parts) -> None:
    """It goes by the row, and not by what it remembers of it."""
    message = await _queued(parts)
    await beside(parts).deliver(message)
    await parts.notifications.deliver(message)
    assert parts.sms.calls.count(message.id) == 1


async def test_an_attempt_of_another_worker_is_waited_for(parts: Parts) -> None:
    """Two workers want to send the same message: the second does not call while the first may still be heard."""
    message = await _queued(parts)
    parts.sms.held[message.phone_number] = release = asyncio.Event()
    first = asyncio.create_task(beside(parts, held_for_s=3600).deliver(message))
    await eventually(lambda: _begun(parts, message))
    second = asyncio.create_task(parts.notifications.deliver(message))
    release.set()
    await asyncio.gather(first, second)
    assert parts.sms.calls.count(message.id) == 1


async def test_an_attempt_that_was_cut_off_is_made_again_and_counted(parts: Parts) -> None:
    """Its worker died in the midst of it: after a while another tries, and the first attempt is not forgotten."""
    message = await _queued(parts)
    await parts.database.write(lambda c: outbox.begin_attempt(c, message.id, "dead", None))
    await parts.notifications.deliver(message)
    row = await _row(parts, message)
    assert (row.state, row.attempts, row.uncertain) == ("sent", 2, 1)


async def test_attempts_that_were_cut_off_are_not_repeated_for_ever(parts: Parts) -> None:
    """Each may have reached the subscriber: the third is the last, also when a crash ended every one of them."""
    message = await _queued(parts)
    for _ in range(outbox.UNCERTAIN_ATTEMPTS):
        assert (
            await parts.database.write(lambda c: outbox.begin_attempt(c, message.id, "test", None)) == "begun"
        )
    await parts.notifications.deliver(message)
    row = await _row(parts, message)
    assert (row.state, row.failure, row.attempts) == ("failed", "uncertain", 3)
    assert parts.sms.calls.count(message.id) == 0


async def test_operators_hear_of_a_failure_when_the_feed_is_back(parts: Parts) -> None:
    """A message is refused while the feed is down: the next round tells of it, once."""
    phone = "+254711000048"
    parts.sms.rejected.add(phone)
    parts.events.failures = 2
    await parts.open("unheard", phone)
    await eventually(lambda: _is(parts, phone, "failed"))
    row = await outbox_row(parts, phone)

    async def heard() -> bool:
        await parts.notifications.tell_failures()
        return any(event.detail.get("notification_id") == row.id for event in parts.events.published)

    await eventually(heard)
    await parts.notifications.tell_failures()
    kinds = [e.kind for e in parts.events.published if e.detail.get("notification_id") == row.id]
    assert kinds == ["sms.failed"]


async def test_a_message_that_says_how_it_ended_goes_before_one_that_waits(parts: Parts) -> None:
    """Nobody hears that staff are checking after hearing that the account is open; the list still shows it."""
    phone = "+254711000049"
    parts.sms.held[phone] = release = asyncio.Event()
    async with left_in_doubt(parts, phone, "late") as operation_id:
        await eventually(lambda: _called(parts, phone))
        parts.bank.scripts[phone].find = [Opened("REF-49", "ACC-49")]
        await parts.recovery.retry(operation_id, "operator:ann", "request-1")
    assert "ACC-49" in await parts.text_comes(phone)
    parts.sms.unavailable[phone] = 1
    release.set()

    async def at_rest() -> bool:
        return "late" not in await parts.workflows.under_way()

    await eventually(at_rest)
    states = {row.event: row.state for row in await _messages(parts, phone)}
    assert states == {"account_delayed": "superseded", "account_opened": "sent"}
    assert len(await parts.texts(phone)) == 1


@asynccontextmanager
async def left_in_doubt(parts: Parts, phone: str, key: str) -> AsyncIterator[str]:
    """The id of an opening that the bank tells nothing of, neither now nor when it is asked again."""
    parts.bank.scripts[phone] = Script(open=[Unknown("timeout")], find=[PendingApproval("REF")])
    opening = parts.accounts._opening
    usual, opening._reconcile = opening._reconcile, _short()
    try:
        await parts.open(key, phone)

        async def in_doubt() -> bool:
            return await parts.state(phone) == "in_doubt"

        await eventually(in_doubt)
        yield operation_id_of(key)
    finally:
        opening._reconcile = usual


async def _row(parts: Parts, message: Notification) -> Any:
    return await parts.one("SELECT * FROM notifications WHERE id = :id", id=message.id)


async def _queued(parts: Parts) -> Notification:
    """A message in the outbox that nobody works on."""
    id_ = str(uuid4())
    await parts.database.write(lambda c: put(c, Message(id_, state="queued"), KEYS))
    await parts.do("UPDATE notifications SET attempts = 0 WHERE id = :id", id=id_)
    return await parts.database.read(lambda c: outbox.get(c, KEYS, id_))


def beside(parts: Parts, held_for_s: float = HELD_FOR_S) -> Notifications:
    """The notifications of another worker on the same database."""
    own = parts.notifications
    other = Workflows(
        parts.urls.workflows, KEYS, executor_id="other", application_version="1", persist=PERSIST
    )
    return Notifications(
        own._database, KEYS, own._clock, other, own._sms, own._events, own._templates, RETRY, held_for_s
    )


async def _begun(parts: Parts, message: Notification) -> bool:
    return (await _row(parts, message)).attempt_by is not None


async def _messages(parts: Parts, phone: str) -> list[Any]:
    return await parts.rows(
        "SELECT n.* FROM notifications n JOIN operations o ON o.id = n.operation_id WHERE o.phone_number = :phone",
        phone=phone,
    )


async def _called(parts: Parts, phone: str) -> bool:
    ids = {row.id for row in await _messages(parts, phone)}
    return not ids.isdisjoint(parts.sms.calls)


async def _is(parts: Parts, phone: str, state: str) -> bool:
    return bool((await outbox_row(parts, phone)).state == state)
