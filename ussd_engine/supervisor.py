"""`ussd serve --workers N`: one process that holds the sockets, and N workers that take connections from them.

A worker is a fresh interpreter (multiprocessing's spawn), never a fork: a fork would copy the event loop and the
locks of threads in whatever state they are. What it needs comes through a pipe: the settings as they were when the
service started, so that a worker that is started again cannot differ from its fellows, and the sockets themselves.
These stay open here, so while a worker is down its fellows take every connection.

The supervisor runs the embedded Redis, and knows nothing else of the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import structlog
import uvloop
from pydantic import SecretStr

from adapters.sessions.embedded import EmbeddedRedis
from ussd_engine import logs
from ussd_engine.errors import SettingsError, UssdError
from ussd_engine.listening import bound
from ussd_engine.reloading import watching
from ussd_engine.settings_model import EMBEDDED
from ussd_engine.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from pathlib import Path
    from socket import socket

    from ussd_engine.bootstrap import TakeUp
    from ussd_engine.settings import Settings
    from ussd_engine.signals import Asked, Wish

log = structlog.get_logger(__name__)

STOP_WITHIN_S = 45.0
"""A worker answers what is under way (30 s) and lets workflows come to rest (5 s); then it is killed."""
RESTART_AFTER_AT_MOST_S = 10.0
STEADY_AFTER_S = 60.0
"""A worker that lived this long did not die of its start: the next one is started at once again."""
ASK_AGAIN_S = 0.1
"""Until a worker serves that can publish the folder of flows."""
MOST_DEATHS = 2
"""Workers that may die over one folder: it may be what they die of, and the others are for the subscribers."""
DONE = "done"
"""What a worker says of a folder that it has published or refused."""
COULD_NOT_START = 2
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs."""

    settings: Settings
    sockets: Sequence[socket]
    config: Path | None
    take_up: TakeUp


@dataclass(frozen=True, slots=True)
class Started:
    """What a worker reports when it serves."""

    welcome: str


@dataclass(frozen=True, slots=True)
class NotStarted:
    """What a worker reports when it cannot serve."""

    reason: str


async def supervise(settings: Settings, out: TextIO, config: Path | None, *, reload: bool) -> None:
    """Run `server.workers` workers until SIGINT or SIGTERM; a second signal kills those that are not done.

    SIGHUP is passed on to a worker, and so is, with `reload`, that something was saved in the folder of flows.
    Raises UssdError, with what to do, when the service cannot start.
    """
    logs.configure(settings.logging.level, settings.logging.format)
    signals, hurry = Signals.heard(), asyncio.Event()
    stop = signals.stop
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _stop_or_hurry, stop, hurry)
    async with contextlib.AsyncExitStack() as stack:
        sockets = stack.enter_context(bound(settings.server.host, settings.server.port))
        settings = await _with_redis(settings, stack)
        numbers = range(1, settings.server.workers + 1)
        workers = [Worker(_of_worker(settings, number), sockets, config) for number in numbers]
        if reload:  # here, since a worker that is started again would not know what was saved before
            await stack.enter_async_context(watching(settings.flows.dir, signals.asked))
        service = asyncio.create_task(_run(workers, out, "always" if reload else "unless_published"))
        passing_on = asyncio.create_task(_pass_on(signals.asked, workers))
        told = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({service, told}, return_when=asyncio.FIRST_COMPLETED)
            if service.done():
                service.result()
        finally:
            for task in (service, told, passing_on):
                task.cancel()
            await asyncio.gather(service, told, passing_on, return_exceptions=True)
            await asyncio.gather(*(worker.stop(hurry) for worker in workers))


async def _run(workers: Sequence[Worker], out: TextIO, take_up: TakeUp) -> None:
    """The folder of flows is taken up once: a worker that is started again meanwhile serves what its fellows serve."""
    first, *others = workers
    welcome = await first.start(take_up)  # which migrates and makes the keys: the others find all of it
    await asyncio.gather(*(worker.start() for worker in others))
    print(welcome, file=out, flush=True)
    await asyncio.gather(*(worker.keep() for worker in workers))


async def _pass_on(asked: Asked, workers: Sequence[Worker]) -> None:
    """One worker publishes for all."""
    while True:
        wish = await asked.get()
        if not await _done(wish, workers):
            log.error("flows_not_published", deaths=MOST_DEATHS)
            told = f"{MOST_DEATHS} workers died over the folder of flows: it is not published."
            print(told, file=sys.stderr, flush=True)  # noqa: T201 - for who saved a file or sent the signal


async def _done(wish: Wish, workers: Sequence[Worker]) -> bool:
    """None serves only in the moments after all have died: then it waits."""
    deaths = 0
    while deaths < MOST_DEATHS:
        link = next(filter(None, (worker.ask(wish) for worker in workers)), None)
        if link is None:
            await asyncio.sleep(ASK_AGAIN_S)
        elif await _received(link) == DONE:
            return True
        else:
            deaths += 1
    return False


class Worker:
    """One worker process, and its successors."""

    def __init__(self, settings: Settings, sockets: Sequence[socket], config: Path | None) -> None:
        self._settings = settings
        self._sockets = sockets
        self._config = config
        self._executor_id = settings.workflows.executor_id
        self._process: SpawnProcess | None = None
        self._started_at = 0.0
        self._link: Connection | None = None  # while it serves

    async def start(self, take_up: TakeUp = "never") -> str:
        """Return when it serves, with its words of welcome. Raises UssdError when it cannot serve."""
        ours, theirs = SPAWN.Pipe()
        job = Job(self._settings, self._sockets, self._config, take_up)
        process = SPAWN.Process(target=_work, args=(job, theirs))
        with _interrupts_held():
            process.start()
        theirs.close()
        self._process, self._started_at = process, asyncio.get_running_loop().time()
        report = await _received(ours)
        if not isinstance(report, Started):
            ours.close()
            silent = f"worker {self._executor_id} ended before it served; the log says why"
            raise SettingsError(report.reason if isinstance(report, NotStarted) else silent)
        self._link = ours
        log.info("worker_started", executor_id=self._executor_id, pid=process.pid)
        return report.welcome

    async def keep(self) -> None:
        """Start it again whenever it ends: at once, then with pauses that double."""
        pause = 0.0
        while True:
            exit_code = await self._ended()
            self._link = None  # who waits for an answer there holds it until it knows that none comes
            lived = asyncio.get_running_loop().time() - self._started_at
            pause = 0.0 if lived > STEADY_AFTER_S else pause
            log.error("worker_died", executor_id=self._executor_id, exit_code=exit_code, restart_in_s=pause)
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, 0.5), RESTART_AFTER_AT_MOST_S)
            try:
                await self.start()
            except UssdError as error:
                log.error("worker_not_restarted", executor_id=self._executor_id, reason=str(error))  # noqa: TRY400 - it says it all

    def ask(self, wish: Wish) -> Connection | None:
        """Have it publish the folder of flows: where it says DONE, unless it dies. None when it does not serve."""
        try:
            if self._link is not None:
                self._link.send(wish)
        except OSError:  # it has just died
            return None
        return self._link

    async def stop(self, hurry: asyncio.Event) -> None:
        """Tell it to end, and kill it when it takes too long or when there is no time."""
        if self._process is None:
            return
        self._process.terminate()
        ended, hurried = asyncio.create_task(self._ended()), asyncio.create_task(hurry.wait())
        await asyncio.wait({ended, hurried}, timeout=STOP_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            log.warning("worker_killed", executor_id=self._executor_id, pid=self._process.pid)
            self._process.kill()
        hurried.cancel()
        await ended

    async def _ended(self) -> int | None:
        """The exit code, once there is one; minus the signal where one ended it."""
        assert self._process is not None  # noqa: S101 - it is waited for after it was started
        await _readable(self._process.sentinel)
        self._process.join()
        return self._process.exitcode


async def _with_redis(settings: Settings, stack: contextlib.AsyncExitStack) -> Settings:
    """The settings for all workers: the embedded Redis is one, and runs here."""
    if settings.redis.url.get_secret_value() != EMBEDDED:
        return settings
    server = EmbeddedRedis(settings.data_dir)
    await server.start()
    stack.push_async_callback(server.stop)
    redis = settings.redis.model_copy(update={"url": SecretStr(server.url)})
    return settings.model_copy(update={"redis": redis})


def _of_worker(settings: Settings, number: int) -> Settings:
    executor_id = f"{settings.workflows.executor_id}-{number}"
    workflows = settings.workflows.model_copy(update={"executor_id": executor_id})
    return settings.model_copy(update={"workflows": workflows})


def _stop_or_hurry(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    if stop.is_set():
        hurry.set()
    stop.set()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C reaches the whole group: a worker that is not ready for it yet gets it when it is."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _work(job: Job, link: Connection) -> None:
    """A worker process, from its start to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_serve(job, link)))


async def _serve(job: Job, link: Connection) -> int:
    from ussd_engine.serving import serve_on  # noqa: PLC0415 - the supervisor needs none of it

    signals, started = Signals.heard(), asyncio.Event()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    orphaned = asyncio.create_task(_stop_when_orphaned(signals.stop))
    obeying = asyncio.create_task(_obey(link, signals.asked))

    def tell(welcome: str) -> None:
        started.set()
        _send(link, Started(welcome))

    try:
        await serve_on(job.sockets, job.settings, job.config, signals, job.take_up, tell)
    except UssdError as error:
        if started.is_set():
            raise
        _send(link, NotStarted(str(error)))
        return COULD_NOT_START
    finally:
        orphaned.cancel()
        obeying.cancel()
    return 0


async def _obey(link: Connection, asked: Asked) -> None:
    """Publish whenever the supervisor asks for it, and tell it each time that it is done."""
    while (wish := await _received(link)) is not None:
        asked.put_nowait(wish)
        await asked.join()
        _send(link, DONE)


def _send(link: Connection, message: Started | NotStarted | str) -> None:
    with contextlib.suppress(OSError):  # a supervisor that is told to end waits for no report
        link.send(message)


async def _received(link: Connection) -> Any:
    """What the other side says; None when it has gone."""
    await _readable(link.fileno())
    try:
        return link.recv()
    except (EOFError, OSError):
        return None


async def _stop_when_orphaned(stop: asyncio.Event) -> None:
    """The supervisor holds the other end of a pipe, which closes however it ends."""
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None  # noqa: S101 - a worker is started by nobody else
    await _readable(supervisor.sentinel)
    stop.set()


async def _readable(descriptor: int) -> None:
    """Return when there is something to read, or the other side has gone."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
