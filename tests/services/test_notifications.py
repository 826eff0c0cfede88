"""What happens to a message, and to an event, when those who should take it do not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.services.parts import Script, eventually
from ussd_engine.ports import PendingApproval, Unknown
from ussd_engine.services.backoff import Backoff

if TYPE_CHECKING:
    from typing import Any

    from tests.services.parts import Parts

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


async def _is(parts: Parts, phone: str, state: str) -> bool:
    return bool((await outbox_row(parts, phone)).state == state)
