"""Several real processes at one sandbox bank."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.cbs.sandbox import SandboxBank
from ussd_engine.ports import NotFound, Opened

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW, SLOW = "+254711000001", "+254700000003"
ROOT = Path(__file__).parents[3]
OPEN_ONE = """
import asyncio, sys, time
from datetime import UTC, date, datetime
from pathlib import Path
from adapters.cbs.sandbox import SandboxBank
from ussd_engine.ports import NewAccount

class WallClock:
    def now(self): return datetime.now(UTC)
    def monotonic(self): return time.monotonic()

async def main(path, phone, attempt, slow_s):
    bank = SandboxBank(Path(path), WallClock(), timeout_s=30, slow_s=float(slow_s))
    request = NewAccount(phone, "Jo", "Sample", date(1995, 3, 4))
    print("ready", flush=True)
    sys.stdin.readline()
    print(await bank.open_account(request, idempotency_key="key-" + attempt, external_id="ext-" + attempt))
    await bank.close()

asyncio.run(main(*sys.argv[1:]))
"""


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.now().timestamp()


@contextmanager
def opener(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is ready to open an account, and does so at a line on its standard input."""
    command = [sys.executable, "-c", OPEN_ONE, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


async def test_two_processes_open_one_account(tmp_path: Path) -> None:
    """Two processes that meet a new file and one phone number at once make one account between them."""
    path = tmp_path / "bank.sqlite"
    with opener(str(path), NEW, "1", "15") as first, opener(str(path), NEW, "2", "15") as second:
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate()[0] for process in (first, second)]
    assert sorted(text.partition("(")[0] for text in said) == ["Duplicate", "Opened"]
    bank = SandboxBank(path, WallClock(), timeout_s=20)
    assert await bank.opened_count(NEW) == 1
    await bank.close()


async def test_killed_process_leaves_one_account_or_none(tmp_path: Path) -> None:
    """An opening that had reached the bank is done though its process was killed while it waited."""
    path = tmp_path / "bank.sqlite"
    bank = SandboxBank(path, WallClock(), timeout_s=20)
    with opener(str(path), SLOW, "1", "0.2") as process:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        while await bank.find_opening("ext-1") == NotFound():
            pass
        process.kill()
    while not isinstance(await bank.find_opening("ext-1"), Opened):
        pass
    assert await bank.opened_count(SLOW) == 1
    await bank.close()
