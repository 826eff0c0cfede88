"""A private Redis that lives and ends with the service: sessions without a server to install.

Two locks guard the data (flock(2), released by the kernel however their holder ends). The service holds one
for as long as it runs, so that a second service is refused. The redis-server inherits the other, so that
after a kill no new one touches the append-only file before the old one is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import structlog

from adapters.sessions.redis_server import answers, find_redis_server, listens, server_command, socket_path
from ussd_engine.errors import SettingsError, StoreUnavailable, UssdError

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger(__name__)

START_WITHIN_S = 60.0
"""Loading a large append-only file takes a while; longer than this, something is wrong."""
STOP_WITHIN_S = 10.0
"""A server that is told to end writes out what it has; then it is killed."""
PREDECESSOR_GONE_WITHIN_S = 15.0
"""The server of a killed service ends by itself, after it has written out what it had."""
RESTART_AFTER_AT_MOST_S = 5.0
STEADY_AFTER_S = 60.0
"""A server that lived this long did not die of its start: the next one is started at once again."""
POLL_S = 0.02
LOG_TAIL_BYTES = 600


async def running_at(data_dir: Path) -> str | None:
    """The URL of the server that a service runs on this folder, even if it hangs; None when there is none."""
    socket = socket_path(_folder(data_dir))
    return _url(socket) if await listens(socket) else None


def _folder(data_dir: Path) -> Path:
    return data_dir.absolute() / "redis"


def _url(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"


class EmbeddedRedis:
    """A redis-server with its data in `data_dir`/redis, reached by a unix socket alone. Linux only.

    It is started again when it dies, and it ends when the service ends, even by SIGKILL. Call `start` on the
    event loop of the service: the server ends with the thread of that loop.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._folder = _folder(data_dir)
        self._log_file = self._folder / "redis.log"
        self._socket: Path | None = None
        self._binary: Path | None = None
        self._owner_lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The URL of the running server: unix:///path/to/redis.sock."""
        if self._socket is None:
            raise RuntimeError("the embedded Redis is not started")
        return _url(self._socket)

    @property
    def pid(self) -> int:
        """The process id of the running server; another one after it was started again."""
        if self._process is None:
            raise RuntimeError("the embedded Redis is not started")
        return self._process.pid

    async def start(self) -> None:
        """Return when the server answers.

        Raises SettingsError when it cannot be run here (no redis-server, data_dir in use or not usable), and
        StoreUnavailable when it does not come up.
        """
        if sys.platform != "linux":
            raise SettingsError("the embedded Redis needs Linux: set redis.url to a Redis that runs")
        self._binary = find_redis_server()
        self._prepare_folder()
        self._owner_lock = self._own()
        try:
            self._socket = socket_path(self._folder)
            self._log_file.write_bytes(b"")
            await self._launch()
        except BaseException:
            await self.stop()
            raise
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        """End the server, which writes out what it has, and give the data back. Nothing is done twice."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
            self._supervisor = None
        await self._end_process()
        self._process = None
        self._remove_socket()
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None

    def _remove_socket(self) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError):  # what is left is taken over by the next start
            self._socket.unlink(missing_ok=True)
            if self._socket.parent != self._folder:
                self._socket.parent.rmdir()
        self._socket = None

    def _prepare_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
        except OSError as error:
            raise SettingsError(f"data_dir {self._data_dir} cannot be used: {error.strerror}") from error

    def _own(self) -> int:
        lock = _try_lock(self._folder / "owner.lock")
        if lock is None:
            raise SettingsError(
                f"data_dir {self._data_dir} is in use by another service with an embedded Redis: "
                "stop that one, give this one a data_dir of its own, or set redis.url to a Redis for both"
            )
        return lock

    async def _launch(self) -> None:
        assert self._binary is not None  # noqa: S101 - start has found it
        assert self._socket is not None  # noqa: S101 - and this one
        lock = await self._lock_data()
        try:
            with self._log_file.open("ab") as output:
                self._process = await asyncio.create_subprocess_exec(
                    *server_command(self._binary, self._folder, self._socket),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                    pass_fds=(lock,),
                    start_new_session=True,  # Ctrl-C is for the service, which needs Redis to the end
                )
        finally:
            os.close(lock)  # from here on the server alone holds it
        await self._until_ready(self._process, self._socket)
        log.info("embedded_redis_started", pid=self._process.pid)

    async def _lock_data(self) -> int:
        for _ in range(int(PREDECESSOR_GONE_WITHIN_S / POLL_S)):
            lock = _try_lock(self._folder / "server.lock")
            if lock is not None:
                return lock
            await asyncio.sleep(POLL_S)
        raise StoreUnavailable(
            f"an earlier redis-server still uses {self._folder}: end it, then start the service again"
        )

    async def _until_ready(self, process: asyncio.subprocess.Process, socket: Path) -> None:
        try:
            async with asyncio.timeout(START_WITHIN_S):
                while process.returncode is None:
                    if await answers(socket):
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            await self._end_process()
        raise StoreUnavailable(
            f"redis-server ({self._binary}) does not start, exit code {process.returncode}; "
            f"{self._log_file} ends with: {self._log_tail()}"
        )

    def _log_tail(self) -> str:
        return self._log_file.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()

    async def _supervise(self) -> None:
        """Start the server again whenever it ends: at once, then with pauses that double."""
        loop = asyncio.get_running_loop()
        pause = 0.0
        while self._process is not None:
            since = loop.time()
            exit_code = await self._process.wait()
            pause = 0.0 if loop.time() - since > STEADY_AFTER_S else pause
            log.error("embedded_redis_died", exit_code=exit_code, restart_in_s=pause)
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, 0.1), RESTART_AFTER_AT_MOST_S)
            try:
                await self._launch()
            except (OSError, UssdError) as error:
                log.error("embedded_redis_not_restarted", reason=str(error))  # noqa: TRY400 - it says it all

    async def _end_process(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            log.warning("embedded_redis_killed", pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock, or None when another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise SettingsError(
            f"{path} cannot be locked: {error.strerror}; put data_dir on a local disk"
        ) from error
    return descriptor
