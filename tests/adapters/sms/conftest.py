"""The senders that the contract suite runs over."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from adapters.sms.africastalking import AfricasTalkingSms
from adapters.sms.console import ConsoleSms

from .sender_server import SenderServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ussd_engine.ports import SmsSender


class StillClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime(2030, 1, 1, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


@asynccontextmanager
async def _console(folder: Path) -> AsyncIterator[SmsSender]:
    sender = ConsoleSms(folder / "sms.sqlite", StillClock(), None)
    yield sender
    await sender.close()


@asynccontextmanager
async def _africastalking(_folder: Path) -> AsyncIterator[SmsSender]:
    async with SenderServer() as server, sending_to(server.url) as sender:
        yield sender


@asynccontextmanager
async def sending_to(
    url: str, *, sender_id: str | None = None, timeout_s: float = 20.0
) -> AsyncIterator[AfricasTalkingSms]:
    sender = AfricasTalkingSms(
        base_url=url, username="sample", api_key=API_KEY, sender_id=sender_id, timeout_s=timeout_s
    )
    yield sender
    await sender.close()


API_KEY = "sample-key-for-tests-only"
SENDERS: dict[str, Callable[[Path], AbstractAsyncContextManager[SmsSender]]] = {
    "console": _console,
    "africastalking": _africastalking,
}
"""Every implementation of the port, as a context manager over a sender that a test has for itself."""
KNOW_IDS = ("console",)
"""Those that know our message ids, and so accept a message once."""


@pytest.fixture(params=[*SENDERS])
async def sender(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SmsSender]:
    async with SENDERS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture(params=KNOW_IDS)
async def knowing_sender(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SmsSender]:
    async with SENDERS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[SenderServer]:
    async with SenderServer() as running:
        yield running
