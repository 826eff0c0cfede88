"""Africa's Talking over real HTTP: what is sent, what each answer means, and the delivery reports."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from adapters.gateways.form import MEDIA_TYPE
from adapters.sms.africastalking import parse_report
from ussd_engine.errors import BadCallback, SmsRejected, SmsUnavailable, SmsUncertain, UssdError
from ussd_engine.ports import DeliveryReport, Sms, SmsAccepted

from .conftest import API_KEY, sending_to
from .sender_server import taken

if TYPE_CHECKING:
    from .sender_server import SenderServer

PHONE = "+254711000001"
SMS = Sms("m-1", PHONE, "Dear Jane Sample, a & b + c = \u20ac")
REPORT = {
    "id": "ATXid_sample",
    "status": "Success",
    "phoneNumber": "%2B254711000001",
    "networkCode": "63902",
    "retryCount": "0",
}


async def error_of(server: SenderServer, *, timeout_s: float = 20.0) -> UssdError:
    """What sending raises; nobody's name or number is in it or in the log."""
    async with sending_to(server.url, timeout_s=timeout_s) as sender:
        with capture_logs() as logs, pytest.raises((SmsUnavailable, SmsRejected)) as caught:
            await sender.send(SMS)
    said = f"{logs}{caught.value}"
    assert not any(secret in said for secret in ("Jane", PHONE, API_KEY))
    return caught.value


# --- the request and an acceptance ----------------------------------------------------------------------


async def test_request_is_the_sender_s_form(server: SenderServer) -> None:
    """User, receiver and text stand in the form, the key in a header, and an answer in JSON is asked for."""
    async with sending_to(server.url, sender_id="ACMEBANK") as sender:
        assert await sender.send(SMS) == SmsAccepted("ATXid_1")
    ((headers, form),) = server.requests
    assert form == {
        "username": "sample",
        "to": PHONE,
        "message": SMS.text,
        "bulkSMSMode": "1",
        "enqueue": "1",
        "from": "ACMEBANK",
    }
    assert headers["apiKey"] == API_KEY
    assert headers["Accept"] == "application/json"
    assert headers["Content-Type"].startswith(MEDIA_TYPE)


async def test_without_a_sender_id_the_account_s_own_is_taken(server: SenderServer) -> None:
    """An empty sender id is refused by the sender, so none is named."""
    async with sending_to(server.url) as sender:
        await sender.send(SMS)
    assert "from" not in server.requests[0][1]


@pytest.mark.parametrize("code", [100, 101, 102])
async def test_processed_sent_and_queued_are_accepted(server: SenderServer, code: int) -> None:
    """The code tells, and its words do not: they are the same for all three."""
    server.answers(201, body=taken(PHONE, code))
    async with sending_to(server.url) as sender:
        assert await sender.send(SMS) == SmsAccepted("ATXid_sample")


@pytest.mark.parametrize("message_id", ["None", "", None, "254711000001", "a b", "a" * 129])
async def test_acceptance_without_a_usable_id_is_an_acceptance(
    server: SenderServer, message_id: object
) -> None:
    """To send again would be to send twice: no report can be matched, and that is all that is lost."""
    server.answers(201, body=taken(PHONE, message_id=message_id))
    async with sending_to(server.url) as sender:
        assert await sender.send(SMS) == SmsAccepted(None)


# --- certainly not accepted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (401, "RiskHold"),
        (402, "InvalidSenderId"),
        (403, "InvalidPhoneNumber"),
        (404, "UnsupportedNumberType"),
        (406, "UserInBlacklist"),
        (502, "RejectedByGateway"),
    ],
)
async def test_refusal_of_this_receiver_is_for_good(server: SenderServer, code: int, reason: str) -> None:
    """To try again would be refused again; the reason is kept for staff."""
    server.answers(201, body=taken(PHONE, code, "None"))
    error = await error_of(server)
    assert isinstance(error, SmsRejected)
    assert error.reason == reason


@pytest.mark.parametrize("code", [405, 407, 500, 501])
async def test_trouble_that_passes_is_worth_another_try(server: SenderServer, code: int) -> None:
    """An account without balance is topped up, and a gateway comes back."""
    server.answers(201, body=taken(PHONE, code, "None"))
    assert type(await error_of(server)) is SmsUnavailable


@pytest.mark.parametrize(
    ("word", "reason"),
    [("InvalidSenderId", "InvalidSenderId"), (f"{PHONE} is bad", "unknown"), ("", "unknown")],
)
async def test_request_without_an_accepted_receiver_is_refused(
    server: SenderServer, word: str, reason: str
) -> None:
    """HTTP 201 with nobody in it accepted nothing. Its word is kept where it is a code."""
    server.answers(201, body={"SMSMessageData": {"Message": word, "Recipients": []}})
    error = await error_of(server)
    assert isinstance(error, SmsRejected)
    assert error.reason == reason


async def test_request_refused_for_want_of_balance_is_worth_another_try(server: SenderServer) -> None:
    """The word for the whole request means what the code of a receiver means."""
    server.answers(201, body={"SMSMessageData": {"Message": "InsufficientBalance", "Recipients": []}})
    assert type(await error_of(server)) is SmsUnavailable


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_bad_request_is_refused_for_good(server: SenderServer, status: int) -> None:
    """The message itself is at fault, and it will not change."""
    server.answers(status, text="Request is missing a field")
    error = await error_of(server)
    assert isinstance(error, SmsRejected)
    assert error.reason == f"http_{status}"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
async def test_account_address_and_rate_can_be_mended(server: SenderServer, status: int) -> None:
    """A wrong key or too many messages at once lose no message: it waits until that is put right."""
    server.answers(status, text="The supplied authentication is invalid")
    assert type(await error_of(server)) is SmsUnavailable


async def test_redirect_is_not_followed(server: SenderServer) -> None:
    """Key, number and text go to the configured address and to no other."""
    server.answers(307, text="", Location=f"{server.url}/version1/messaging?other=1")
    assert type(await error_of(server)) is SmsUnavailable
    assert len(server.requests) == 1


async def test_closed_port_certainly_sent_nothing() -> None:
    """Where nobody listens nothing arrives, so to try again is safe."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with sending_to(f"http://127.0.0.1:{unused.getsockname()[1]}") as sender:
            with pytest.raises(SmsUnavailable) as caught:
                await sender.send(SMS)
    assert type(caught.value) is SmsUnavailable


async def test_host_that_takes_no_connection_certainly_sent_nothing() -> None:
    """Time that runs out before there is a connection is not like time that runs out behind a message."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for client in waiting:  # until the queue is full, and the kernel drops who comes next
                client.setblocking(False)
                client.connect_ex(full.getsockname())
            async with sending_to(f"http://127.0.0.1:{full.getsockname()[1]}", timeout_s=0.4) as sender:
                with pytest.raises(SmsUnavailable) as caught:
                    await sender.send(SMS)
        finally:
            for client in waiting:
                client.close()
    assert type(caught.value) is SmsUnavailable


# --- perhaps accepted -----------------------------------------------------------------------------------


async def test_silence_after_the_request_is_uncertain(server: SenderServer) -> None:
    """The message has arrived, and nothing tells whether it was taken."""
    server.falls_silent()
    assert isinstance(await error_of(server, timeout_s=0.3), SmsUncertain)
    assert len(server.requests) == 1


async def test_cut_connection_is_uncertain_and_the_request_is_not_repeated(server: SenderServer) -> None:
    """An HTTP client that tries again by itself would send twice behind our back."""
    server.hangs_up()
    assert isinstance(await error_of(server), SmsUncertain)
    assert len(server.requests) == 1


async def test_answer_that_breaks_off_is_uncertain(server: SenderServer) -> None:
    """Half an answer says nothing."""
    server.hangs_up_within_the_answer()
    assert isinstance(await error_of(server), SmsUncertain)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_server_error_is_uncertain(server: SenderServer, status: int) -> None:
    """A server may fail after it took the message, and a proxy may give up on one that takes it."""
    server.answers(status, text="<html>oops</html>")
    assert isinstance(await error_of(server), SmsUncertain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>Welcome</html>",
        "[]",
        "null",
        '{"SMSMessageData": null}',
        '{"SMSMessageData": {}}',
        '{"SMSMessageData": {"Recipients": [{}]}}',
        '{"SMSMessageData": {"Recipients": [{"statusCode": "fine"}]}}',
        '{"SMSMessageData": {"Recipients": [{"statusCode": 999}]}}',
        '{"SMSMessageData": {"Recipients": [{"statusCode": 102}, {"statusCode": 102}]}}',
        json.dumps(taken(PHONE)) + " " * 70_000,
        "[" * 50_000,
    ],
)
async def test_success_that_cannot_be_understood_is_uncertain(server: SenderServer, text: str) -> None:
    """HTTP 201 promises something, and what it promises cannot be read."""
    server.answers(201, text=text)
    assert isinstance(await error_of(server), SmsUncertain)


async def test_sender_goes_on_after_a_failure(server: SenderServer) -> None:
    """One answer that was lost does not spoil the next message, nor thirty at once."""
    async with sending_to(server.url) as sender:
        server.hangs_up()
        with pytest.raises(SmsUncertain):
            await sender.send(SMS)
        server.reply = None
        accepted = await asyncio.gather(*(sender.send(Sms(f"m-{n}", PHONE, "text")) for n in range(30)))
    assert len({one.sender_ref for one in accepted}) == 30


# --- delivery reports -----------------------------------------------------------------------------------


def report(**fields: str) -> DeliveryReport:
    body = "&".join(f"{name}={value}" for name, value in {**REPORT, **fields}.items() if value)
    return parse_report(body.encode(), MEDIA_TYPE)


@pytest.mark.parametrize(
    ("status", "delivery"),
    [
        ("Success", "delivered"),
        ("Delivered", "delivered"),
        ("Sent", "pending"),
        ("Submitted", "pending"),
        ("Buffered", "pending"),
        ("SomethingNew", "pending"),
    ],
)
def test_status_of_a_report(status: str, delivery: str) -> None:
    """Delivered is what reached the phone; a word that is new decides nothing."""
    assert report(status=status) == DeliveryReport("ATXid_sample", delivery)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ({"status": "Failed", "failureReason": "UserDoesNotExist"}, "UserDoesNotExist"),
        ({"status": "Rejected", "failureReason": "InsufficientCredit"}, "InsufficientCredit"),
        ({"status": "Expired"}, "Expired"),
        ({"status": "AbsentSubscriber"}, "AbsentSubscriber"),
        ({"status": "Failed", "failureReason": "%2B254711000001+is+off"}, "Failed"),
    ],
)
def test_failure_of_a_report(fields: dict[str, str], failure: str) -> None:
    """The sender's code is kept where it is one: free words could hold a phone number."""
    assert report(**fields) == DeliveryReport("ATXid_sample", "failed", failure)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"id": ""}, "id"),
        ({"status": ""}, "status"),
        ({"id": "254711000001"}, "id"),
        ({"id": "%00a"}, "id"),
        ({"id": "a" * 129}, "id"),
        ({"status": "%FF"}, "status"),
    ],
)
def test_what_is_no_report_is_refused(fields: dict[str, str], field: str) -> None:
    """The field is named, and what stood in it is not repeated."""
    with pytest.raises(BadCallback) as caught:
        report(**fields)
    assert caught.value.field == field
    assert "2547" not in str(caught.value)


def test_report_is_read_whatever_else_comes_with_it() -> None:
    """Fields that are new or broken and are not needed lose no report."""
    assert report(phoneNumber="%ZZ", failureReason="", batch="1").delivery == "delivered"
