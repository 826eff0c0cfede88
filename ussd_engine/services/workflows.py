"""Durable workflows: the only module that knows DBOS.

A workflow is an async function of plain JSON data to plain JSON data. Its input is stored before it begins and its
result when it has ended; after a crash it runs again from the top. In between nothing is stored here: what a body
has done stands in the rows of the platform's database, so a body looks there first, and whatever it does must be
right when it is done twice. (A stored step costs as much as the transaction that records an opening.)

Everything that DBOS stores (inputs, results, errors) is sealed under the key ring: it holds names and dates
of birth. DBOS keeps one instance per process; `close` removes it, so that tests can start another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, TypeVar, cast

import orjson
import structlog
from dbos import DBOS, SetWorkflowID, WorkflowHandleAsync
from dbos import Serializer as DbosSerializer

from ussd_engine.errors import DatabaseUnavailable, UssdError
from ussd_engine.logs import describe
from ussd_engine.platform.wal import use_wal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.backoff import Backoff

log = structlog.get_logger(__name__)

T = TypeVar("T")
Json = dict[str, Any]
Body = Callable[[Json], Awaitable[Json]]

POLL_S = 0.1
"""How often the result of a workflow that another process runs is looked up while somebody waits for it."""
THREADS = 16
"""For DBOS's own short database calls; SQLite has one writer anyway."""
DRAIN_S = 5.0
"""How long `close` lets bodies come to an end; one that takes longer runs again after the start."""
STRANDED_AFTER_S = 15
"""How long a workflow may stand without running before it is taken up, and how often that is looked at."""
_CONTEXT = "dbos"


class WorkFailed(UssdError):
    """A workflow met a fault of the engine's own. The message holds no data."""

    code = "work_failed"


class SealedJson(DbosSerializer):
    """Plain data as sealed JSON. An exception keeps its words only when it is one of ours."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def name(self) -> str:
        return "sealed_json"

    def serialize(self, data: Any) -> str:
        if isinstance(data, BaseException):
            words = str(data) if isinstance(data, UssdError) else type(data).__name__
            data = {"$error": words}
        return self._keys.seal(orjson.dumps(data), _CONTEXT)

    def deserialize(self, serialized_data: str) -> Any:
        data = orjson.loads(self._keys.open(serialized_data, _CONTEXT))
        if isinstance(data, dict) and "$error" in data:
            return WorkFailed(data["$error"])
        return data


@dataclass(slots=True)
class _Run:
    """A workflow that somebody here waits for, or that runs here. `early` is what it announced last."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[Json] | None = None
    early: Json | None = None
    waiters: int = 0
    started: bool = False
    runs_here: bool = False


class Workflows:
    """Starts, awaits and resumes workflows.

    `url` is `sqlite:///file` or `postgresql://...`. `executor_id` is stable, and different for each worker
    that shares the database: after a restart a worker resumes what it had begun. `persist` says how often our own
    database is tried again; it is never given up.
    """

    def __init__(
        self, url: str, keys: KeyRing, *, executor_id: str, application_version: str, persist: Backoff
    ) -> None:
        self._url = url
        self._persist = persist
        self._keys = keys
        self.executor_id = executor_id
        self._application_version = application_version
        self._functions: dict[str, Callable[[Json], Awaitable[Json]]] = {}
        self._runs: dict[str, _Run] = {}
        self._bodies: set[asyncio.Task[Any]] = set()
        self._pausing: set[asyncio.Task[Any]] = set()
        self._running: set[str] = set()
        self._watch: asyncio.Task[None] | None = None
        self._closing = False

    async def launch(self, bodies: Mapping[str, Body]) -> None:
        """Register `bodies` by name and resume what was left unfinished, all on the running event loop."""
        _route_dbos_log()
        await asyncio.to_thread(use_wal, self._url)
        for name, body in bodies.items():
            # A body that was interrupted any number of times is still run to its end.
            decorate = DBOS.workflow(name=name, max_recovery_attempts=None)
            self._functions[name] = decorate(self._tracked(body))
        DBOS(
            config={
                "name": "ussd-engine",
                "system_database_url": self._url,
                "executor_id": self.executor_id,
                "application_version": self._application_version,
                "serializer": SealedJson(self._keys),
                "log_level": "WARNING",
                "max_executor_threads": THREADS,
            }
        )
        DBOS.launch()
        self._watch = asyncio.create_task(self._resume_stranded())

    async def run(self, name: str, workflow_id: str, payload: Json, *, wait_s: float) -> Json | None:
        """Run the workflow, or join the one that has this id, and wait for its result or announcement.

        None when there is neither within `wait_s`; the workflow goes on. A finished id gives its result
        again, whatever the payload.
        """
        return await self._join(workflow_id, wait_s, lambda run: self._start(run, name, workflow_id, payload))

    async def result(self, workflow_id: str, *, wait_s: float) -> Json | None:
        """As `run`, for a workflow that was started elsewhere. The id must exist."""
        return await self._join(workflow_id, wait_s, lambda run: self._follow(run, workflow_id))

    async def start(self, name: str, workflow_id: str, payload: Json) -> None:
        """Begin a workflow that nobody waits for; nothing happens when it was begun before."""
        with SetWorkflowID(workflow_id):
            await DBOS.start_workflow_async(self._function(name), payload)

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Within a workflow: work on our own database, tried again for as long as it does not answer."""
        for delay in chain(self._persist.delays(), repeat(self._persist.max_delay_s)):
            try:
                return await work()
            except DatabaseUnavailable as error:
                log.error("workflow_waits_for_database", workflow_id=DBOS.workflow_id, **describe(error))  # noqa: TRY400 - wordless
                await self.pause(delay)
        raise AssertionError("the delays never end")

    async def exists(self, workflow_id: str) -> bool:
        """Whether a workflow was ever begun under this id."""
        return await DBOS.get_workflow_status_async(workflow_id) is not None

    async def under_way(self) -> set[str]:
        """The ids of all workflows that run, or wait for a worker to go on with them."""
        found = await DBOS.list_workflows_async(
            status=["PENDING", "ENQUEUED", "DELAYED"], load_input=False, load_output=False
        )
        return {one.workflow_id for one in found}

    async def holders(self) -> set[str]:
        """The executor ids that hold workflows of this version: begun, and not ended."""
        pending = await DBOS.list_workflows_async(
            status="PENDING", app_version=self._application_version, load_input=False, load_output=False
        )
        return {one.executor_id for one in pending if one.executor_id}

    async def take_over(self, executor_ids: Sequence[str]) -> None:
        """Give back to the queue what these executors hold; one worker of this version takes each workflow from it.

        Nothing happens to a workflow that somebody else has taken in between, so all may do this at once. An
        executor that lives after all goes on beside its successor: see `services/workers.py`.
        """
        # What DBOS does at its own launch, and the only way that looks at who holds a workflow as it changes it.
        await asyncio.to_thread(DBOS._recover_pending_workflows, list(executor_ids))  # noqa: SLF001

    async def pause(self, seconds: float) -> None:
        """Within a workflow: wait. It is not stored, so a body reckons from the times of its rows."""
        self._stop_if_closing()
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._pausing.add(task)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._pausing.discard(task)

    def announce(self, result: Json) -> None:
        """Tell those who wait for the running workflow in this process; it goes on. The last word counts."""
        run = self._runs.get(DBOS.workflow_id or "")
        if run:
            run.early = result
            run.changed.set()

    async def close(self) -> None:
        """Let what is under way finish, stop what only waits, and remove DBOS."""
        self._closing = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for task in list(self._pausing):
            task.cancel()
        if self._bodies:
            _, late = await asyncio.wait(self._bodies, timeout=DRAIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        waiting = [run.task for run in self._runs.values() if run.task]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        # DBOS put its own thread pool under the event loop, and has just shut it down.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())

    def _tracked(self, body: Body) -> Callable[[Json], Awaitable[Json]]:
        async def workflow(payload: Json) -> Json:
            task = cast("asyncio.Task[Any]", asyncio.current_task())
            workflow_id = DBOS.workflow_id or ""
            run = self._runs.get(workflow_id)
            if run:
                run.runs_here = True
            self._bodies.add(task)
            self._running.add(workflow_id)
            try:
                return await body(payload)
            except Exception as error:  # noqa: BLE001 - a workflow is never given up
                # A body handles its own failures, so this is the workflow database's. An error would be recorded
                # as the workflow's end; cancelled, it stays as it is, to be taken up again.
                log.error("workflow_interrupted", workflow_id=workflow_id, **describe(error))  # noqa: TRY400 - wordless
                raise asyncio.CancelledError from None
            finally:
                self._bodies.discard(task)
                self._running.discard(workflow_id)

        return workflow

    async def _resume_stranded(self) -> None:
        """Take up what this worker began and does not run: the workflow database failed in its midst."""
        while True:
            await asyncio.sleep(STRANDED_AFTER_S)
            try:
                for workflow_id in await self._stranded():
                    log.warning("workflow_resumed", workflow_id=workflow_id)
                    await DBOS.resume_workflow_async(workflow_id)
            except Exception as error:  # noqa: BLE001 - the database may still be away; the next round tries again
                log.error("workflows_not_watched", **describe(error))  # noqa: TRY400 - without its words

    async def _stranded(self) -> list[str]:
        before = time.time_ns() // 1_000_000 - STRANDED_AFTER_S * 1000
        pending = await DBOS.list_workflows_async(
            status="PENDING", executor_id=self.executor_id, load_input=False, load_output=False
        )
        return [
            one.workflow_id
            for one in pending
            if one.workflow_id not in self._running and (one.updated_at or 0) < before
        ]

    async def _start(self, run: _Run, name: str, workflow_id: str, payload: Json) -> Json:
        with SetWorkflowID(workflow_id):
            handle: WorkflowHandleAsync[Json] = await DBOS.start_workflow_async(self._function(name), payload)
        run.started = True
        if not run.waiters:
            self._drop(workflow_id, run)
        return await handle.get_result(polling_interval_sec=POLL_S)

    def _function(self, name: str) -> Callable[[Json], Coroutine[Any, Any, Json]]:
        return cast("Callable[[Json], Coroutine[Any, Any, Json]]", self._functions[name])

    async def _follow(self, run: _Run, workflow_id: str) -> Json:
        run.started = True
        # Not "existing": an operation may be claimed a moment before its workflow is recorded.
        handle: WorkflowHandleAsync[Json] = await DBOS.retrieve_workflow_async(
            workflow_id, existing_workflow=False
        )
        return await handle.get_result(polling_interval_sec=POLL_S)

    async def _join(
        self, workflow_id: str, wait_s: float, begin: Callable[[_Run], Coroutine[Any, Any, Json]]
    ) -> Json | None:
        run = self._runs.get(workflow_id)
        if run is None:
            run = self._runs[workflow_id] = _Run()
            # A task of its own: a caller that goes away must not leave a workflow recorded and never begun.
            run.task = asyncio.create_task(begin(run))
            run.task.add_done_callback(lambda _: self._forget(workflow_id, run))
        run.waiters += 1
        try:
            return await _first(run, wait_s)
        finally:
            run.waiters -= 1
            if not run.waiters and run.started:
                self._drop(workflow_id, run)

    def _drop(self, workflow_id: str, run: _Run) -> None:
        """Nobody waits any more. What runs here is kept, for the next to join; else it would only poll."""
        if not run.runs_here:
            cast("asyncio.Task[Json]", run.task).cancel()
            self._forget(workflow_id, run)

    def _forget(self, workflow_id: str, run: _Run) -> None:
        if self._runs.get(workflow_id) is run:
            del self._runs[workflow_id]
        task = cast("asyncio.Task[Json]", run.task)
        if task.done() and not task.cancelled() and task.exception():
            log.error("workflow_failed", workflow_id=workflow_id, error=type(task.exception()).__name__)

    def _stop_if_closing(self) -> None:
        if self._closing:
            raise asyncio.CancelledError


async def _first(run: _Run, wait_s: float) -> Json | None:
    task = cast("asyncio.Task[Json]", run.task)
    changed = asyncio.ensure_future(run.changed.wait())
    try:
        await asyncio.wait({task, changed}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        changed.cancel()
    return task.result() if task.done() and not task.cancelled() else run.early


class _ToStructlog(logging.Handler):
    """DBOS's warnings as our log events; of an exception only the type, as its words may be personal."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        log.log(
            record.levelno,
            "dbos_message",
            message=record.getMessage(),
            error=error.__name__ if error else None,
        )


def _route_dbos_log() -> None:
    logger = logging.getLogger("dbos")
    logger.handlers = [_ToStructlog()]
    logger.propagate = False
