"""Everything outside the engine, as Protocols and the values that cross them.

Times are aware UTC datetimes; durations end in `_s` or `_ms`; phone numbers are E.164 with the plus sign.
A port's rules stand in its docstring, and one contract suite per port under `tests/adapters/` holds every
implementation to them, the shipped fakes included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from datetime import date, datetime

    from ussd_engine.runtime.screen import Screen


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back: for deadlines."""


# --- sessions -------------------------------------------------------------------------------------------


class SessionStore(Protocol):
    """One opaque value per key, replaced by compare-and-set, forgotten after its time to live.

    Each method but `each` is one round trip. Raises StoreUnavailable when the store does not answer in time; a save
    that raised may still have happened, so the caller loads again.
    """

    mark: bytes | None
    """What `set_mark` stored last, by any process, as the last load of this one has seen it."""

    async def load(self, key: str) -> bytes | None:
        """The stored value, or None when there is none or its time is up."""

    async def set_mark(self, mark: bytes) -> None:
        """Store a mark that every process sees with its next load, and that is kept."""

    async def save(self, key: str, value: bytes, *, expected: bytes | None, ttl_ms: int) -> bool:
        """Store `value` if what is stored now equals `expected` (None: nothing is stored).

        True when stored, and the key then lives `ttl_ms` from now; False, with nothing changed, when another
        writer was first. Values carry a version of their own, so equal bytes are the same state.
        """

    def each(self) -> AsyncGenerator[bytes, None]:
        """Every stored value, a few hundred in a round trip, so that nobody waits long for the store meanwhile.

        What comes or goes in that time may be left out. Nothing is given twice.
        """

    async def ping(self) -> None:
        """Return when the store answers."""

    async def close(self) -> None: ...


# --- gateways -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Callback:
    """One request of a gateway: a key press, with everything typed since the dial.

    `transcript` is all input joined by `*` as the gateway sends it ("" on a plain dial). It repeats every PIN
    that was typed, so it is never stored or logged; `repr` leaves it out.
    """

    gateway: str
    session_id: str
    phone_number: str
    service_code: str
    network: str
    transcript: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndReport:
    """What a gateway tells after a session ended. What the subscriber typed and saw is not kept at all."""

    gateway: str
    session_id: str
    phone_number: str
    service_code: str
    network: str
    status: Literal["success", "incomplete", "failed"]
    duration_ms: int | None
    hops: int | None
    hop_labels: tuple[str, ...]
    cost: str | None
    error: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response in a gateway's own format, ready for the wire. `headers` includes Content-Type."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Gateway(Protocol):
    """One wire format. Parsing and rendering only: no state, no I/O."""

    name: str

    def parse(self, body: bytes, content_type: str) -> Callback:
        """Read a callback; BadCallback names the field when the request is none."""

    def parse_event(self, body: bytes, content_type: str) -> EndReport:
        """Read an end-of-session report; BadCallback names the field when the request is none."""

    def answer(self, screen: Screen) -> Answer: ...


# --- the bank -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """The bank knows the phone number. `customer_ref` is the bank's own id of the customer."""

    customer_ref: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """The bank answered, and knows nothing of it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A customer as the bank holds it. The bank may lack a date of birth: that never matches anything.

    `since` is from when the bank knows the customer under this phone number. A bank that cannot tell leaves the check
    for recycled numbers without an answer, where there is one.
    """

    customer_ref: str
    first_name: str
    last_name: str
    phone_number: str
    date_of_birth: date | None = field(repr=False)
    national_id: str | None = field(default=None, repr=False)
    gender: str | None = None
    email: str | None = field(default=None, repr=False)
    passport: str | None = field(default=None, repr=False)
    customer_number: str | None = None
    further_phones: tuple[str, ...] = field(default=(), repr=False)
    account_numbers: tuple[str, ...] = ()
    since: date | None = None


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What the bank needs to open an account for a new customer.

    `product` is the bank's product code. `kyc_tier` says how well the customer is known, which limits what the
    account may be: 1 is what a person tells on a phone, without a document.
    """

    phone_number: str
    first_name: str
    last_name: str
    date_of_birth: date = field(repr=False)
    national_id: str | None = field(default=None, repr=False)
    gender: str | None = None
    product: str | None = None
    kyc_tier: int = 1


@dataclass(frozen=True, slots=True)
class Opened:
    customer_ref: str
    account_number: str


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """The bank's own staff must approve; `reference` is the bank's id of the waiting application."""

    reference: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The bank has a customer with the same `field` already; nothing was opened."""

    field: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The bank refuses for good; `reason` is its own code."""

    reason: str


@dataclass(frozen=True, slots=True)
class InProgress:
    """The same request is still being worked on at the bank: ask again by the external id."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer came, or none that can be understood: the account may or may not have been opened."""

    reason: str


OpenOutcome = Opened | PendingApproval | Duplicate | Rejected | InProgress | Unknown


class CoreBanking(Protocol):
    """The core banking system (CBS).

    Every method ends within the adapter's own timeout. Reads raise BankUnavailable when no usable answer came.
    """

    async def search_by_phone(self, phone_number: str) -> Found | NotFound: ...

    async def account_details(self, customer_ref: str) -> Holder | NotFound: ...

    async def open_account(
        self, request: NewAccount, *, idempotency_key: str, external_id: str
    ) -> OpenOutcome:
        """Open an account, at most once per `idempotency_key`; `external_id` is stored with it at the bank.

        Raises BankUnavailable only when the request certainly had no effect; whatever is not certain is Unknown.
        """

    async def find_opening(self, external_id: str) -> OpenOutcome | NotFound:
        """What became of the opening with this external id. NotFound: it never reached the bank."""

    async def close(self) -> None: ...


# --- the mobile operator --------------------------------------------------------------------------------


class NumberChecks(Protocol):
    """What the mobile operator knows of a phone number; optional.

    Every method ends within the adapter's own timeout. Raises NumberChecksUnavailable when there is no clear answer.
    """

    async def sim_swapped(self, phone_number: str, within_h: int) -> bool:
        """Whether the number got another SIM within so many hours, 1 to 2400."""

    async def recycled(self, phone_number: str, since: date | None) -> bool:
        """Whether the number was given to another subscriber since that day.

        From when the bank knows its customer under the number may be unknown: who asks for recycling at all has no
        clear answer then.
        """

    async def close(self) -> None: ...


# --- SMS ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sms:
    """`message_id` is ours, and the same for every attempt to send the same message."""

    message_id: str
    phone_number: str = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SmsAccepted:
    """`sender_ref` is the sender's id of the message, by which delivery reports come back; None: it gave none."""

    sender_ref: str | None


class SmsSender(Protocol):
    async def send(self, sms: Sms) -> SmsAccepted:
        """Hand over a message. A sender that knows message ids accepts each once and answers again the same.

        Raises SmsUnavailable when it certainly did not accept and trying again may help, and SmsRejected when it
        will not. SmsUncertain, a SmsUnavailable, is for a sender that does not know ids: the message may have been
        accepted. The caller then tries again, a few times at the most: that an account is open may be told twice,
        but a subscriber who is never told opens another one or calls the bank.
        """

    async def close(self) -> None: ...


Delivery = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What a sender tells later of a message that it accepted; `failure` is its code for why it was not delivered."""

    sender_ref: str
    delivery: Delivery
    failure: str | None = None


class ReadReport(Protocol):
    def __call__(self, body: bytes, content_type: str) -> DeliveryReport:
        """Read a delivery report; BadCallback names the field when the request is none."""


# --- events ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """Something for the operators' dashboard. `detail` holds ids and codes, never personal data."""

    event_id: str
    kind: str
    at: datetime
    phone_masked: str
    detail: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FeedStart:
    """Where a listener begins: it gets every event after `position`.

    `gap`: there may have been events between the position that it asked for and this one, and the feed no
    longer has them.
    """

    position: str
    gap: bool


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """An event and its place in the feed, after which a listener may resume."""

    position: str
    event: Event


class Events(Protocol):
    """The feed of a service: every worker publishes to it, and any worker may be listened to.

    It keeps a bounded number of events. A position is two decimal numbers with a dash between, opaque
    otherwise; "0-0" is before everything.
    """

    async def publish(self, event: Event) -> None:
        """Append to the feed, at most once per `event_id`."""

    def follow(self, after: str | None) -> AsyncGenerator[FeedStart | FeedEvent, None]:
        """A FeedStart, then every event after the position `after` (None: from now on), once and in order.

        It has no end of its own. Asking for an item raises BadPosition when `after` is no position,
        ListenerTooSlow when too many events wait to be asked for, and StoreUnavailable when the feed is away or
        is closed. Whoever resumes after the last position misses nothing, or is told of a gap. Close the
        generator when done (contextlib.aclosing).
        """

    async def close(self) -> None: ...
