"""`ussd sms`, as staff run it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.commands import ussd
from tests.outbox_rows import PHONE, Message, put
from ussd_engine.platform.database import Database
from ussd_engine.platform.migrate import migrate
from ussd_engine.sealing import load_or_create

if TYPE_CHECKING:
    from pathlib import Path


async def with_messages(folder: Path, url: str, *messages: Message) -> None:
    """The folder of a service that has sent them."""
    keys = load_or_create(folder / "keys.json")
    await migrate(url, keys)
    database = Database(url)
    for message in messages:
        await database.write(lambda connection, one=message: put(connection, one, keys))  # type: ignore[misc]
    await database.close()


async def test_failed_messages_are_seen(tmp_path: Path, empty_url: str) -> None:
    """Which failed, why, and for whom in part; `--state failed` is the same."""
    await with_messages(
        tmp_path,
        empty_url,
        Message("m-1", state="failed", failure="InvalidPhoneNumber"),
        Message("m-2", sender_ref="r", delivery="delivered"),
    )
    run = await asyncio.to_thread(
        ussd, "sms", "list", "--failed", data_dir=str(tmp_path), database__url=empty_url
    )
    assert (run.returncode, run.stderr) == (0, "")
    head, line = run.stdout.splitlines()
    assert head.split()[:3] == ["created", "id", "phone"]
    assert line.split() == [
        *("2030-01-02T03:04:05Z", "m-1", "+254*******01", "account_opened", "en"),
        *("1", "1", "failed", "-", "InvalidPhoneNumber"),
    ]
    same = await asyncio.to_thread(
        ussd, "sms", "list", "--state", "failed", data_dir=str(tmp_path), database__url=empty_url
    )
    assert same.stdout == run.stdout


async def test_all_messages_are_seen_the_newest_first(tmp_path: Path, empty_url: str) -> None:
    """Without a filter everything is listed, up to the limit; never a text or a whole number."""
    await with_messages(tmp_path, empty_url, *(Message(f"m-{n}", age_s=n) for n in range(3)))
    run = await asyncio.to_thread(
        ussd, "sms", "list", "--limit", "2", data_dir=str(tmp_path), database__url=empty_url
    )
    assert [line.split()[1] for line in run.stdout.splitlines()[1:]] == ["m-0", "m-1"]
    assert "Jane" not in run.stdout
    assert PHONE not in run.stdout


def test_two_filters_at_once_are_refused(tmp_path: Path) -> None:
    """Of two filters that say different things neither wins."""
    assert ussd("sms", "list", "--failed", "--state", "sent", data_dir=str(tmp_path)).returncode == 2
