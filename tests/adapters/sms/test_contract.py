"""What every SMS sender owes the engine, whoever carries the message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ussd_engine.ports import Sms

if TYPE_CHECKING:
    from ussd_engine.ports import SmsSender

PHONE = "+254711000001"


async def test_message_is_accepted_with_a_reference(sender: SmsSender) -> None:
    """An accepted message has a reference of the sender, by which its delivery can be followed."""
    assert (await sender.send(Sms("m-1", PHONE, "Sample text"))).sender_ref


async def test_same_message_is_accepted_again_as_the_same(knowing_sender: SmsSender) -> None:
    """A second attempt with the same message gets the first answer, where the sender knows message ids."""
    first = await knowing_sender.send(Sms("m-1", PHONE, "Sample text"))
    assert await knowing_sender.send(Sms("m-1", PHONE, "Sample text")) == first


async def test_different_messages_have_different_references(sender: SmsSender) -> None:
    """Equal texts to one person are two messages when their ids differ."""
    first = await sender.send(Sms("m-1", PHONE, "Sample text"))
    assert await sender.send(Sms("m-2", PHONE, "Sample text")) != first


async def test_attempts_at_once_are_one_message(knowing_sender: SmsSender) -> None:
    """However many workers send a message at the same moment, all hear of one acceptance."""
    accepted = await asyncio.gather(
        *(knowing_sender.send(Sms("m-1", PHONE, "Sample text")) for _ in range(30))
    )
    assert len(set(accepted)) == 1


async def test_any_text_is_taken(sender: SmsSender) -> None:
    """Line breaks, quotes and characters beyond GSM-7 are a text like any other."""
    text = "Habari Zo\u00eb,\n'1' \u20ac \U0001f600"
    assert (await sender.send(Sms("m-1", PHONE, text))).sender_ref
