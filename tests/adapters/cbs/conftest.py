"""The banks that the contract suite runs over, and the sandbox bank that its own tests use."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Protocol

import pytest

from adapters.cbs.sandbox import SandboxBank

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ussd_engine.ports import CoreBanking


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class OpenSandbox(Protocol):
    """Open the test's sandbox file once more: another process would see the same."""

    def __call__(self, **options: float) -> SandboxBank: ...


@asynccontextmanager
async def _sandbox(folder: Path) -> AsyncIterator[CoreBanking]:
    bank = SandboxBank(folder / "bank.sqlite", HandClock(), timeout_s=20)
    yield bank
    await bank.close()


BANKS: dict[str, Callable[[Path], AbstractAsyncContextManager[CoreBanking]]] = {"sandbox": _sandbox}
"""Every implementation of the port, as a context manager over a bank that a test has for itself."""


@pytest.fixture(params=[*BANKS])
async def bank(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CoreBanking]:
    async with BANKS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def open_sandbox(tmp_path: Path, clock: HandClock) -> AsyncIterator[OpenSandbox]:
    async with AsyncExitStack() as stack:

        def opened(**options: float) -> SandboxBank:
            bank = SandboxBank(tmp_path / "bank.sqlite", clock, **{"timeout_s": 20.0, **options})
            stack.push_async_callback(bank.close)
            return bank

        yield opened


@pytest.fixture
def fresh_phone() -> Callable[[], str]:
    """Phone numbers that no bank of this test knows."""
    numbers = count(254711000000)
    return lambda: f"+{next(numbers)}"
