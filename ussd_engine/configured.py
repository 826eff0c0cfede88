"""What the settings name, made: the adapters, and the rules and limits of the services."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal, TextIO

from aiohttp.typedefs import Handler

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
from ussd_engine.errors import SettingsError
from ussd_engine.platform.gate import Limit
from ussd_engine.ports import Clock, Events, Gateway, SessionStore, SmsSender
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.callbacks import Network
from ussd_engine.services.deliveries import Deliveries
from ussd_engine.services.number_gate import NumberGate
from ussd_engine.services.policies import Policy
from ussd_engine.settings import Settings
from ussd_engine.settings_model import EMBEDDED, NumberChecks
from ussd_engine.web.security import load_or_create_api_key
from ussd_engine.web.sms_reports import reports_route

Sessions = Literal["configured", "memory"]


async def stores(
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


def workflows_url(settings: Settings) -> str:
    url = settings.workflows.url.get_secret_value()
    return f"sqlite:///{settings.data_dir / 'workflows.sqlite'}" if url == EMBEDDED else url


def bank(settings: Settings, clock: Clock) -> SandboxBank:
    sandbox = settings.cbs.sandbox
    return SandboxBank(
        settings.data_dir / "sandbox_bank.sqlite",
        clock,
        timeout_s=settings.cbs.timeout_s,
        slow_s=sandbox.slow_s,
        approval_s=sandbox.approval_s,
    )


def sms(settings: Settings, clock: Clock, echo: TextIO | None) -> SmsSender:
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


def held_for_s(settings: Settings) -> float:
    """How long an attempt at a message may be under way, with the time to note how it went."""
    sends_within_s = 5.0 if settings.sms.adapter == "console" else settings.sms.africastalking.timeout_s
    return sends_within_s + 10.0


def sms_reports(settings: Settings, deliveries: Deliveries) -> dict[str, Handler]:
    """The routes of delivery reports by instance name. The console sender has none."""
    if settings.sms.adapter == "console":
        return {}
    route = reports_route(parse_report, deliveries, settings.api.max_body_bytes)
    return {settings.sms.africastalking.reports_name: route}


async def number_gate(settings: Settings, clock: Clock, stack: AsyncExitStack) -> NumberGate | None:
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


def reconcile(settings: Settings) -> Backoff:
    entry = settings.reconcile
    return Backoff(entry.first_delay_s, entry.factor, entry.max_delay_s, entry.give_up_after_s)


def networks(settings: Settings) -> dict[str, Network]:
    return {
        code: Network(
            profile=profile.profile,
            ttl_ms=round((profile.session_s + profile.grace_s) * 1000),
            answer_deadline_s=profile.answer_deadline_s,
        )
        for code, profile in settings.network_profiles.items()
    }


def policy(settings: Settings) -> Policy:
    policy = settings.policy
    return Policy(frozenset(policy.actions), policy.kyc_tier, policy.openings_per_day)


def limit(settings: Settings) -> Limit:
    return Limit(settings.gate.attempts, settings.gate.lockout_s)


def gateways(settings: Settings) -> dict[str, Gateway]:
    """By instance name."""
    return {
        name: GATEWAYS[entry.type](name, accept_unescaped_plus=entry.accept_unescaped_plus)
        for name, entry in settings.gateways.items()
    }


def api_key(settings: Settings) -> tuple[str, Path | None]:
    """The key, and the file that it is kept in where the engine has made it itself."""
    own = settings.api.key
    return load_or_create_api_key(settings.data_dir, own.get_secret_value() if own else None)
