"""The services over their real parts, in one folder, with delays that suit a test."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from adapters.cbs.sandbox import SandboxBank
from adapters.events.memory import MemoryEvents
from adapters.sms.console import ConsoleSms
from tests.database_fixtures import KEYS, Urls, sqlite_in
from ussd_engine.errors import SmsRejected, SmsUnavailable, StoreUnavailable, UssdError
from ussd_engine.flow.sms_templates import parse_templates
from ussd_engine.flow.source import read
from ussd_engine.platform.database import Database
from ussd_engine.platform.directory import Directory
from ussd_engine.platform.gate import Limit
from ussd_engine.platform.migrate import migrate
from ussd_engine.platform.reference import ensure_reference_data
from ussd_engine.services import admission, pin_reset, profile
from ussd_engine.services.accounts import Accounts, OpenAccountRequest
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.admission import Admission
from ussd_engine.services.approvals import Approvals
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.birth_date_gate import BirthDateGate
from ussd_engine.services.first_pin import FirstPin, FirstPins
from ussd_engine.services.notifications import Notifications
from ussd_engine.services.number_gate import NumberGate
from ussd_engine.services.opening import Opening
from ussd_engine.services.operations import Operations
from ussd_engine.services.pin_hashes import HashRoom
from ussd_engine.services.pin_reset import PinResets
from ussd_engine.services.pins import Pins
from ussd_engine.services.policies import Policy
from ussd_engine.services.profile import Profiles
from ussd_engine.services.recovery import Recovery
from ussd_engine.services.subscription import RegisterSubscription, Subscriptions
from ussd_engine.services.workflows import Workflows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from ussd_engine.ports import (
        Clock,
        CoreBanking,
        Event,
        Events,
        Found,
        Holder,
        NewAccount,
        NotFound,
        OpenOutcome,
        Sms,
        SmsAccepted,
        SmsSender,
    )
    from ussd_engine.services.workflows import Body

SMS_FILE = Path(__file__).parents[2] / "flows" / "sms.yaml"
BANK_TIMEOUT_S = 0.4
RECONCILE = Backoff(first_delay_s=0.05, factor=1.5, max_delay_s=0.2, give_up_after_s=20)
RETRY = Backoff(first_delay_s=0.02, factor=2, max_delay_s=0.1, give_up_after_s=3)
HELD_FOR_S = 0.3
PERSIST = Backoff(first_delay_s=0.02, factor=2, max_delay_s=0.1, give_up_after_s=0.5)
POLICY = Policy(frozenset(SPECS), kyc_tier=1, openings_per_day=None)
LIMIT = Limit(attempts=3, lockout_s=60)
BORN = date(1990, 1, 15)
OPENED_BORN = date(1991, 2, 3)
"""Of the customers that `opening` makes."""


class WallClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class Script:
    """Answers for one phone number, in order; the last one stays.

    An exception is raised, and a function is awaited for its answer.
    """

    search: list[Any] = field(default_factory=list)
    details: list[Any] = field(default_factory=list)
    open: list[Any] = field(default_factory=list)
    find: list[Any] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)

    @staticmethod
    async def next(answers: list[Any]) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = await answer()
        if isinstance(answer, Exception):
            raise answer
        return answer


class ScriptedBank:
    """The sandbox bank, except for the phone numbers that a test wrote a script for."""

    def __init__(self, real: CoreBanking) -> None:
        self.real = real
        self.scripts: dict[str, Script] = {}
        self._phones: dict[str, str] = {}

    async def search_by_phone(self, phone_number: str) -> Found | NotFound:
        script = self.scripts.get(phone_number)
        if script and script.search:
            answer: Found | NotFound = await script.next(script.search)
            return answer
        return await self.real.search_by_phone(phone_number)

    async def account_details(self, customer_ref: str) -> Holder | NotFound:
        script = self.scripts.get(customer_ref)
        if script and script.details:
            answer: Holder | NotFound = await script.next(script.details)
            return answer
        return await self.real.account_details(customer_ref)

    async def open_account(
        self, request: NewAccount, *, idempotency_key: str, external_id: str
    ) -> OpenOutcome:
        self._phones[external_id] = request.phone_number
        script = self.scripts.get(request.phone_number)
        if script and script.open:
            script.keys.append((idempotency_key, external_id))
            answer: OpenOutcome = await script.next(script.open)
            return answer
        return await self.real.open_account(request, idempotency_key=idempotency_key, external_id=external_id)

    async def find_opening(self, external_id: str) -> OpenOutcome | NotFound:
        script = self.scripts.get(self._phones.get(external_id, ""))
        if script and script.find:
            answer: OpenOutcome | NotFound = await script.next(script.find)
            return answer
        return await self.real.find_opening(external_id)

    async def close(self) -> None:
        await self.real.close()


class MoodySms:
    """The console sender, failing for a number as often as a test asked for.

    `calls` are the messages of all calls. The next call for a number in `held` waits for the event first.
    """

    def __init__(self, real: SmsSender) -> None:
        self.real = real
        self.unavailable: dict[str, int] = {}
        self.rejected: set[str] = set()
        self.held: dict[str, asyncio.Event] = {}
        self.calls: list[str] = []

    async def send(self, sms: Sms) -> SmsAccepted:
        self.calls.append(sms.message_id)
        if hold := self.held.pop(sms.phone_number, None):
            await hold.wait()
        if self.unavailable.get(sms.phone_number, 0) > 0:
            self.unavailable[sms.phone_number] -= 1
            raise SmsUnavailable("the sender is down for this test")
        if sms.phone_number in self.rejected:
            raise SmsRejected("the sender refuses this number for this test")
        return await self.real.send(sms)

    async def close(self) -> None:
        await self.real.close()


class MoodyEvents(MemoryEvents):
    """The feed, failing as often as a test asked for."""

    failures = 0

    async def publish(self, event: Event) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise StoreUnavailable("the feed is down for this test")
        await super().publish(event)


@dataclass
class Built:
    """The services, not yet running."""

    urls: Urls
    database: Database
    workflows: Workflows
    notifications: Notifications
    operations: Operations
    approvals: Approvals
    subscriptions: Subscriptions
    accounts: Accounts
    profiles: Profiles
    pins: Pins
    first_pins: FirstPins
    pin_resets: PinResets
    recovery: Recovery
    directory: Directory


@dataclass
class Parts(Built):
    """The services at work, with the parts that a test has in its hand."""

    sandbox: SandboxBank
    bank: ScriptedBank
    console: ConsoleSms
    sms: MoodySms
    events: MoodyEvents

    async def open(self, workflow_id: str, phone: str, *, wait_s: float = 5.0, **changes: Any) -> Any:
        return await self.accounts.register(workflow_id, opening(phone, **changes), wait_s=wait_s)

    async def register(
        self, workflow_id: str, phone: str, born: date = BORN, *, wait_s: float = 5.0, language: str = "en"
    ) -> Any:
        request = RegisterSubscription(phone, born, language, "api", "api")
        return await self.subscriptions.register(workflow_id, request, wait_s=wait_s)

    async def choose_pin(
        self, workflow_id: str, phone: str, pin: str, born: date = OPENED_BORN, *, wait_s: float = 5.0
    ) -> str:
        """`set`, `pending`, or the code of why not."""
        try:
            pending = await self.first_pins.choose(workflow_id, FirstPin(phone, born, pin), wait_s=wait_s)
        except UssdError as error:
            return error.code
        return "pending" if pending else "set"

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        return await self.database.read(lambda connection: list(connection.execute(text(sql), values).all()))

    async def do(self, sql: str, **values: Any) -> None:
        """Past the services, as nobody should."""
        await self.database.write(lambda connection: connection.execute(text(sql), values))

    async def one(self, sql: str, **values: Any) -> Any:
        (row,) = await self.rows(sql, **values)
        return row

    async def state(self, phone: str, kind: str = "account.open") -> str:
        sql = "SELECT state FROM operations WHERE phone_number = :phone AND kind = :kind"
        rows = await self.rows(sql + " ORDER BY created_at DESC", phone=phone, kind=kind)
        return str(rows[0].state) if rows else "none"

    async def texts(self, phone: str) -> list[str]:
        return [sms.text for sms in await self.console.sent(phone)]

    async def text_comes(self, phone: str) -> str:
        """The one SMS that this number gets."""
        await eventually(lambda: self._has_text(phone))
        (only,) = await self.texts(phone)
        return only

    async def _has_text(self, phone: str) -> bool:
        return bool(await self.texts(phone))


def opening(phone: str, **changes: Any) -> OpenAccountRequest:
    fields: dict[str, Any] = {
        "first_name": "Ann",
        "last_name": "Sample",
        "date_of_birth": OPENED_BORN,
        "language": "en",
        "national_id": f"ID{phone}",
        "gender": None,
        "product": None,
        "channel": "ussd",
        "maker": "ussd",
    }
    return OpenAccountRequest(phone_number=phone, **{**fields, **changes})


async def eventually(happened: Callable[[], Awaitable[bool]]) -> None:
    """Return when it has happened; a test that waits for ever has failed."""
    async with asyncio.timeout(15):
        while not await happened():
            await asyncio.sleep(0.02)


def build(
    folder: Path,
    clock: Clock,
    bank: CoreBanking,
    sms: SmsSender,
    events: Events,
    *,
    automatic: frozenset[str] = frozenset({"account.open"}),
    reconcile: Backoff = RECONCILE,
    conduct: type[Operations] = Operations,
    policy: Policy = POLICY,
    limit: Limit = LIMIT,
    retry: Backoff = RETRY,
    numbers: NumberGate | None = None,
    expires_after: timedelta = timedelta(days=30),
    urls: Urls | None = None,
) -> Built:
    templates, findings = parse_templates(read(SMS_FILE))
    assert not findings
    urls = urls or sqlite_in(folder)
    database = Database(urls.platform)
    workflows = Workflows(urls.workflows, KEYS, executor_id="test", application_version="1", persist=PERSIST)
    notifications = Notifications(
        database, KEYS, clock, workflows, sms, events, lambda: templates, retry, HELD_FOR_S
    )
    operations = conduct(database, KEYS, clock, workflows, notifications)
    directory = Directory(KEYS, ("alternate_phone",))
    approvals = Approvals(
        database,
        KEYS,
        clock,
        workflows,
        notifications,
        automatic,
        {**admission.kinds(KEYS, directory), **profile.kinds(), **pin_reset.kinds()},
        expires_after,
    )
    admissions = Admission(KEYS, directory, approvals)
    gate, hashes = BirthDateGate(database, KEYS, clock, bank, limit, numbers, workflows), HashRoom()
    return Built(
        urls=urls,
        database=database,
        workflows=workflows,
        notifications=notifications,
        operations=operations,
        approvals=approvals,
        subscriptions=Subscriptions(database, KEYS, bank, directory, policy, gate, operations, admissions),
        accounts=Accounts(
            database,
            directory,
            policy,
            workflows,
            operations,
            Opening(database, bank, clock, workflows, reconcile),
            admissions,
        ),
        profiles=Profiles(database, KEYS, clock, directory, policy, workflows, approvals),
        pins=Pins(limit, hashes, workflows, policy, directory, database, KEYS, clock),
        first_pins=FirstPins(gate, operations, hashes, policy, directory, database, KEYS, clock),
        pin_resets=PinResets(database, KEYS, directory, approvals),
        recovery=Recovery(database, KEYS, clock, workflows),
        directory=directory,
    )


def database_url(folder: Path) -> str:
    return sqlite_in(folder).platform


async def prepare(database: Database) -> None:
    await database.write(
        lambda connection: ensure_reference_data(connection, KEYS, POLICY.rules(), datetime.now(UTC))
    )


async def launch(built: Built, further: Mapping[str, Body] = MappingProxyType({})) -> None:
    await built.workflows.launch(
        {
            **further,
            "subscription.register": built.subscriptions.workflow,
            "account.open": built.accounts.workflow,
            "subscription.language": built.profiles.workflow,
            "change.tell": built.approvals.workflow,
            "pin.verify": built.pins.verify_workflow,
            "pin.change": built.pins.change_workflow,
            "pin.set": built.first_pins.workflow,
            "sms.deliver": built.notifications.workflow,
        }
    )


@asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Parts]:
    clock = WallClock()
    sandbox = SandboxBank(folder / "bank.db", clock, timeout_s=BANK_TIMEOUT_S, slow_s=1.0, approval_s=0.6)
    console = ConsoleSms(folder / "sms.db", clock, None)
    bank, sms, events = ScriptedBank(sandbox), MoodySms(console), MoodyEvents()
    wrap = options.pop("wrap", lambda part: part)
    urls = options.pop("urls", None) or sqlite_in(folder)
    await migrate(urls.platform, KEYS)
    built = build(folder, clock, wrap(bank), wrap(sms), wrap(events), urls=urls, **options)
    await prepare(built.database)
    await launch(built)
    try:
        yield Parts(**vars(built), sandbox=sandbox, bank=bank, console=console, sms=sms, events=events)
    finally:
        await built.workflows.close()
        await built.pins.hashes.close()
        await built.database.close()
        await bank.close()
        await sms.close()
