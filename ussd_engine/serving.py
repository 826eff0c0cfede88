"""`ussd serve`: the service from start to end, and what it tells the person who started it."""

from __future__ import annotations

import asyncio
import gc
import shlex
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, TextIO

import structlog
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from ussd_engine import logs
from ussd_engine.bootstrap import Engine, TakeUp, running
from ussd_engine.errors import DatabaseUnavailable, SettingsError
from ussd_engine.listening import bound, cannot_listen
from ussd_engine.reloading import reloading, watching
from ussd_engine.services.publishing import shown
from ussd_engine.signals import Signals
from ussd_engine.web.api_v1 import PREFIX
from ussd_engine.web.app import runner

if TYPE_CHECKING:
    from ussd_engine.settings import Settings

log = structlog.get_logger(__name__)

SAMPLE_PHONE = "+254711000000"
SAMPLE_NETWORK = "63902"
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - shown to a person, never bound
"""An address that means all of them, to one that can be typed."""


async def serve(settings: Settings, out: TextIO, config: Path | None, *, reload: bool) -> None:
    """Run until SIGINT or SIGTERM. Raises UssdError, with what to do, when the service cannot start."""
    signals = Signals.heard()
    take_up: TakeUp = "always" if reload else "unless_published"
    with bound(settings.server.host, settings.server.port) as sockets:
        async with watching(settings.flows.dir, signals.asked) if reload else nullcontext():
            await serve_on(
                sockets, settings, config, signals, take_up, lambda text: print(text, file=out, flush=True)
            )


async def serve_on(
    sockets: Sequence[socket],
    settings: Settings,
    config: Path | None,
    signals: Signals,
    take_up: TakeUp,
    tell: Callable[[str], object],
) -> None:
    """Run on sockets that are bound until told to stop. `tell` gets the words of welcome once the service answers.

    Raises UssdError, with what to do, when the service cannot start.
    """
    logs.configure(settings.logging.level, settings.logging.format)
    try:
        async with (
            running(settings, flows=take_up) as engine,
            reloading(engine, signals.asked),
        ):
            await _listen(engine, sockets, signals.stop, lambda url: tell(welcome(engine, url, config)))
    except (SQLAlchemyError, sqlite3.Error, DatabaseUnavailable) as error:
        raise SettingsError(
            f"a database cannot be used ({type(error).__name__}): look at database.url and workflows.url"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"the service cannot start: {error}; look at data_dir, redis.url, database.url and workflows.url"
        ) from error


async def _listen(
    engine: Engine, sockets: Sequence[socket], stop: asyncio.Event, ready: Callable[[str], object]
) -> None:
    server, http = engine.settings.server, runner(engine.app)
    await http.setup()
    try:
        try:
            for each in sockets:
                await web.SockSite(http, each).start()
        except OSError as error:
            raise cannot_listen(f"{server.host}:{server.port}", error) from error
        gc.collect()
        gc.freeze()  # what stands now stands to the end: no collection needs to look at it again
        log.info("service_started", revision=engine.live.program.revision)
        if not stop.is_set():
            ready(_url(http))
        await stop.wait()
        log.info("service_stopping")
    finally:
        await http.cleanup()  # takes no new connection, and lets the turns under way end


def _url(http: web.AppRunner) -> str:
    host, port = http.addresses[0][:2]
    host = ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def welcome(engine: Engine, url: str, config: Path | None) -> str:
    """Where everything is, and what to type next."""
    lines = [f"The USSD service runs at {url} - Ctrl-C ends it.", ""]
    for name in engine.gateways:
        lines += [
            f"  Callback URL   {url}/ussd/{name}",
            f"  Events URL     {url}/ussd/{name}/events",
        ]
    lines.append(f"  JSON API       {url}{PREFIX}")
    if engine.api_key_file:
        lines += [
            f"  API key        {engine.api_key}",
            f"                 made for this machine, kept in {shown(engine.api_key_file)}",
        ]
    lines.append(f"  Flows          {_flows(engine)}")
    lines += ["", "Dial, in another terminal:", "", *_dial(engine, url)]
    lines += ["", "Ask about a phone number:", "", *_ask(engine, url)]
    lines += ["", "Or take a phone in the terminal:", "", f"  {_play(config)}", ""]
    return "\n".join(lines)


def _flows(engine: Engine) -> str:
    """Which revision is served, and where it came from: after a `publish` the folder may hold another one."""
    last = engine.live.publication
    folder = shown(engine.settings.flows.dir)
    where = (
        f"as in {folder}" if last.how == "folder" else f"published by {last.actor}, whatever {folder} holds"
    )
    return f"revision {last.revision}, {where}"


def _dial(engine: Engine, url: str) -> list[str]:
    gateway, code = next(iter(engine.gateways)), next(iter(engine.live.program.dial), "*384*100#")
    return [
        f"  curl {url}/ussd/{gateway} \\",
        f"    -d sessionId=demo-1 --data-urlencode phoneNumber={SAMPLE_PHONE} -d networkCode={SAMPLE_NETWORK} \\",
        f"    --data-urlencode 'serviceCode={code}' -d text=",
    ]


def _ask(engine: Engine, url: str) -> list[str]:
    key = f"$(cat {shlex.quote(shown(engine.api_key_file))})" if engine.api_key_file else "$USSD__API__KEY"
    return [
        f"  curl {url}{PREFIX}/subscription/check \\",
        f'    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\',
        f"""    -d '{{"phone_number": "{SAMPLE_PHONE}"}}'""",
    ]


def _play(config: Path | None) -> str:
    command = shlex.quote(shown(Path(sys.executable).parent / "ussd"))
    return f"{command} play --config {shlex.quote(str(config))}" if config else f"{command} play"
