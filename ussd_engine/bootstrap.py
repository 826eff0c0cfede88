"""The composition root: settings to adapters to services to the application. The only module that knows all.

What is started here is stopped here, in the opposite order, also when a later part fails to start.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol, TextIO

from aiohttp import web
from aiohttp.typedefs import Handler
from sqlalchemy import text

from adapters.cbs.sandbox import SandboxBank
from adapters.events.memory import MemoryEvents
from adapters.events.redis import RedisEvents
from adapters.gateways import GATEWAYS
from adapters.numbers.camara import CamaraNumberChecks
from adapters.numbers.sandbox import SandboxNumberChecks
from adapters.sessions.embedded import EmbeddedRedis
from adapters.sessions.memory import MemorySessionStore
from adapters.sessions.redis import RedisSessionStore
from adapters.sms.africastalking import AfricasTalkingSms, parse_report
from adapters.sms.console import ConsoleSms
from ussd_engine.errors import FlowError, SettingsError
from ussd_engine.flow.loader import Library
from ussd_engine.platform import revisions
from ussd_engine.platform.customers import Directory
from ussd_engine.platform.database import Database
from ussd_engine.platform.gate import Limit
from ussd_engine.platform.reference import ensure_reference_data
from ussd_engine.platform.staff import Act
from ussd_engine.ports import Clock, Events, Gateway, SessionStore, SmsSender
from ussd_engine.reloading import tell_refused
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.program import Program
from ussd_engine.sealing import KeyRing
from ussd_engine.services import admission, pin_reset, profile, publishing
from ussd_engine.services.accounts import Accounts
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.actions import Actions
from ussd_engine.services.admission import Admission
from ussd_engine.services.approvals import WORKFLOW as DECISION
from ussd_engine.services.approvals import Approvals
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.birth_date_gate import BirthDateGate
from ussd_engine.services.callbacks import Callbacks, Network, Programs
from ussd_engine.services.callers import Callers
from ussd_engine.services.deliveries import Deliveries
from ussd_engine.services.first_pin import SET, FirstPins
from ussd_engine.services.idempotency import IdempotencyKeys
from ussd_engine.services.live import LOOK_EVERY_S, Live, announce
from ussd_engine.services.maintenance import maintained
from ussd_engine.services.notifications import WORKFLOW as MESSAGE
from ussd_engine.services.notifications import Notifications
from ussd_engine.services.number_gate import NumberGate
from ussd_engine.services.opening import Opening
from ussd_engine.services.operations import Operations
from ussd_engine.services.pin_hashes import HashRoom
from ussd_engine.services.pin_reset import PinResets
from ussd_engine.services.pins import CHANGE, VERIFY, Pins
from ussd_engine.services.policies import Policy
from ussd_engine.services.profile import LANGUAGE, Profiles
from ussd_engine.services.publishing import ACTOR, Checked, Folder
from ussd_engine.services.recovery import Recovery
from ussd_engine.services.subscription import Subscriptions
from ussd_engine.services.translations import Translations
from ussd_engine.services.translations import kinds as overridden
from ussd_engine.services.workers import BEAT_S, Workers
from ussd_engine.services.workflows import Workflows
from ussd_engine.settings import Settings
from ussd_engine.settings_model import EMBEDDED, NumberChecks
from ussd_engine.storage import open_database, prepare
from ussd_engine.web.api_v1 import Api
from ussd_engine.web.app import build_app
from ussd_engine.web.feed import Feed
from ussd_engine.web.security import load_or_create_api_key
from ussd_engine.web.sms_reports import reports_route
from ussd_engine.web.staff_api import StaffApi

PERSIST = Backoff(first_delay_s=0.2, factor=2.0, max_delay_s=30.0, give_up_after_s=60.0)
"""For recording what is done already: soon at first, and then every half minute until it is recorded."""
SMS_RETRY = Backoff(first_delay_s=2.0, factor=2.0, max_delay_s=600.0, give_up_after_s=86_400.0)
"""For a message that the sender did not take: a day, after which the news is stale."""

Sessions = Literal["configured", "memory"]
TakeUp = Literal["unless_published", "always", "played", "never"]
"""Whether the folder of flows becomes the current revision at the start. `never` serves what is current already, and
a folder that is `played` needs no SMS texts: who writes a flow has the menus first.
"""


class Between(Protocol):
    """What stands between the flows and the engine behind them, where somebody plays with it."""

    def actions(self, real: Actions) -> Actions: ...
    def programs(self, real: Programs) -> Programs: ...


class SystemClock:
    """The port Clock on this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Engine:
    """What the commands need of all that runs. `api_key_file` is set when the engine made the key itself."""

    settings: Settings
    live: Live
    folder: Folder
    callbacks: Callbacks
    gateways: Mapping[str, Gateway]
    sms: SmsSender
    api_key: str
    api_key_file: Path | None
    app: web.Application


def check_flows(settings: Settings, *, sms: bool = True) -> Checked:
    """The shipped or configured flows. Raises InvalidFlows with every finding."""
    folder = settings.flows.dir
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    return publishing.check(folder, str(shown), settings.phone.default_region, settings.screens, sms=sms)


def _compiled(library: Library, settings: Settings) -> Program:
    return compile_library(library, SPECS, settings.phone.default_region)


def _policy(settings: Settings) -> Policy:
    policy = settings.policy
    return Policy(frozenset(policy.actions), policy.kyc_tier, policy.openings_per_day)


def _limit(settings: Settings) -> Limit:
    return Limit(settings.gate.attempts, settings.gate.lockout_s)


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    sessions: Sessions = "configured",
    flows: TakeUp = "unless_published",
    between: Between | None = None,
) -> AsyncIterator[Engine]:
    """Start everything, and stop it at the end of the block."""
    data_dir = settings.data_dir
    keys, clock = prepare(settings), SystemClock()
    async with AsyncExitStack() as stack:
        store, events = await _stores(settings, sessions, clock, stack)
        policy = _policy(settings)
        database = await stack.enter_async_context(open_database(settings, keys))
        await database.write(lambda c: ensure_reference_data(c, keys, policy.rules(), clock.now()))
        await _take_up(flows, settings, database, store, keys, clock)
        live = Live(
            database,
            store,
            lambda library: _compiled(library, settings),
            clock,
            max(network.ttl_ms for network in _networks(settings).values()) / 1000,
            settings.screens,
        )
        stack.push_async_callback(live.close)
        await live.open()
        translations = Translations(live)
        workflows = Workflows(
            _workflows_url(settings),
            keys,
            executor_id=settings.workflows.executor_id,
            application_version=settings.workflows.application_version,
            persist=PERSIST,
        )
        # `play` shows the messages itself
        echo = sys.stdout if sys.stdout.isatty() and sessions == "configured" else None
        bank, sms = _bank(settings, clock), _sms(settings, clock, echo)
        stack.push_async_callback(bank.close)
        stack.push_async_callback(sms.close)
        notifications = Notifications(
            database,
            keys,
            clock,
            workflows,
            sms,
            events,
            lambda: live.current.library.sms,
            SMS_RETRY,
            _held_for_s(settings),
        )
        operations = Operations(database, keys, clock, workflows, notifications)
        directory = Directory(keys, settings.identities.resolve_phone_by)
        approvals = Approvals(
            database,
            keys,
            clock,
            workflows,
            notifications,
            frozenset(settings.approvals.automatic),
            {
                **admission.kinds(keys, directory),
                **profile.kinds(),
                **pin_reset.kinds(),
                **overridden(live.announce),
            },
            timedelta(days=settings.approvals.expire_days),
        )
        admissions = Admission(keys, directory, approvals)
        gate = BirthDateGate(
            database,
            keys,
            clock,
            bank,
            _limit(settings),
            await _number_gate(settings, clock, stack),
            workflows,
        )
        subscriptions = Subscriptions(database, keys, bank, directory, policy, gate, operations, admissions)
        accounts = Accounts(
            database,
            directory,
            policy,
            workflows,
            operations,
            Opening(database, bank, clock, workflows, _reconcile(settings)),
            admissions,
        )
        profiles = Profiles(database, keys, clock, directory, policy, workflows, approvals)
        pins = Pins(_limit(settings), HashRoom(), workflows, policy, directory, database, keys, clock)
        first_pins = FirstPins(gate, operations, pins.hashes, policy, directory, database, keys, clock)
        recovery = Recovery(database, keys, clock, workflows)
        workers = Workers(database, clock, workflows, settings.workflows.executor_id)
        await workers.beat()
        stack.push_async_callback(workers.leave)  # after the workflows have come to rest
        await workflows.launch(
            {
                "subscription.register": subscriptions.workflow,
                "account.open": accounts.workflow,
                LANGUAGE: profiles.workflow,
                DECISION: approvals.workflow,
                VERIFY: pins.verify_workflow,
                CHANGE: pins.change_workflow,
                SET: first_pins.workflow,
                MESSAGE: notifications.workflow,
            }
        )
        stack.push_async_callback(workflows.close)
        await stack.enter_async_context(
            maintained(
                {
                    "changes_expire": approvals.expire,
                    "decisions_untold": approvals.tell_left,
                    "operations_abandoned": recovery.take_up_abandoned,
                    "messages_abandoned": recovery.take_up_messages,
                    "failures_untold": notifications.tell_failures,
                }
            )
        )
        await stack.enter_async_context(maintained({"flows": live.look}, LOOK_EVERY_S))
        # apart, so that no work that is taken over holds up a sign of life
        await stack.enter_async_context(maintained({"sign_of_life": workers.beat}, BEAT_S))
        await stack.enter_async_context(maintained({"workers": workers.look_after}, BEAT_S))
        actions = Actions(subscriptions, accounts, profiles, pins, first_pins, workflows)
        callbacks = Callbacks(
            programs=between.programs(live) if between else live,
            store=store,
            actions=between.actions(actions) if between else actions,
            keys=keys,
            clock=clock,
            networks=_networks(settings),
        )
        gateways: dict[str, Gateway] = {
            name: GATEWAYS[entry.type](name, accept_unescaped_plus=entry.accept_unescaped_plus)
            for name, entry in settings.gateways.items()
        }
        configured = settings.api.key
        api_key, api_key_file = load_or_create_api_key(
            data_dir, configured.get_secret_value() if configured else None
        )
        callers = Callers(database, clock, api_key)
        deliveries = Deliveries(database, keys, clock, notifications.tell_failures)
        staff = StaffApi(
            callers=callers,
            approvals=approvals,
            translations=translations,
            pin_resets=PinResets(database, keys, directory, approvals),
            recovery=recovery,
            deliveries=deliveries,
            region=settings.phone.default_region,
            clock=clock,
            max_body_bytes=settings.api.max_body_bytes,
        )
        api = Api(
            callers=callers,
            region=settings.phone.default_region,
            max_body_bytes=settings.api.max_body_bytes,
            answer_deadline_s=settings.api.answer_deadline_s,
            clock=clock,
            subscriptions=subscriptions,
            accounts=accounts,
            idempotency=IdempotencyKeys(database, keys, clock),
            translations=translations,
        )
        app = build_app(
            api=api,
            staff=staff,
            gateways=gateways,
            callbacks=callbacks,
            events=Feed(events, callers, listeners=settings.feed.listeners),
            checks={"sessions": store.ping, "database": lambda: _ping(database)},
            sms_reports=_sms_reports(settings, deliveries),
        )
        yield Engine(
            settings=settings,
            live=live,
            folder=Folder(lambda: check_flows(settings), database, keys, clock, live),
            callbacks=callbacks,
            gateways=gateways,
            sms=sms,
            api_key=api_key,
            api_key_file=api_key_file,
            app=app,
        )


async def _take_up(
    flows: TakeUp, settings: Settings, database: Database, store: SessionStore, keys: KeyRing, clock: Clock
) -> None:
    """A folder that is not wanted is not read: it may hold anything. One that is broken leaves what is current."""
    if flows == "never" or (flows == "unless_published" and await database.read(revisions.decided)):
        return
    try:
        revision = check_flows(settings, sms=flows != "played").revision
    except FlowError as error:
        last = await database.read(revisions.current)
        if last is None or flows == "played":
            raise
        tell_refused(error, last.revision)
        return
    act = Act(ACTOR, "start", clock.now())
    over = flows in {"always", "played"}
    if await database.write(lambda c: publishing.take_up(c, keys, revision, act, over_a_decision=over)):
        await announce(store)


async def _stores(
    settings: Settings, sessions: Sessions, clock: Clock, stack: AsyncExitStack
) -> tuple[SessionStore, Events]:
    if sessions == "memory":
        return MemorySessionStore(clock), MemoryEvents()
    url = settings.redis.url.get_secret_value()
    if url == EMBEDDED:
        server = EmbeddedRedis(settings.data_dir)
        await server.start()
        stack.push_async_callback(server.stop)
        url = server.url
    store = RedisSessionStore(url, timeout_s=settings.redis.timeout_s)
    stack.push_async_callback(store.close)
    events = RedisEvents(url, timeout_s=settings.redis.timeout_s, keep_events=settings.feed.keep_events)
    stack.push_async_callback(events.close)
    return store, events


async def _ping(database: Database) -> None:
    await database.read(lambda connection: connection.execute(text("SELECT 1")).scalar())


def _workflows_url(settings: Settings) -> str:
    url = settings.workflows.url.get_secret_value()
    return f"sqlite:///{settings.data_dir / 'workflows.sqlite'}" if url == EMBEDDED else url


def _bank(settings: Settings, clock: Clock) -> SandboxBank:
    sandbox = settings.cbs.sandbox
    return SandboxBank(
        settings.data_dir / "sandbox_bank.sqlite",
        clock,
        timeout_s=settings.cbs.timeout_s,
        slow_s=sandbox.slow_s,
        approval_s=sandbox.approval_s,
    )


def _sms(settings: Settings, clock: Clock, echo: TextIO | None) -> SmsSender:
    if settings.sms.adapter == "console":
        return ConsoleSms(settings.data_dir / "sms.sqlite", clock, echo)
    entry = settings.sms.africastalking
    if entry.username is None or entry.api_key is None:
        raise SettingsError("sms.adapter africastalking needs sms.africastalking.username and api_key")
    return AfricasTalkingSms(
        base_url=entry.base_url,
        username=entry.username,
        api_key=entry.api_key.get_secret_value(),
        sender_id=entry.sender_id,
        timeout_s=entry.timeout_s,
    )


def _held_for_s(settings: Settings) -> float:
    """How long an attempt at a message may be under way, with the time to note how it went."""
    sends_within_s = 5.0 if settings.sms.adapter == "console" else settings.sms.africastalking.timeout_s
    return sends_within_s + 10.0


def _sms_reports(settings: Settings, deliveries: Deliveries) -> dict[str, Handler]:
    """The routes of delivery reports by instance name. The console sender has none."""
    if settings.sms.adapter == "console":
        return {}
    route = reports_route(parse_report, deliveries, settings.api.max_body_bytes)
    return {settings.sms.africastalking.reports_name: route}


async def _number_gate(settings: Settings, clock: Clock, stack: AsyncExitStack) -> NumberGate | None:
    entry = settings.number_checks
    if entry.adapter is None:
        return None
    checks = SandboxNumberChecks(clock) if entry.adapter == "sandbox" else _camara(entry, clock)
    stack.push_async_callback(checks.close)
    return NumberGate(
        checks, sim_swap_within_h=entry.sim_swap_within_h, when_unavailable=entry.when_unavailable
    )


def _camara(entry: NumberChecks, clock: Clock) -> CamaraNumberChecks:
    camara = entry.camara
    if camara.token_url is None or camara.client_id is None or camara.client_secret is None:
        raise SettingsError(
            "number_checks.adapter camara needs token_url, client_id and client_secret of number_checks.camara"
        )
    if camara.sim_swap_url is None and camara.number_recycling_url is None:
        raise SettingsError(
            "number_checks.adapter camara needs sim_swap_url or number_recycling_url, or nothing is checked"
        )
    return CamaraNumberChecks(
        clock,
        sim_swap_url=camara.sim_swap_url,
        number_recycling_url=camara.number_recycling_url,
        token_url=camara.token_url,
        client_id=camara.client_id,
        client_secret=camara.client_secret.get_secret_value(),
        scope=camara.scope,
        timeout_s=entry.timeout_s,
    )


def _reconcile(settings: Settings) -> Backoff:
    entry = settings.reconcile
    return Backoff(entry.first_delay_s, entry.factor, entry.max_delay_s, entry.give_up_after_s)


def _networks(settings: Settings) -> dict[str, Network]:
    return {
        code: Network(
            profile=profile.profile,
            ttl_ms=round((profile.session_s + profile.grace_s) * 1000),
            answer_deadline_s=profile.answer_deadline_s,
        )
        for code, profile in settings.network_profiles.items()
    }
