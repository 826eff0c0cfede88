"""The load: subscribers who walk through the shipped flow, over connections that are kept alive.

Runs as a process of its own and is much leaner than any server: a request is put together from pieces made
before, and of an answer only its length and its first word are read. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import cast

import uvloop

INPUTS = ("", "1", "Jane", "Sample", "01011990", "2")
"""Dial, open an account, the names, the date of birth, and then not after all: nothing is ever opened."""
MAX_CALLBACKS = 1_000_000
"""Bounds what a round leaves in the session store."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    """One round. `cpu_s` is what each watched process used, in seconds of one core."""

    callbacks: int
    seconds: float
    wrong: int
    cpu_s: dict[int, float]
    client_cpu_s: float


@dataclass(slots=True)
class Walk:
    """The requests of one session, in pieces. The id has 12 characters and the number 7 digits."""

    port: int
    last: bytes
    heads: list[bytes] = field(default_factory=list)
    tails: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        for count in range(1, len(INPUTS) + 1):
            tail = "&networkCode=63902&serviceCode=%2A384%2A100%23&text=" + "*".join(INPUTS[1:count])
            length = len(self.body(b"-" * 12, b"-" * 7)) + len(tail)
            head = (
                f"POST /ussd/africastalking HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
            )
            self.heads.append(head.encode())
            self.tails.append(tail.encode())

    @staticmethod
    def body(session_id: bytes, number: bytes) -> bytes:
        return b"sessionId=ATUid_" + session_id + b"&phoneNumber=%2B25471" + number

    def request(self, step: int, who: bytes) -> bytes:
        return self.heads[step] + who + self.tails[step]

    def expected(self, step: int) -> bytes:
        return self.last if step == len(INPUTS) - 1 else b"CON "


@dataclass(slots=True)
class Tally:
    """Of all connections together."""

    run: str
    number: int
    callbacks: int = 0
    wrong: int = 0
    stopped: bool = False

    def next_caller(self) -> bytes:
        self.number = (self.number + 1) % 10_000_000
        return Walk.body(f"{self.run}{self.number:07d}".encode(), f"{self.number:07d}".encode())


class Caller(asyncio.Protocol):
    """One connection: one subscriber after another."""

    def __init__(self, walk: Walk, tally: Tally) -> None:
        self.walk = walk
        self.tally = tally
        self.who = tally.next_caller()
        self.step = 0
        self.buffer = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's own is no subclass
        self.transport.write(self.walk.request(0, self.who))

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data if self.buffer else data
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + _length(data, end):
            self.buffer = data
            return
        self.buffer = b""
        self._answered(data.startswith(b"HTTP/1.1 200 "), data[end + 4 : end + 8])

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.tally.stopped:
            self.tally.wrong += 1

    def _answered(self, ok: bool, word: bytes) -> None:
        tally = self.tally
        tally.callbacks += 1
        if not ok or word != self.walk.expected(self.step):
            tally.wrong += 1
        self.step += 1
        if self.step == len(INPUTS):
            self.step, self.who = 0, tally.next_caller()
        assert self.transport
        if tally.stopped or tally.callbacks >= MAX_CALLBACKS:
            self.transport.close()
        else:
            self.transport.write(self.walk.request(self.step, self.who))


def _length(data: bytes, end: int) -> int:
    start = data.index(b"Content-Length: ", 0, end) + 16
    return int(data[start : data.index(b"\r", start)])


def cpu_s(pid: int) -> float:
    """User and system time of a process with its threads (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


async def measure(
    walk: Walk, connections: int, warm_up_s: float, seconds: float, watch: list[int]
) -> Measured:
    chance = SystemRandom()
    tally = Tally(run=f"{chance.randrange(100_000):05d}", number=chance.randrange(10_000_000))
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(walk, tally), "127.0.0.1", walk.port)
    await asyncio.sleep(warm_up_s)
    before, cpu, own = tally.callbacks, {pid: cpu_s(pid) for pid in watch}, time.process_time()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - started
    measured = Measured(
        callbacks=tally.callbacks - before,
        seconds=took,
        wrong=tally.wrong,
        cpu_s={pid: cpu_s(pid) - used for pid, used in cpu.items()},
        client_cpu_s=time.process_time() - own,
    )
    tally.stopped = True
    await asyncio.sleep(0.2)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--last", choices=["CON", "END"], required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--warm-up", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--watch", type=int, nargs="+", required=True)
    given = parser.parse_args()
    walk = Walk(given.port, f"{given.last} ".encode())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(walk, given.connections, given.warm_up, given.seconds, given.watch))
    os.write(1, json.dumps(asdict(found)).encode())


if __name__ == "__main__":
    main()
