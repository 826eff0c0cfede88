"""The composition root: settings to adapters to services to the application. The only module that knows all.

What is started here is stopped here, in the opposite order, also when a later part fails to start.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from aiohttp import web
from sqlalchemy import text

from adapters.cbs.sandbox import SandboxBank
from adapters.events.memory import MemoryEvents
from adapters.events.redis import RedisEvents
from adapters.gateways import GATEWAYS
from adapters.sessions.embedded import EmbeddedRedis
from adapters.sessions.memory import MemorySessionStore
from adapters.sessions.redis import RedisSessionStore
from adapters.sms.console import ConsoleSms
from ussd_engine.errors import SettingsError
from ussd_engine.flow.loader import Library, load
from ussd_engine.platform.database import Database
from ussd_engine.platform.migrate import migrate
from ussd_engine.platform.reference import ensure_reference_data
from ussd_engine.ports import Clock, Events, Gateway, SessionStore
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.program import Program
from ussd_engine.runtime.render import Profile
from ussd_engine.sealing import KeyRing, load_or_create
from ussd_engine.services.accounts import Accounts
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.actions import Actions
from ussd_engine.services.admission import Admission
from ussd_engine.services.approvals import Approvals
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.callbacks import Callbacks, Network
from ussd_engine.services.idempotency import IdempotencyKeys
from ussd_engine.services.notifications import Notifications
from ussd_engine.services.opening import Opening
from ussd_engine.services.operations import Operations
from ussd_engine.services.profile import WORKFLOW as LANGUAGE_WORKFLOW
from ussd_engine.services.profile import Profiles
from ussd_engine.services.subscription import Subscriptions
from ussd_engine.services.translations import Translations
from ussd_engine.services.workflows import Workflows
from ussd_engine.settings import Settings
from ussd_engine.settings_model import EMBEDDED
from ussd_engine.web.api_v1 import Api
from ussd_engine.web.app import build_app
from ussd_engine.web.feed import Feed
from ussd_engine.web.health import Check
from ussd_engine.web.security import load_or_create_api_key

PERSIST = Backoff(first_delay_s=0.2, factor=2.0, max_delay_s=30.0, give_up_after_s=60.0)
"""For recording what is done already: soon at first, and then every half minute until it is recorded."""
SMS_RETRY = Backoff(first_delay_s=2.0, factor=2.0, max_delay_s=600.0, give_up_after_s=86_400.0)
"""For a message that the sender did not take: a day, after which the news is stale."""

Sessions = Literal["configured", "memory"]


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
    program: Program
    callbacks: Callbacks
    gateways: Mapping[str, Gateway]
    sms: ConsoleSms
    api_key: str
    api_key_file: Path | None
    app: web.Application


def load_flows(settings: Settings) -> tuple[Library, Program]:
    """The shipped or configured flows, compiled. Raises InvalidFlows with every finding."""
    folder = settings.flows.dir
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    library = load(folder, SPECS, str(shown))
    return library, compile_library(library, SPECS, settings.phone.default_region)


@asynccontextmanager
async def running(settings: Settings, *, sessions: Sessions = "configured") -> AsyncIterator[Engine]:
    """Start everything, and stop it at the end of the block."""
    library, program = load_flows(settings)
    data_dir = settings.data_dir
    if set("?%") & set(str(data_dir)):
        raise SettingsError(f"data_dir: {data_dir} holds '?' or '%', which an address cannot; choose another")
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys, clock = load_or_create(settings.key_file), SystemClock()
    async with AsyncExitStack() as stack:
        store, events = await _stores(settings, sessions, clock, stack)
        database = await _database(settings, keys, stack)
        workflows = Workflows(
            _workflows_url(settings),
            keys,
            executor_id=settings.workflows.executor_id,
            application_version=settings.workflows.application_version,
            persist=PERSIST,
        )
        # `play` shows the messages itself
        echo = sys.stdout if sys.stdout.isatty() and sessions == "configured" else None
        bank, sms = _bank(settings, clock), ConsoleSms(data_dir / "sms.sqlite", clock, echo)
        stack.push_async_callback(bank.close)
        stack.push_async_callback(sms.close)
        notifications = Notifications(database, keys, clock, workflows, sms, events, library.sms, SMS_RETRY)
        operations = Operations(database, keys, clock, workflows, notifications)
        admission = Admission(keys, Approvals(keys, frozenset(settings.approvals.automatic)))
        opening = Opening(database, bank, clock, workflows, _reconcile(settings))
        subscriptions = Subscriptions(database, bank, workflows, operations, admission)
        accounts = Accounts(database, bank, workflows, operations, opening, admission)
        profiles = Profiles(database, keys, workflows, clock)
        await workflows.launch(
            {
                "subscription.register": subscriptions.workflow,
                "account.open": accounts.workflow,
                LANGUAGE_WORKFLOW: profiles.workflow,
            }
        )
        stack.push_async_callback(workflows.close)
        callbacks = Callbacks(
            program=program,
            store=store,
            actions=Actions(subscriptions, accounts, profiles, workflows),
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
        translations = Translations(library)
        api = Api(
            key=api_key,
            region=settings.phone.default_region,
            languages=translations.languages,
            max_body_bytes=settings.api.max_body_bytes,
            answer_deadline_s=settings.api.answer_deadline_s,
            clock=clock,
            subscriptions=subscriptions,
            accounts=accounts,
            idempotency=IdempotencyKeys(database, keys, clock),
            translations=translations,
        )
        checks: dict[str, Check] = {"sessions": store.ping, "database": lambda: _ping(database)}
        feed = Feed(events, authenticate=api.authenticate, listeners=settings.feed.listeners)
        app = build_app(api=api, gateways=gateways, callbacks=callbacks, events=feed, checks=checks)
        yield Engine(
            settings=settings,
            program=program,
            callbacks=callbacks,
            gateways=gateways,
            sms=sms,
            api_key=api_key,
            api_key_file=api_key_file,
            app=app,
        )


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


async def _database(settings: Settings, keys: KeyRing, stack: AsyncExitStack) -> Database:
    url = settings.database.url.get_secret_value()
    if url == EMBEDDED:
        url = f"sqlite+aiosqlite:///{settings.data_dir / 'platform.sqlite'}"
    await migrate(url, keys)
    database = Database(url)
    stack.push_async_callback(database.close)
    await ensure_reference_data(database)
    return database


async def _ping(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))


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


def _reconcile(settings: Settings) -> Backoff:
    entry = settings.reconcile
    return Backoff(entry.first_delay_s, entry.factor, entry.max_delay_s, entry.give_up_after_s)


def _networks(settings: Settings) -> dict[str, Network]:
    return {
        code: Network(
            profile=Profile(profile.page_septets, profile.page_ucs2, profile.input_max),
            ttl_ms=round((profile.session_s + profile.grace_s) * 1000),
            answer_deadline_s=profile.answer_deadline_s,
        )
        for code, profile in settings.network_profiles.items()
    }
