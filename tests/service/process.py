"""The real service as a child process, a phone that talks to it, and a look into its files from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

import aiohttp
import psycopg

from adapters.cbs.sandbox import SandboxBank
from ussd_engine.bootstrap import SystemClock

ROOT = Path(__file__).parents[2]
KEY = "a-key-for-tests-only-0123456789"
START_S = 60.0
"""A start is a few seconds; a machine under load may take longer."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it may have been killed meanwhile
            os.kill(pid, signal.SIGCONT)


@dataclass
class Service:
    """`ussd serve` on its own data folder. Start and kill it as often as a test likes."""

    data_dir: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    arguments: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("USSD__")}
        environment |= {
            "USSD__DATA_DIR": str(self.data_dir),
            "USSD__SERVER__PORT": str(self.port),
            "USSD__API__KEY": KEY,
            **self.settings,
        }
        log = (self.data_dir.parent / "service.log").open("ab")
        command = (sys.executable, "-m", "ussd_engine", "serve", *self.arguments)
        self.process = await asyncio.create_subprocess_exec(
            *command, env=environment, cwd=ROOT, stdout=log, stderr=log
        )
        log.close()
        await self._until_ready(self.process)

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as client:
            while process.returncode is None:
                try:
                    async with client.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError(f"the service did not start:\n{self.log()}")

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        return await self.process.wait()

    def log(self) -> str:
        return (self.data_dir.parent / "service.log").read_text()

    # --- what is in its files, seen from outside

    def rows(self, database: str, query: str) -> list[tuple[object, ...]]:
        """What a query finds; nothing in a file or a table that is not there yet."""
        url = self.settings.get("USSD__DATABASE__URL", "")
        if database == "platform.sqlite" and url.startswith("postgresql"):
            with psycopg.connect(url.replace("+asyncpg", "")) as outside:
                return list(outside.execute(query.encode()).fetchall())
        if not (self.data_dir / database).exists():
            return []
        connection = sqlite3.connect(f"file:{self.data_dir / database}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()

    def platform_accounts(self) -> list[str]:
        return [str(row[0]) for row in self.rows("platform.sqlite", "SELECT account_number FROM accounts")]

    async def opened_at_the_bank(self, phone: str) -> int:
        bank = SandboxBank(self.data_dir / "sandbox_bank.sqlite", SystemClock(), timeout_s=5.0)
        try:
            return await bank.opened_count(phone)
        finally:
            await bank.close()

    def sms(self, phone: str) -> list[str]:
        rows = self.rows("sms.sqlite", "SELECT phone_number, text FROM messages ORDER BY rowid")
        return [str(text) for number, text in rows if number == phone]


@dataclass
class Phone:
    """A handset behind Africa's Talking: keys go out as a growing transcript."""

    service: Service
    number: str
    session_id: str
    client: aiohttp.ClientSession
    transcript: str = ""
    dialled: bool = False

    async def dial(self, transcript: str = "") -> str:
        self.transcript, self.dialled = transcript, True
        return await self.send(transcript)

    async def press(self, *keys: str) -> str:
        """Type each of the keys as an answer of its own; the last screen."""
        screen = ""
        for key in keys:
            self.transcript = f"{self.transcript}*{key}" if self.transcript else key
            screen = await self.send(self.transcript)
        return screen

    async def send(self, transcript: str) -> str:
        fields = {
            "sessionId": self.session_id,
            "phoneNumber": self.number,
            "networkCode": "63902",
            "serviceCode": "*384*100#",
            "text": transcript,
        }
        body = "&".join(f"{name}={quote_plus(value)}" for name, value in fields.items())
        async with self.client.post(
            f"{self.service.url}/ussd/africastalking",
            data=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        ) as answer:
            text = await answer.text()
            assert answer.status == 200, text
            assert text.startswith(("CON ", "END ")), text
            return text
