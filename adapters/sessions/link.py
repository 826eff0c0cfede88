"""A connection to Redis that is there when it is needed: opened, opened again, and bounded in time.

redis-py opens it, with all that a URL can say (TLS, credentials, database); `Wire` then takes it over.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import hiredis
import structlog
from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import AuthenticationError, RedisError

from adapters.sessions.wire import TRANSIENT, LostConnectionError, ReplyError, Wire
from ussd_engine.errors import SettingsError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio.connection import AbstractConnection

Failure = LostConnectionError | ReplyError

log = structlog.get_logger(__name__)

ATTEMPTS = 3
"""How often a command is sent on a fresh connection: once for a restart, twice more for a failover."""
PAUSE_S = 0.05
"""Before the second and third of them, times one and two: a new primary needs a moment."""
RECONNECT_PAUSES_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.1, 0.2, 0.2, 0.3, 0.5)
"""Before each try to connect. Their sum, 1.5 s, is longer than a local Redis takes to restart."""


def pack(*parts: str | bytes | int) -> bytes:
    """A RESP command, ready to be sent."""
    packed: bytes = hiredis.pack_command(parts)  # type: ignore[arg-type] # its stub allows one part only
    return packed


class RedisLink:
    """Sends packed commands to the Redis at `url` (redis://, rediss:// or unix://) and gives the answers.

    An answer comes within `timeout_s`, else StoreUnavailable. Within that time a lost connection is opened
    again, and the command sent again. Raises SettingsError when `url` is no Redis URL.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._new_connection = _connection_factory(url, timeout_s)
        self._where = _without_secrets(url)
        self._timeout_s = timeout_s
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[Wire] | None = None
        self._closed = False

    async def call(self, command: bytes, again: Callable[[bool], bytes] | None = None) -> Any:
        """The answer to `command`: bytes, int, None or a list of these.

        When it must be sent a second time, `again(maybe_done)` packs it anew, where `maybe_done` tells that
        an earlier one may have run. Without `again` it is sent as it was.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        failure: Failure | None = None
        if self._wire is not None and self._wire.alive:
            try:
                return await self._wire.send(command)
            except (LostConnectionError, ReplyError) as error:
                failure = error
        try:
            async with asyncio.timeout_at(deadline):
                return await self._insist(command, again or (lambda _: command), failure)
        except TimeoutError as error:
            cause = failure or error
            raise StoreUnavailable(f"Redis at {self._where} did not answer in {self._timeout_s} s") from cause

    async def close(self) -> None:
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        if self._wire is not None:
            self._wire.abort()

    async def _insist(self, command: bytes, again: Callable[[bool], bytes], failure: Failure | None) -> Any:
        maybe_done = False
        for attempt in range(ATTEMPTS):
            if failure is not None:
                self._judge(failure)
                maybe_done |= isinstance(failure, LostConnectionError)
                command = again(maybe_done)
            await asyncio.sleep(PAUSE_S * attempt)
            wire = await self._connected()
            try:
                return await wire.send(command)
            except (LostConnectionError, ReplyError) as error:
                failure = error
        raise StoreUnavailable(f"Redis at {self._where} failed {ATTEMPTS} times: {failure}") from failure

    def _judge(self, failure: Failure) -> None:
        """Raise when trying again cannot help; drop a connection to a server that is not ready to serve."""
        if isinstance(failure, LostConnectionError) or failure.code == "NOSCRIPT":
            return
        if failure.code not in TRANSIENT:
            raise StoreUnavailable(f"Redis at {self._where} refuses: {failure.code}") from failure
        if self._wire is not None:
            self._wire.abort()

    async def _connected(self) -> Wire:
        """The open connection; all who wait for one share the same attempt to open it."""
        if self._closed:
            raise StoreUnavailable(f"the link to Redis at {self._where} is closed")
        if self._wire is not None and self._wire.alive:
            return self._wire
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._settle)
        opening = self._connecting
        await asyncio.wait({opening})  # who gives up here leaves the attempt to the others
        if opening.cancelled():
            raise StoreUnavailable(f"the link to Redis at {self._where} is closed")
        return opening.result()

    def _settle(self, task: asyncio.Task[Wire]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._wire = task.result()

    async def _connect(self) -> Wire:
        failure: Exception | None = None
        for pause in RECONNECT_PAUSES_S:
            await asyncio.sleep(pause)
            try:
                wire = await self._open()
            except (RedisError, OSError) as error:
                if isinstance(error.__cause__ or error, AuthenticationError):  # wrapped on a unix socket
                    raise StoreUnavailable(
                        f"Redis at {self._where} refuses the login of redis.url"
                    ) from error
                failure = error
            else:
                log.info("redis_connected", redis=self._where)
                return wire
        log.warning("redis_unreachable", redis=self._where, reason=type(failure).__name__)
        raise StoreUnavailable(f"Redis at {self._where} cannot be reached") from failure

    async def _open(self) -> Wire:
        connection = self._new_connection()
        try:
            await connection.connect()  # type: ignore[no-untyped-call] # redis-py leaves it untyped
            await connection.send_command("PING")  # a server that is still loading its data says so here
            await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return Wire(_take_writer(connection), self._timeout_s)


def _take_writer(connection: AbstractConnection) -> asyncio.StreamWriter:
    """The writer of a connected redis-py connection, which then forgets it and will not close it."""
    writer = connection._writer  # noqa: SLF001 - redis-py has no public way to its transport
    connection._reader = connection._writer = None  # noqa: SLF001 - the same
    if writer is None or writer.transport.is_closing():
        raise ConnectionError("lost while it was being opened")
    return writer


def _connection_factory(url: str, timeout_s: float) -> Callable[[], AbstractConnection]:
    try:
        options: dict[str, Any] = {
            **parse_url(url),
            "protocol": 2,  # RESP2 has no messages that nobody asked for
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
        }
        connection_class = options.pop("connection_class", Connection)
        connection_class(**options)
    except (ValueError, TypeError, RedisError):
        raise SettingsError(
            "redis.url is no Redis URL: write redis://host:6379/0, rediss://host:6379/0 or unix:///path"
        ) from None  # what went wrong in detail may quote the password
    return lambda: connection_class(**options)


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
