"""`ussd events`, run as a person runs it, against a worker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.adapters.events.support import publish, sample
from tests.commands import ROOT, run_here
from tests.feed.conftest import KEY, Worker
from ussd_engine.cli import main

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

LINE = "{} 2030-01-02T03:04:05Z account_opened +254*******01 channel=ussd operation_id=o-1"


def own() -> dict[str, str]:
    """Without the settings and the key of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("USSD")}


@asynccontextmanager
async def command(*arguments: str, **variables: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ussd_engine", "events", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env=own() | variables,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: Process) -> str:
    assert process.stdout
    return (await process.stdout.readline()).decode().rstrip("\n")


async def said(process: Process) -> str:
    assert process.stderr
    return (await process.stderr.readline()).decode().rstrip("\n")


async def test_events_are_lines_and_ctrl_c_is_the_end(worker: Worker) -> None:
    """Each event is one line with its id; what is kept comes first, if so asked; Ctrl-C ends it with status 0."""
    detail = {"operation_id": "o-1", "channel": "ussd"}
    await worker.events.publish(sample("e1", **detail))
    async with command("--url", worker.url, "--after", "0-0", USSD_API_KEY=KEY) as process:
        assert await line(process) == LINE.format("1-0")
        await worker.events.publish(sample("e2", **detail))
        assert await line(process) == LINE.format("2-0")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
        assert process.stderr
        assert await process.stderr.read() == b""


async def test_it_comes_again_after_its_last_event(worker: Worker, tmp_path: Path) -> None:
    """When the service is away for a while, the command says so, and goes on without a gap or a double."""
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n")
    await publish(worker.events, "e1")
    async with command("--url", worker.url, "--key-file", str(key_file), "--after", "0-0") as process:
        assert (await line(process)).startswith("1-0 ")
        await worker.stop()
        assert "1001" in await said(process)
        await publish(worker.events, "e2")
        await worker.start()
        assert (await line(process)).startswith("2-0 ")


async def test_a_gap_is_said(worker: Worker) -> None:
    """What is no longer kept is told beside the events, not among them."""
    await publish(worker.events, *(f"e{number}" for number in range(150)))
    async with command("--url", worker.url, "--after", "20-0", USSD_API_KEY=KEY) as process:
        assert await said(process) == "gap: not all is kept that came after 20-0"
        assert (await line(process)).startswith("51-0 ")


@pytest.mark.parametrize(
    ("arguments", "key", "hint"),
    [
        ((), "another", "the key is not taken: set USSD_API_KEY"),
        (("--after", "now"), KEY, "--after takes an id of this feed"),
        (("--url", "nowhere"), KEY, "--url takes an address such as http://127.0.0.1:8080"),
        (("--key-file", "none"), "", "none cannot be read (FileNotFoundError): set USSD_API_KEY"),
    ],
)
async def test_what_another_try_would_not_mend_ends_it(
    worker: Worker, arguments: tuple[str, ...], key: str, hint: str
) -> None:
    """A refusal for good exits with 2 and says what to do; the key is not repeated."""
    words = ["ussd", "events", "--url", worker.url, *arguments]
    run = await asyncio.to_thread(run_here, main, words, ROOT, own() | {"USSD_API_KEY": key})
    assert run.returncode == 2
    assert hint in run.stderr
    assert "another" not in run.stderr
