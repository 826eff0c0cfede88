"""The operator over HTTP: its token, and everything that is no clear answer."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.adapters.numbers.conftest import camara
from ussd_engine.errors import NumberChecksUnavailable

if TYPE_CHECKING:
    from tests.adapters.numbers.operator_server import Operator

PHONE = "+254711000001"


async def test_request_has_the_shape_that_the_specification_asks_for(operator: Operator) -> None:
    """The number and the hours or the day, a bearer token, and a correlator that names the call."""
    checks = camara(operator)
    await checks.sim_swapped(PHONE, 72)
    await checks.recycled(PHONE, date(2024, 2, 29))
    assert operator.asked == [
        ("/sim-swap/v2/check", {"phoneNumber": PHONE, "maxAge": 72}),
        ("/number-recycling/v0.2/check", {"phoneNumber": PHONE, "specifiedDate": "2024-02-29"}),
    ]
    assert len({headers["x-correlator"] for headers in operator.headers}) == 2
    await checks.close()


async def test_one_token_serves_until_it_ends(operator: Operator) -> None:
    """Checks at the same moment wait for one token; one that is about to end is renewed first."""
    checks = camara(operator)
    await asyncio.gather(*(checks.sim_swapped(PHONE, 72) for _ in range(20)))
    assert len(operator.tokens) == 1
    operator.expires_in = 20  # less than what is kept in reserve
    operator.valid.clear()
    assert await checks.sim_swapped(PHONE, 72) is False  # revoked before its time: asked once more
    await checks.sim_swapped(PHONE, 72)
    assert len(operator.tokens) == 3
    await checks.close()


async def test_check_that_is_not_offered_is_not_asked(operator: Operator) -> None:
    """An operator with one of the two checks is asked for that one."""
    checks = camara(operator, number_recycling_url=None)
    assert await checks.recycled(PHONE, date(2020, 1, 1)) is False
    assert operator.asked == []
    await checks.close()


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"{}"),
        (200, b'{"swapped": "false"}'),
        (200, b"[]"),
        (200, b"<html>"),
        (200, b"x" * 70_000),
        (204, b""),
        (302, b""),
        (404, b'{"status": 404, "code": "IDENTIFIER_NOT_FOUND", "message": "+254711000001"}'),
        (422, b'{"status": 422, "code": "SERVICE_NOT_APPLICABLE", "message": "+254711000001"}'),
        (500, b'{"swapped": false}'),
        (401, b'{"code": "UNAUTHENTICATED"}'),
    ],
)
async def test_what_is_no_clear_answer_is_none(operator: Operator, answer: tuple[int, bytes]) -> None:
    """Only HTTP 200 with a boolean counts; nothing of the number comes into the log or the error."""
    operator.answer = answer
    checks = camara(operator)
    with capture_logs() as logs, pytest.raises(NumberChecksUnavailable) as refused:
        await checks.sim_swapped(PHONE, 72)
    assert "711000001" not in str(refused.value) + str(logs)
    await checks.close()


@pytest.mark.parametrize(
    "trouble", [{"hangs": True}, {"cuts": True}], ids=["does not answer", "cuts the connection"]
)
async def test_network_that_fails_is_no_answer(operator: Operator, trouble: dict[str, Any]) -> None:
    """Silence ends with the timeout, and nothing waits for longer."""
    for name, value in trouble.items():
        setattr(operator, name, value)
    checks = camara(operator)
    async with asyncio.timeout(10):
        with pytest.raises(NumberChecksUnavailable):
            await checks.sim_swapped(PHONE, 72)
    await checks.close()


async def test_nobody_there_and_a_wrong_secret_are_no_answer(operator: Operator) -> None:
    """The secret stands in no error and no log line."""
    nobody = camara(operator, sim_swap_url="http://127.0.0.1:9/check")
    wrong = camara(operator, client_secret="another-secret")
    with capture_logs() as logs:
        for checks in (nobody, wrong):
            with pytest.raises(NumberChecksUnavailable) as refused:
                await checks.sim_swapped(PHONE, 72)
            assert "secret" not in str(refused.value)
            await checks.close()
    assert "another-secret" not in str(logs)
