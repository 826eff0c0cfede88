"""One open connection to Redis that many callers share.

RESP, Redis' protocol, answers commands in the order in which they were sent
(https://redis.io/docs/latest/develop/reference/protocol-spec/), so the commands of many callbacks go down one
connection as they come, and a queue of futures hands out the answers. A caller that gives up leaves its place
in the queue: its late answer is dropped and never reaches another caller. A load and a save cost a small part
of what they cost with a pool of connections, because nothing is checked out, locked or timed per command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import hiredis
import structlog

log = structlog.get_logger(__name__)

GRACE_S = 0.02
"""An answer that waits in the socket while the event loop was held up is still read, not given up."""

TRANSIENT = frozenset({"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "BUSY", "NOSCRIPT"})
"""Error codes that another try may not meet."""
_CODES = TRANSIENT | {"OOM", "MISCONF", "WRONGTYPE", "NOREPLICAS", "NOPERM", "NOAUTH"}
_MORE = object()


class ReplyError(Exception):
    """Redis answered with an error. Only its code is kept: the text can repeat a key, so a phone number."""

    def __init__(self, text: str) -> None:
        words = text.replace("-", " ").split()
        # Up to Redis 6 the cause of a script's error stands inside: "ERR Error running script ...: -OOM ..."
        self.code = next((word for word in words if word in _CODES), words[0] if words else "ERR")
        super().__init__(self.code)


class LostConnectionError(Exception):
    """The connection ended before the answer came: the command may or may not have run."""


class Wire(asyncio.Protocol):
    """Takes a connection over. `alive` turns false for good when it ends; who still waits gets an error."""

    def __init__(self, writer: asyncio.StreamWriter, timeout_s: float) -> None:
        self.alive = True
        self._writer = writer  # kept, because it closes the transport when it is collected
        self._transport = writer.transport
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_MORE)
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._unsent: list[bytes] = []
        self._transport.set_protocol(self)

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """The answer, or ReplyError, or LostConnectionError at the latest after the timeout."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        due = self._loop.time() + self._timeout_s
        self._waiting.append((answer, due))
        if self._watch is None:
            self._watch = self._loop.call_at(due, self._look)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(command)
        return answer

    def _flush(self) -> None:
        """One write for all commands of one pass of the event loop: a system call each would cost more."""
        commands, self._unsent = self._unsent, []
        if self.alive:
            self._transport.write(b"".join(commands))

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _MORE:
                self._answer(reply)
        except (hiredis.ProtocolError, IndexError):  # not Redis, or an answer that nobody waits for
            log.warning("redis_protocol_broken")
            self.abort()

    def _answer(self, reply: Any) -> None:
        answer, _ = self._waiting.popleft()
        if answer.done():  # its caller gave up
            return
        if isinstance(reply, ReplyError):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def _look(self) -> None:
        """One timer serves all: the oldest command is the first to be late."""
        self._watch = None
        if not self._waiting:
            return
        oldest, due = self._waiting[0]
        if due > self._loop.time():
            self._watch = self._loop.call_at(due, self._look)
        else:
            self._watch = self._loop.call_later(GRACE_S, self._give_up, oldest)

    def _give_up(self, late: asyncio.Future[Any]) -> None:
        if self._waiting and self._waiting[0][0] is late:
            log.warning("redis_silent", waiting=len(self._waiting))
            self.abort()
        else:
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.alive:
            log.warning("redis_connection_lost", waiting=len(self._waiting), reason=type(exc).__name__)
        self._end()

    def abort(self) -> None:
        self._transport.abort()
        self._end()

    def _end(self) -> None:
        self.alive = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        while self._waiting:
            answer, _ = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(LostConnectionError("the connection ended before the answer came"))
