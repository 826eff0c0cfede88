"""The composition root: the adapters of `configured` to services to the application. The only module that knows all.

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
from typing import Literal, Protocol

from aiohttp import web
from sqlalchemy import text

from ussd_engine import configured
from ussd_engine.configured import Sessions
from ussd_engine.errors import FlowError
from ussd_engine.flow.loader import Library
from ussd_engine.platform import revisions
from ussd_engine.platform.database import Database
from ussd_engine.platform.directory import Directory
from ussd_engine.platform.reference import ensure_reference_data
from ussd_engine.platform.staff import Act
from ussd_engine.ports import Clock, Gateway, SessionStore, SmsSender
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
from ussd_engine.services.callbacks import Callbacks, Programs
from ussd_engine.services.callers import Callers
from ussd_engine.services.deliveries import Deliveries
from ussd_engine.services.first_pin import SET, FirstPins
from ussd_engine.services.idempotency import IdempotencyKeys
from ussd_engine.services.live import LOOK_EVERY_S, Live, announce
from ussd_engine.services.maintenance import maintained
from ussd_engine.services.notifications import WORKFLOW as MESSAGE
from ussd_engine.services.notifications import Notifications
from ussd_engine.services.opening import Opening
from ussd_engine.services.operations import Operations
from ussd_engine.services.pin_hashes import HashRoom
from ussd_engine.services.pin_reset import PinResets
from ussd_engine.services.pins import CHANGE, VERIFY, Pins
from ussd_engine.services.profile import LANGUAGE, Profiles
from ussd_engine.services.publishing import ACTOR, Checked, Folder
from ussd_engine.services.recovery import Recovery
from ussd_engine.services.subscription import Subscriptions
from ussd_engine.services.translations import Translations
from ussd_engine.services.translations import kinds as overridden
from ussd_engine.services.workers import BEAT_S, Workers
from ussd_engine.services.workflows import Workflows
from ussd_engine.settings import Settings
from ussd_engine.storage import open_database, prepare
from ussd_engine.web.api_v1 import Api
from ussd_engine.web.app import build_app
from ussd_engine.web.feed import Feed
from ussd_engine.web.staff_api import StaffApi

PERSIST = Backoff(first_delay_s=0.2, factor=2.0, max_delay_s=30.0, give_up_after_s=60.0)
"""For recording what is done already: soon at first, and then every half minute until it is recorded."""
SMS_RETRY = Backoff(first_delay_s=2.0, factor=2.0, max_delay_s=600.0, give_up_after_s=86_400.0)
"""For a message that the sender did not take: a day, after which the news is stale."""

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
    return publishing.check(settings.flows.dir, settings.phone.default_region, settings.screens, sms=sms)


def _compiled(library: Library, settings: Settings) -> Program:
    return compile_library(library, SPECS, settings.phone.default_region)


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    sessions: Sessions = "configured",
    flows: TakeUp = "unless_published",
    between: Between | None = None,
) -> AsyncIterator[Engine]:
    """Start everything, and stop it at the end of the block."""
    keys, clock = prepare(settings), SystemClock()
    async with AsyncExitStack() as stack:
        store, events = await configured.stores(settings, sessions, clock, stack)
        policy = configured.policy(settings)
        database = await stack.enter_async_context(open_database(settings, keys))
        await database.write(lambda c: ensure_reference_data(c, keys, policy.rules(), clock.now()))
        await _take_up(flows, settings, database, store, keys, clock)
        live = Live(
            database,
            store,
            lambda library: _compiled(library, settings),
            clock,
            max(network.ttl_ms for network in configured.networks(settings).values()) / 1000,
            settings.screens,
        )
        stack.push_async_callback(live.close)
        await live.open()
        translations = Translations(live)
        workflows = Workflows(
            configured.workflows_url(settings),
            keys,
            executor_id=settings.workflows.executor_id,
            application_version=settings.workflows.application_version,
            persist=PERSIST,
        )
        # `play` shows the messages itself
        echo = sys.stdout if sys.stdout.isatty() and sessions == "configured" else None
        bank, sms = configured.bank(settings, clock), configured.sms(settings, clock, echo)
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
            configured.held_for_s(settings),
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
            configured.limit(settings),
            await configured.number_gate(settings, clock, stack),
            workflows,
        )
        subscriptions = Subscriptions(database, keys, bank, directory, policy, gate, operations, admissions)
        accounts = Accounts(
            database,
            directory,
            policy,
            workflows,
            operations,
            Opening(database, bank, clock, workflows, configured.reconcile(settings)),
            admissions,
        )
        profiles = Profiles(database, keys, clock, directory, policy, workflows, approvals)
        hashes = HashRoom()
        stack.push_async_callback(hashes.close)
        pins = Pins(configured.limit(settings), hashes, workflows, policy, directory, database, keys, clock)
        first_pins = FirstPins(gate, operations, hashes, policy, directory, database, keys, clock)
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
            networks=configured.networks(settings),
        )
        gateways = configured.gateways(settings)
        api_key, api_key_file = configured.api_key(settings)
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
            sms_reports=configured.sms_reports(settings, deliveries),
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


async def _ping(database: Database) -> None:
    await database.read(lambda connection: connection.execute(text("SELECT 1")).scalar())
