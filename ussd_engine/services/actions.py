"""The actions that a flow may name: what each takes and gives, and what runs it.

A read is a plain call that must end with the turn. An effect is a durable workflow with the turn's id: it goes on
when the turn cannot wait, and `pending` is then the outcome. Neither lets an error through to the turn: what the
bank cannot answer is the outcome `unavailable`, and what the policy does not allow is `not_allowed`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

import structlog

from ussd_engine.errors import (
    AccountRejected,
    AlreadySubscribed,
    BankUnavailable,
    Busy,
    CustomerExists,
    CustomerNotFound,
    DatabaseUnavailable,
    IdentityNotVerified,
    IllegalMove,
    NotAllowed,
    PinExists,
)
from ussd_engine.phone import is_e164, normalise
from ussd_engine.platform.gate import Verdict
from ussd_engine.runtime.happenings import Result
from ussd_engine.runtime.program import Value
from ussd_engine.services.accounts import AccountOpened, Accounts, OpenAccountRequest
from ussd_engine.services.first_pin import FirstPin, FirstPins
from ussd_engine.services.operations import OperationPending
from ussd_engine.services.pins import Pins
from ussd_engine.services.profile import Profiles
from ussd_engine.services.subscription import RegisterSubscription, Subscriptions
from ussd_engine.services.workflows import Workflows


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of an action. `workflow_id` comes from the turn; `wait_s` is how long the turn can wait."""

    workflow_id: str
    inputs: Mapping[str, Value] = field(repr=False)
    wait_s: float

    def text(self, name: str) -> str:
        return str(self.inputs[name])

    @property
    def phone(self) -> str:
        """In its one form, as a customer must not be known under two spellings of a number.

        A telco may send a digit of the national form along, as in +254 0711 000000. Raises IllegalMove for what is
        no number.
        """
        number = self.text("phone")
        if not is_e164(number):
            raise IllegalMove("the phone number of an action is not in the form of E.164")
        try:
            return normalise(number, "")
        except ValueError:
            raise IllegalMove("the phone number of an action is one that no numbering plan has") from None

    def optional(self, name: str) -> str | None:
        return str(self.inputs[name]) if self.inputs.get(name) else None


log = structlog.get_logger(__name__)

Handler = Callable[[Invocation], Awaitable[Result]]


class Actions:
    """The handlers behind `action_specs.SPECS`."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        accounts: Accounts,
        profiles: Profiles,
        pins: Pins,
        first_pins: FirstPins,
        workflows: Workflows,
    ) -> None:
        self._subscriptions = subscriptions
        self._accounts = accounts
        self._profiles = profiles
        self._pins = pins
        self._first_pins = first_pins
        self._workflows = workflows
        self._handlers: Mapping[str, Handler] = {
            "subscription.check": self._check,
            "subscription.profile": self._profile,
            "subscription.language": self._language,
            "subscription.register": self._register,
            "account.open": self._open,
            "pin.verify": self._verify_pin,
            "pin.change": self._change_pin,
            "pin.set": self._set_pin,
        }

    async def run(self, action: str, invocation: Invocation) -> Result:
        """The result of a known action. A fault of the engine's own is raised, for the turn to end politely."""
        try:
            return await self._handlers[action](invocation)
        except (BankUnavailable, Busy):
            return Result("unavailable")
        except NotAllowed:
            log.warning("action_not_allowed", action=action)
            return Result("not_allowed")

    async def begun(self, workflow_id: str) -> bool:
        """Whether this run of an effect was begun before."""
        return await self._workflows.exists(workflow_id)

    async def _check(self, invocation: Invocation) -> Result:
        found = await self._subscriptions.check(invocation.phone)
        if found.language is not None and found.status in {"subscribed", "pending_approval"}:
            return Result(found.status, {"language": found.language})
        return Result(found.status)

    async def _profile(self, invocation: Invocation) -> Result:
        found = await self._profiles.get(invocation.phone)
        if found is None:
            return Result("not_found")
        shown: dict[str, Value] = {
            "first_name": found.first_name,
            "last_name": found.last_name,
            "accounts": tuple({"number": number} for number in found.account_numbers),
        }
        return Result("found", shown)

    async def _language(self, invocation: Invocation) -> Result:
        changed = await self._profiles.set_language(
            invocation.workflow_id,
            invocation.phone,
            invocation.text("language"),
            wait_s=invocation.wait_s,
        )
        return Result("pending" if changed in {None, "staged"} else str(changed))

    async def _register(self, invocation: Invocation) -> Result:
        request = RegisterSubscription(
            phone_number=invocation.phone,
            date_of_birth=date.fromisoformat(invocation.text("birth_date")),
            language=invocation.text("language"),
            channel="ussd",
            maker="ussd",
        )
        try:
            done = await self._subscriptions.register(
                invocation.workflow_id, request, wait_s=invocation.wait_s
            )
        except IdentityNotVerified:
            return Result("not_verified")
        except CustomerNotFound:
            return Result("not_found")
        except AlreadySubscribed:
            return Result("already_subscribed")
        return Result("pending" if isinstance(done, OperationPending) else "staged")

    async def _open(self, invocation: Invocation) -> Result:
        request = OpenAccountRequest(
            phone_number=invocation.phone,
            first_name=invocation.text("first_name"),
            last_name=invocation.text("last_name"),
            date_of_birth=date.fromisoformat(invocation.text("birth_date")),
            language=invocation.text("language"),
            national_id=invocation.optional("national_id"),
            gender=invocation.optional("gender"),
            product=invocation.optional("product"),
            channel="ussd",
            maker="ussd",
        )
        try:
            done = await self._accounts.register(invocation.workflow_id, request, wait_s=invocation.wait_s)
        except CustomerExists:
            return Result("existing_customer")
        except AccountRejected:
            return Result("rejected")
        if isinstance(done, AccountOpened):
            return Result("opened", {"account_number": done.account_number})
        return Result("pending")

    async def _verify_pin(self, invocation: Invocation) -> Result:
        return await _told(
            self._pins.verify(
                invocation.workflow_id, invocation.phone, invocation.text("pin"), wait_s=invocation.wait_s
            )
        )

    async def _change_pin(self, invocation: Invocation) -> Result:
        result = await _told(
            self._pins.change(
                invocation.workflow_id,
                invocation.phone,
                invocation.text("old_pin"),
                invocation.text("new_pin"),
                wait_s=invocation.wait_s,
            )
        )
        return Result("changed") if result.outcome == "verified" else result

    async def _set_pin(self, invocation: Invocation) -> Result:
        asked = FirstPin(
            phone_number=invocation.phone,
            date_of_birth=date.fromisoformat(invocation.text("birth_date")),
            pin=invocation.text("pin"),
        )
        try:
            pending = await self._first_pins.choose(invocation.workflow_id, asked, wait_s=invocation.wait_s)
        except IdentityNotVerified:
            return Result("not_verified")
        except CustomerNotFound:
            return Result("not_found")
        except PinExists:
            return Result("already_set")
        except DatabaseUnavailable:
            return Result("unavailable")
        return Result("pending" if pending else "set")


async def _told(attempt: Awaitable[Verdict | str | None]) -> Result:
    """What an attempt at a PIN came to."""
    try:
        found = await attempt
    except DatabaseUnavailable:
        return Result("unavailable")
    if isinstance(found, Verdict):
        left = {"attempts_left": found.attempts_left} if found.outcome == "wrong" else {}
        return Result(found.outcome, left)
    return Result(found or "pending")
