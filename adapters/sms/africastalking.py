"""Africa's Talking SMS: a message out over HTTP, and its delivery reports in.

Wire format: https://developers.africastalking.com/docs/sms/sending/bulk and .../docs/sms/notifications. A request is
a form with the key in a header; HTTP 201 brings one entry per receiver, whose `statusCode` tells, as its `status`
says "Success" also of what is only queued. The sender knows no message id of ours: nobody can ask it what became of
a request whose answer was lost.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson
import structlog
from pydantic import BaseModel, ValidationError

from adapters.gateways.form import read_form
from ussd_engine.errors import BadCallback, SmsRejected, SmsUnavailable, SmsUncertain
from ussd_engine.ports import DeliveryReport, SmsAccepted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from ussd_engine.ports import Delivery, Sms

log = structlog.get_logger(__name__)

PATH: Final = "/version1/messaging"
MAX_ANSWER_BYTES: Final = 64 * 1024
"""The answer for one receiver has some 300 bytes."""
CONNECT_SHARE: Final = 0.5
"""Of the time for a call: who cannot connect by then certainly sent nothing."""

_ACCEPTED: Final = frozenset({100, 101, 102})
"""Processed, sent, queued."""
_LATER: Final[Mapping[int, str]] = {
    405: "InsufficientBalance",  # until somebody tops the account up
    407: "CouldNotRoute",
    500: "InternalServerError",
    501: "GatewayError",
}
_NEVER: Final[Mapping[int, str]] = {
    401: "RiskHold",
    402: "InvalidSenderId",
    403: "InvalidPhoneNumber",
    404: "UnsupportedNumberType",
    406: "UserInBlacklist",
    502: "RejectedByGateway",
}
_BAD_REQUEST: Final = frozenset({400, 413, 422})
"""The message is at fault. Any other 4xx is the account, the address or the rate, which changes."""
_NOT_STARTED: Final = frozenset({503})
"""Of the server errors the one that says that nothing was begun; behind another one it may have been."""

_DELIVERY: Final[Mapping[str, Delivery]] = {
    "success": "delivered",
    "delivered": "delivered",
    "rejected": "failed",
    "failed": "failed",
    "expired": "failed",
    "absentsubscriber": "failed",
}
"""Every other word is of a message on its way (Sent, Submitted, Buffered), and the set is open."""
_REPORT_FIELDS: Final = frozenset({"id", "status", "failureReason"})
_UNREAD_FIELDS: Final = frozenset({"phoneNumber"})
_ID: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9._:-]{1,128}")
"""`ATXid_` and 32 hexadecimal digits today. Digits alone could be a phone number, and ids stand in logs."""
_WORD: Final = re.compile(r"[A-Za-z]{1,64}")


class _Recipient(BaseModel):
    statusCode: int  # noqa: N815 - the name on the wire
    messageId: str | None = None  # noqa: N815


class _Data(BaseModel):
    Message: str = ""
    Recipients: list[_Recipient]


class _Answer(BaseModel):
    SMSMessageData: _Data


class AfricasTalkingSms:
    """Port `SmsSender`. `timeout_s` is for a whole call; `sender_id` None: what the account has as its default."""

    def __init__(
        self, *, base_url: str, username: str, api_key: str, sender_id: str | None, timeout_s: float
    ) -> None:
        self._url = base_url.rstrip("/") + PATH
        self._form = {"username": username, "bulkSMSMode": "1", "enqueue": "1"}
        if sender_id:
            self._form["from"] = sender_id
        self._http = aiohttp.ClientSession(
            headers={"apiKey": api_key, "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s * CONNECT_SHARE),
            # One connection per message: on a kept one that the server has just closed, a message that certainly
            # did not arrive looks like one that may have.
            connector=aiohttp.TCPConnector(force_close=True),
        )

    async def send(self, sms: Sms) -> SmsAccepted:
        form = {**self._form, "to": sms.phone_number, "message": sms.text}
        try:
            # A redirect is not followed: the key and the message are for this address alone.
            async with self._http.post(self._url, data=form, allow_redirects=False) as response:
                status, body = response.status, await _read(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise SmsUnavailable(f"the SMS sender cannot be reached ({type(error).__name__})") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SmsUncertain(f"the SMS sender gave no answer ({type(error).__name__})") from error
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            _refused(status)
        return _accepted(body)

    async def close(self) -> None:
        await self._http.close()


def parse_report(body: bytes, content_type: str) -> DeliveryReport:
    """Read a delivery report. Whom it is of is not even decoded: the id says it."""
    form = read_form(body, content_type, _REPORT_FIELDS, unread=_UNREAD_FIELDS)
    for field in ("id", "status"):
        if not form.get(field):
            raise BadCallback(field, "is missing")
    if _ID.fullmatch(form["id"]) is None:
        raise BadCallback("id", "is not 1 to 128 letters, digits and '._:-', with a letter among them")
    status = form["status"]
    delivery = _DELIVERY.get(status.lower(), "pending")
    if delivery != "failed":
        return DeliveryReport(form["id"], delivery)
    reason = form.get("failureReason", "")
    return DeliveryReport(form["id"], delivery, reason if _WORD.fullmatch(reason) else status)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise SmsUncertain(f"the SMS sender's answer is longer than {MAX_ANSWER_BYTES} bytes")
    return body


def _refused(status: int) -> NoReturn:
    """By the status of HTTP: the wrong key is 401, too many messages 429."""
    if status in _BAD_REQUEST:
        raise SmsRejected(f"http_{status}")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _NOT_STARTED:
        raise SmsUncertain(f"the SMS sender failed with HTTP {status}")
    log.error("sms_sender_refuses", status=status)
    raise SmsUnavailable(f"the SMS sender refuses with HTTP {status}; look at sms.africastalking")


def _accepted(body: bytes) -> SmsAccepted:
    """By the one receiver's code; without a receiver, by the word that stands for the whole request."""
    data = _parsed(body)
    match data.Recipients:
        case []:
            _refuse_word(data.Message)
        case [recipient]:
            code = recipient.statusCode
        case _:
            raise SmsUncertain("the SMS sender answered of several receivers, and one was asked for")
    if code in _ACCEPTED:
        return SmsAccepted(_sender_ref(recipient.messageId))
    if code in _NEVER:
        raise SmsRejected(_NEVER[code])
    if code in _LATER:
        log.error("sms_sender_refuses", reason=_LATER[code])
        raise SmsUnavailable(f"the SMS sender did not take the message: {_LATER[code]}")
    raise SmsUncertain(f"the SMS sender answered with an unknown status code, {code}")


def _sender_ref(message_id: str | None) -> str | None:
    """The sender writes "None" where it has no id. The message is accepted all the same."""
    if message_id is None or message_id == "None" or not _ID.fullmatch(message_id):
        return None
    return message_id


def _refuse_word(word: str) -> NoReturn:
    if word in _LATER.values():
        log.error("sms_sender_refuses", reason=word)
        raise SmsUnavailable(f"the SMS sender did not take the message: {word}")
    raise SmsRejected(word if _WORD.fullmatch(word) else "unknown")


def _parsed(body: bytes) -> _Data:
    try:
        answer: Any = orjson.loads(body)
        return _Answer.model_validate(answer).SMSMessageData
    except (orjson.JSONDecodeError, ValidationError):
        raise SmsUncertain("the SMS sender's answer cannot be understood") from None
