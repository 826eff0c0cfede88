"""What a subscriber or a program wants, and does again after a crash until it knows the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.parts import BORN, opening
from ussd_engine.errors import AccountRejected, IdentityNotVerified
from ussd_engine.platform.gate import Verdict
from ussd_engine.ports import Callback
from ussd_engine.services.accounts import AccountOpened
from ussd_engine.services.approvals import ChangeDecided
from ussd_engine.services.first_pin import FirstPin
from ussd_engine.services.subscription import Registered, RegisterSubscription

if TYPE_CHECKING:
    from tests.crash.world import World

NEW, CUSTOMER = "+254711000070", "+254700000001"
LOST_ANSWER, NEEDS_APPROVAL, REJECTED = "+254700000005", "+254700000006", "+254700000007"
PIN, OTHER_PIN = "835917", "270846"
WAIT_S = 30.0
CODE = "*384*100#"
KEYS_PRESSED: Mapping[str, str] = {
    "onboarding.welcome": "1",
    "open_account.ask_first_name": "Jane",
    "open_account.ask_last_name": "Sample",
    "open_account.ask_birth_date": "01011990",
    "open_account.confirm": "1",
    "onboarding.welcome_back": "1",
    "register.ask_birth_date": "15011990",
    "home.menu": "9",
}
"""What the subscriber answers to each screen."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`act` can be done again at any time, and says what came of it: `first`, and `last` when all is done.

    `at_once`: it is done again as soon as the process is back, else when everything was taken up.
    """

    name: str
    act: Callable[[World], Awaitable[str]]
    first: str
    last: str
    messages: tuple[str, ...]
    accounts: int = 0
    active: int = 0
    wrong_answers: int = 0
    at_once: bool = False


async def opens(world: World, *, phone: str, sender_fails: int = 0) -> str:
    """A program opens an account, under one Idempotency-Key."""
    world.sms.unavailable[phone] = sender_fails
    workflow_id = await world.idempotency.workflow_id("api", "account/register", "open-1", phone.encode())
    try:
        done = await world.accounts.register(workflow_id, opening(phone), wait_s=WAIT_S)
    except AccountRejected:
        return "rejected"
    return "opened" if isinstance(done, AccountOpened) else "pending"


async def registers(world: World, *, born: date) -> str:
    """A program registers a customer of the bank, and staff approve it when there is something to approve."""
    workflow_id = await world.idempotency.workflow_id("api", "subscription/register", "register-1", b"body")
    request = RegisterSubscription(CUSTOMER, born, "en", "api", "api")
    try:
        done = await world.subscriptions.register(workflow_id, request, wait_s=WAIT_S)
    except IdentityNotVerified:
        return "not verified"
    assert isinstance(done, Registered)
    try:
        await world.approvals.approve(done.change_id, 1, "operator:ann", "request-1")
    except ChangeDecided:
        return "approved before"
    return "approved"


async def chooses_a_pin(world: World, *, born: date) -> str:
    """Who was registered chooses a PIN, and changes it at once; a callback that got no answer is repeated."""
    await registers(world, born=BORN)
    first = FirstPin(CUSTOMER, born, PIN)
    try:
        pending = await world.first_pins.choose("pin-1", first, wait_s=WAIT_S)
    except IdentityNotVerified:
        return "not verified"
    assert pending is None
    changed = await world.pins.change("pin-2", CUSTOMER, PIN, OTHER_PIN, wait_s=WAIT_S)
    return "changed" if changed == Verdict("verified") else f"not changed: {changed}"


async def presses_again(world: World) -> str:
    """A session: a callback that got no answer is repeated by the gateway."""
    return await _walk(world, NEW, "session-1", world.place.folder / "transcript")


async def dials_again(world: World) -> str:
    """A subscriber who gets no answer hangs up and dials anew."""
    dialled = world.place.folder / "dialled"
    dialled.touch()
    with dialled.open("a") as file:
        file.write("x")
    return await _walk(world, NEW, f"session-{dialled.stat().st_size}")


async def registers_by_phone(world: World) -> str:
    return await _walk(world, CUSTOMER, "session-1", world.place.folder / "transcript")


async def _walk(world: World, phone: str, session_id: str, kept: Path | None = None) -> str:
    """Answer each screen until the end of the session; `kept` holds the callback that is under way."""
    transcript = kept.read_text() if kept and kept.exists() else ""
    while True:
        screen = await world.callbacks.handle(Callback("at", session_id, phone, CODE, "63902", transcript))
        if screen.end:
            return screen.label
        transcript = f"{transcript}*{KEYS_PRESSED[screen.label]}".lstrip("*")
        if kept:
            kept.write_text(transcript)


SCENARIOS = (
    Scenario(
        "registration, approved by staff",
        partial(registers, born=BORN),
        first="approved",
        last="approved before",
        messages=("subscription_active",),
        active=1,
    ),
    Scenario(
        "registration, wrong date of birth",
        partial(registers, born=date(1990, 1, 16)),
        first="not verified",
        last="not verified",
        messages=(),
        wrong_answers=1,
    ),
    Scenario(
        "first PIN, and another one",
        partial(chooses_a_pin, born=BORN),
        first="changed",
        last="changed",
        messages=("subscription_active",),
        active=1,
    ),
    Scenario(
        "first PIN, wrong date of birth",
        partial(chooses_a_pin, born=date(1990, 1, 16)),
        first="not verified",
        last="not verified",
        messages=("subscription_active",),
        active=1,
        wrong_answers=1,
    ),
    Scenario(
        "registration on the phone",
        registers_by_phone,
        first="register.staged",
        last="register.staged",
        messages=(),
        at_once=True,
    ),
    Scenario(
        "opening, opened",
        partial(opens, phone=NEW),
        first="opened",
        last="opened",
        messages=("account_opened",),
        accounts=1,
        active=1,
    ),
    Scenario(
        "opening, answer lost",
        partial(opens, phone=LOST_ANSWER),
        first="pending",
        last="opened",
        messages=("account_opened",),
        accounts=1,
        active=1,
    ),
    Scenario(
        "opening, approved by the bank's staff",
        partial(opens, phone=NEEDS_APPROVAL),
        first="pending",
        last="opened",
        messages=("account_opened",),
        accounts=1,
        active=1,
    ),
    Scenario(
        "opening, rejected by the bank",
        partial(opens, phone=REJECTED),
        first="rejected",
        last="rejected",
        messages=(),
    ),
    Scenario(
        "opening, sender unavailable at first",
        partial(opens, phone=NEW, sender_fails=2),
        first="opened",
        last="opened",
        messages=("account_opened",),
        accounts=1,
        active=1,
    ),
    Scenario(
        "opening on the phone, callback repeated",
        presses_again,
        first="open_account.opened",
        last="open_account.opened",
        messages=("account_opened",),
        accounts=1,
        active=1,
        at_once=True,
    ),
    Scenario(
        "opening on the phone, dialled again",
        dials_again,
        first="open_account.opened",
        last="onboarding.bye",
        messages=("account_opened",),
        accounts=1,
        active=1,
        at_once=True,
    ),
)
