"""A real Redis for tests: `redis_url` is an empty one, `own_redis` one that a test may kill and restart."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from adapters.sessions.redis_server import find_redis_server, server_command

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_WITHIN_S = 30


class RedisServer:
    """A redis-server on a unix socket, with an append-only file, so that its data survives a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        command = server_command(find_redis_server(), self.folder, self.socket)
        with (self.folder / "redis.log").open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        give_up_at = time.monotonic() + _START_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                pytest.fail(f"redis-server does not start: {(self.folder / 'redis.log').read_text()}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it by SIGKILL, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def admin(self) -> redis.Redis:
        """A plain client to look at the data, or to change it, behind the back of what is tested."""
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        try:
            with self.admin() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for the whole run. Ask for `redis_url` instead, which gives it empty."""
    with redis_running() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of a real Redis that holds nothing."""
    with redis_server.admin() as client:
        client.flushall()
        client.script_flush()
    return redis_server.url


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server of this test alone: `kill` and `start` it as the test needs."""
    with redis_running() as server:
        yield server


@contextmanager
def redis_running() -> Iterator[RedisServer]:
    """A server in a folder of its own, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="ussd-test-"))  # pytest's own are too long for a unix socket
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
