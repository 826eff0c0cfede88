"""The senders that the contract suite runs over."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from adapters.sms.console import ConsoleSms

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


SENDERS: dict[str, Callable[[Path], AbstractAsyncContextManager[SmsSender]]] = {"console": _console}
"""Every implementation of the port, as a context manager over a sender that a test has for itself."""


@pytest.fixture(params=[*SENDERS])
async def sender(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SmsSender]:
    async with SENDERS[request.param](tmp_path) as opened:
        yield opened
