"""Africa's Talking USSD: the session callback, its CON/END answer, and the end-of-session report.

Wire format: https://developers.africastalking.com/docs/ussd/handle_sessions and .../docs/ussd/notifications.
A callback is a form of five fields; `text` is everything typed since the dial, joined by `*`, and a
subscriber may type `*` too, so it is handed on byte for byte. There is no signature and no turn number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from adapters.gateways.form import read_form
from ussd_engine.errors import BadCallback
from ussd_engine.phone import is_e164
from ussd_engine.ports import Answer, Callback, EndReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ussd_engine.runtime.screen import Screen

MAX_SESSION_ID_CHARS: Final = 128
"""`ATUid_` and 32 hexadecimal digits today; three times that leaves room and bounds the stored key."""
MAX_NETWORK_CHARS: Final = 16
"""MCC and MNC are 5 or 6 digits; the set of codes is open, so only what can be no code at all is refused."""
MAX_TEXT_CHARS: Final = 4096
"""A session lasts 180 s and one input has at most 182 characters: twenty of the longest fit."""
MAX_LABEL_CHARS: Final = 99
"""The documented bound of the hop label."""
MAX_HOPS: Final = 200
"""More key presses than a session of 180 s can hold; bounds what a report may make us keep."""
MAX_NUMBER_DIGITS: Final = 12
"""Milliseconds of thirty years: longer digits are no duration and no count."""
MAX_COST_CHARS: Final = 32
"""A currency and an amount, such as `KES 0.10`."""
MAX_ERROR_CHARS: Final = 120
"""Enough to name a cause. The message may echo our answer, so no more of it is kept."""
HOP_HEADER: Final = "at-ussd-hop-metadata"

_CALLBACK_FIELDS: Final = frozenset({"sessionId", "phoneNumber", "networkCode", "serviceCode", "text"})
_EVENT_FIELDS: Final = frozenset(
    {"sessionId", "phoneNumber", "networkCode", "serviceCode", "status"}
    | {"cost", "durationInMillis", "hopsCount", "hopsMetadata", "errorMessage"}
)
_UNREAD_FIELDS: Final = frozenset({"input", "lastAppResponse"})
"""They repeat every PIN that was typed and every screen that was shown."""

_SERVICE_CODE: Final = re.compile(r"[*#0-9]{1,40}")
"""Dialling characters only; their order is the telco's business."""
_STATUS: Final[Mapping[str, Literal["success", "incomplete", "failed"]]] = {
    "success": "success",
    "incomplete": "incomplete",
    "failed": "failed",
}
_NOT_A_LABEL: Final = re.compile(r"[^ -{}~]")
"""Anything but printable ASCII, and the `|` with which Africa's Talking joins labels."""


class AfricasTalking:
    """Port `Gateway`. `accept_unescaped_plus`: repair a phone number whose `+` came unescaped, as a space."""

    def __init__(self, name: str, *, accept_unescaped_plus: bool = False) -> None:
        self.name = name
        self._accept_unescaped_plus = accept_unescaped_plus

    def parse(self, body: bytes, content_type: str) -> Callback:
        form = read_form(body, content_type, _CALLBACK_FIELDS)
        transcript = _required(form, "text")
        if len(transcript) > MAX_TEXT_CHARS:
            raise BadCallback("text", f"is longer than {MAX_TEXT_CHARS} characters")
        return Callback(
            self.name,
            _session_id(form),
            self._phone_number(form),
            _service_code(form),
            _network(form),
            transcript,
        )

    def parse_event(self, body: bytes, content_type: str) -> EndReport:
        """Read who, how and how long; a field that is optional or merely informative never fails it."""
        form = read_form(body, content_type, _EVENT_FIELDS, unread=_UNREAD_FIELDS)
        return EndReport(
            gateway=self.name,
            session_id=_session_id(form),
            phone_number=self._phone_number(form),
            service_code=_service_code(form),
            network=_network(form),
            status=_status(form),
            duration_ms=_number(form.get("durationInMillis", "")),
            hops=_number(form.get("hopsCount", "")),
            hop_labels=_hop_labels(form.get("hopsMetadata", "")),
            cost=_cost(form.get("cost", "")),
            error=_error(form.get("errorMessage", "")),
        )

    def answer(self, screen: Screen) -> Answer:
        """Nothing may stand before the prefix, or the gateway ends the session."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        label = hop_label(screen.label)
        if label:
            headers[HOP_HEADER] = label
        prefix = b"END " if screen.end else b"CON "
        return Answer(200, headers, prefix + screen.text.encode(errors="replace"))

    def _phone_number(self, form: Mapping[str, str]) -> str:
        number = _required(form, "phoneNumber")
        if number.startswith(" "):
            if not self._accept_unescaped_plus:
                raise BadCallback(
                    "phoneNumber",
                    "starts with a space: its '+' came unescaped; send %2B, or set accept_unescaped_plus",
                )
            number = "+" + number[1:]
        if not is_e164(number):
            raise BadCallback("phoneNumber", "is not '+' and 7 to 15 digits (E.164)")
        return number


def hop_label(label: str) -> str:
    """Make a label fit for the header: printable ASCII without `|`, at most 99 characters."""
    return _NOT_A_LABEL.sub("_", label)[:MAX_LABEL_CHARS].strip()


def _required(form: Mapping[str, str], field: str) -> str:
    try:
        return form[field]
    except KeyError:
        raise BadCallback(field, "is missing") from None


def _session_id(form: Mapping[str, str]) -> str:
    session_id = _required(form, "sessionId")
    if not session_id:
        raise BadCallback("sessionId", "is empty")
    return _checked_id(session_id, "sessionId", MAX_SESSION_ID_CHARS)


def _network(form: Mapping[str, str]) -> str:
    return _checked_id(form.get("networkCode", ""), "networkCode", MAX_NETWORK_CHARS)


def _checked_id(value: str, field: str, max_chars: int) -> str:
    """Ids stand in keys and logs, so they are plain printable ASCII."""
    if len(value) > max_chars:
        raise BadCallback(field, f"is longer than {max_chars} characters")
    if not (value.isascii() and value.isprintable()):
        raise BadCallback(field, "holds characters that are not printable ASCII")
    return value


def _service_code(form: Mapping[str, str]) -> str:
    code = _required(form, "serviceCode")
    if _SERVICE_CODE.fullmatch(code) is None:
        raise BadCallback("serviceCode", "is not 1 to 40 digits, '*' and '#'")
    return code


def _status(form: Mapping[str, str]) -> Literal["success", "incomplete", "failed"]:
    status = _STATUS.get(_required(form, "status").lower())
    if status is None:
        raise BadCallback("status", "is none of Success, Incomplete, Failed")
    return status


def _number(text: str) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS:
        return int(text)
    return None


def _hop_labels(text: str) -> tuple[str, ...]:
    """Keep what can be a label of ours: anybody who knows the URL can send a report."""
    labels = text.split("|", MAX_HOPS)[:MAX_HOPS]
    return tuple(label for label in labels if label and label == hop_label(label))


def _cost(text: str) -> str | None:
    if text and len(text) <= MAX_COST_CHARS and text.isprintable():
        return text
    return None


def _error(text: str) -> str | None:
    kept = "".join(c if c.isprintable() else " " for c in text[:MAX_ERROR_CHARS])
    return kept.strip() or None
