"""The console sender keeps what it accepted, and shows it to nobody but the terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from adapters.sms.console import ConsoleSms, StoredSms
from ussd_engine.errors import SmsUnavailable
from ussd_engine.ports import Sms

from .conftest import StillClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PHONE, OTHER = "+254711000001", "+254711000002"
SECRET = "Dear Jane Sample, account 1000000000017"
ROOT = Path(__file__).parents[3]
SEND_ONE = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from adapters.sms.console import ConsoleSms
from ussd_engine.ports import Sms

class Clock:
    def now(self): return datetime.now(UTC)

async def main(path, text):
    sender = ConsoleSms(Path(path), Clock(), sys.stdout)
    print("ready", flush=True)
    sys.stdin.readline()
    await sender.send(Sms("m-1", "+254711000001", text))
    await sender.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def terminal() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
async def sender(tmp_path: Path, terminal: io.StringIO) -> AsyncIterator[ConsoleSms]:
    sender = ConsoleSms(tmp_path / "sms.sqlite", StillClock(), terminal)
    yield sender
    await sender.close()


async def test_accepted_messages_are_kept_in_order(sender: ConsoleSms) -> None:
    """A developer reads what was sent, oldest first, to everybody or to one number."""
    for message_id, phone in (("m-2", PHONE), ("m-1", OTHER), ("m-3", PHONE)):
        await sender.send(Sms(message_id, phone, f"text of {message_id}"))
    assert [sms.message_id for sms in await sender.sent()] == ["m-2", "m-1", "m-3"]
    accepted_at = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert await sender.sent(OTHER) == [StoredSms("m-1", OTHER, "text of m-1", accepted_at)]


async def test_message_is_kept_and_shown_once(sender: ConsoleSms, terminal: io.StringIO) -> None:
    """A message that is sent again is neither kept nor shown a second time, and its first text stands."""
    await sender.send(Sms("m-1", PHONE, "first"))
    await sender.send(Sms("m-1", PHONE, "second"))
    assert [sms.text for sms in await sender.sent()] == ["first"]
    assert terminal.getvalue() == f"SMS to {PHONE}: first\n"


async def test_kept_messages_outlive_the_process(sender: ConsoleSms, tmp_path: Path) -> None:
    """A message that one process sent is not sent again by the next one."""
    await sender.send(Sms("m-1", PHONE, "first"))
    terminal = io.StringIO()
    later = ConsoleSms(tmp_path / "sms.sqlite", StillClock(), terminal)
    await later.send(Sms("m-1", PHONE, "first"))
    assert len(await later.sent()) == 1
    assert terminal.getvalue() == ""
    await later.close()


async def test_text_cannot_steer_the_terminal(sender: ConsoleSms, terminal: io.StringIO) -> None:
    """A name with escape characters or line breaks shows as one harmless line."""
    await sender.send(Sms("m-1", PHONE, "a\x1b[2Jb\r\nSMS to x\u202ec"))
    assert terminal.getvalue() == f"SMS to {PHONE}: a [2Jb  SMS to x c\n"


async def test_broken_terminal_loses_no_message(tmp_path: Path) -> None:
    """A terminal that has gone away is no reason to say that the message was not accepted."""
    gone = io.StringIO()
    gone.close()
    sender = ConsoleSms(tmp_path / "sms.sqlite", StillClock(), gone)
    await sender.send(Sms("m-1", PHONE, "text"))
    assert len(await sender.sent()) == 1
    await sender.close()


async def test_nothing_personal_is_logged(sender: ConsoleSms) -> None:
    """The log knows the id of a message, never its text or its receiver, and neither does a debug output."""
    with capture_logs() as logs:
        await sender.send(Sms("m-1", PHONE, SECRET))
    said = f"{logs} {await sender.sent()}"
    assert "m-1" in str(logs)
    assert "Jane" not in said
    assert PHONE not in said


async def test_kept_messages_are_for_their_owner_only(sender: ConsoleSms, tmp_path: Path) -> None:
    """The file holds texts to customers, so other users of the machine cannot read it."""
    await sender.send(Sms("m-1", PHONE, SECRET))
    modes = {entry.name: entry.stat().st_mode & 0o077 for entry in os.scandir(tmp_path)}
    assert modes.pop("sms.sqlite") == 0
    assert not any(modes.values())


async def test_unusable_file_may_be_tried_again(tmp_path: Path) -> None:
    """A file that cannot be written is a sender that did not accept, and trying again may help."""
    sender = ConsoleSms(tmp_path, StillClock(), None)
    with pytest.raises(SmsUnavailable) as caught:
        await sender.send(Sms("m-1", PHONE, SECRET))
    assert "Jane" not in str(caught.value)
    await sender.close()


@contextmanager
def sending(path: Path, text: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is ready to send a message, and does so at a line on its standard input."""
    command = [sys.executable, "-c", SEND_ONE, str(path), text]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


async def test_two_processes_send_one_message(tmp_path: Path) -> None:
    """Two processes that send one message at the same moment to a new file have sent it once."""
    path = tmp_path / "sms.sqlite"
    with sending(path, "first") as first, sending(path, "second") as second:
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        shown = "".join(process.communicate()[0] for process in (first, second))
    sender = ConsoleSms(path, StillClock(), None)
    (kept,) = await sender.sent()
    await sender.close()
    lines = [line for line in shown.splitlines() if line.startswith("SMS")]
    assert lines == [f"SMS to {PHONE}: {kept.text}"]
