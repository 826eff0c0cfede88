"""Every implementation of the port `NumberChecks`, and a real operator on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from adapters.numbers.camara import CamaraNumberChecks
from adapters.numbers.sandbox import SandboxNumberChecks
from tests.adapters.numbers.operator_server import CLIENT, Operator
from tests.web.parts import FixedClock
from ussd_engine.ports import NumberChecks


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    served = Operator()
    runner = web.AppRunner(served.app(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.port = runner.addresses[0][1]
    yield served
    await runner.cleanup()


def camara(operator: Operator, **changes: Any) -> CamaraNumberChecks:
    options: dict[str, Any] = {
        "sim_swap_url": f"{operator.url}/sim-swap/v2/check",
        "number_recycling_url": f"{operator.url}/number-recycling/v0.2/check",
        "token_url": f"{operator.url}/token",
        "client_id": CLIENT[0],
        "client_secret": CLIENT[1],
        "scope": None,
        "timeout_s": 0.5,
    }
    return CamaraNumberChecks(FixedClock(), **{**options, **changes})


@pytest.fixture(params=["sandbox", "camara"])
async def checks(request: pytest.FixtureRequest, operator: Operator) -> AsyncIterator[NumberChecks]:
    made: NumberChecks = SandboxNumberChecks(FixedClock()) if request.param == "sandbox" else camara(operator)
    yield made
    await made.close()
