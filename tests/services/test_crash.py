"""A process that is killed at the worst moments, and the next one that picks up what it left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
PHONE = "+254711000070"
LOST_ANSWER = "+254700000005"
CASES: Mapping[str, tuple[str, str, str]] = {
    "operation claimed, not yet checkpointed": ("claimed", PHONE, "resume"),
    "about to ask the bank": ("before_open", PHONE, "resume"),
    "bank has answered, nothing recorded": ("bank_answered", PHONE, "resume"),
    "bank has answered, then is down": ("bank_answered", PHONE, "resume-without-bank"),
    "recorded, not yet checkpointed": ("recorded", PHONE, "resume"),
    "SMS accepted, not yet recorded": ("sms_accepted", PHONE, "resume"),
    "answer lost, and killed when it is recorded": ("recorded", LOST_ANSWER, "resume"),
}
ONCE = {
    "opened": 1,
    "messages": 1,
    "customers": 1,
    "accounts": 1,
    "users": 1,
    "staged_changes": 1,
    "operations": 1,
    "notifications": 1,
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All cases side by side: most of their time is the start of a process."""
    folders = {name: tmp_path_factory.mktemp("crash") for name in CASES}

    async def all_of_them() -> dict[str, Any]:
        limit = asyncio.Semaphore(4)

        async def one(name: str) -> Any:
            async with limit:
                return await crash_and_resume(folders[name], *CASES[name])

        return dict(zip(CASES, await asyncio.gather(*map(one, CASES)), strict=True))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("case", CASES)
def test_a_killed_opening_is_recorded_once_and_told_once(outcomes: dict[str, Any], case: str) -> None:
    """Wherever the process died: one account at the bank, one record here, one SMS, and the answer stands."""
    killed, report = outcomes[case]
    assert killed == -signal.SIGKILL
    assert "account_number" in report.pop("answer")
    assert report == ONCE


async def crash_and_resume(folder: Path, point: str, phone: str, resume: str) -> tuple[int, dict[str, Any]]:
    code, _, _ = await drive(folder, phone, "open", KILL_AT=point)
    resumed, output, errors = await drive(folder, phone, resume)
    assert resumed == 0, errors
    report: dict[str, Any] = json.loads(output.splitlines()[-1])
    return code, report


async def drive(folder: Path, phone: str, mode: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.services.driver",
        str(folder),
        phone,
        mode,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()
