"""`ussd operations` on the data of a service, and what a running service makes of it."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from tests.services.parts import Parts, Script, eventually, running
from ussd_engine.cli import app
from ussd_engine.platform.operations import operation_id
from ussd_engine.ports import Opened, Unknown
from ussd_engine.sealing import load_or_create
from ussd_engine.services.backoff import Backoff
from ussd_engine.services.operations import OperationPending

if TYPE_CHECKING:
    from pathlib import Path

    from tests.database_fixtures import Urls

PHONE = "+254711000500"
AT_ONCE_S = timedelta(seconds=0)
AT_ONCE = Backoff(first_delay_s=0.01, factor=1, max_delay_s=0.01, give_up_after_s=0.02)


async def ussd(folder: Path, urls: Urls, *words: str) -> Result:
    """A thread of its own, as the command has a loop of its own."""
    own = {name: None for name in os.environ if name.upper().startswith("USSD__")}
    settings = {"USSD__DATA_DIR": str(folder), "USSD__DATABASE__URL": urls.platform}
    run = partial(CliRunner().invoke, app, ["operations", *words], env={**own, **settings}, prog_name="ussd")
    return await asyncio.to_thread(run)


async def in_doubt(parts: Parts, name: str) -> str:
    """An opening that the bank never told anything of."""
    parts.bank.scripts[PHONE] = Script(open=[Unknown("timeout")], find=[Unknown("timeout")])
    assert isinstance(await parts.open(name, PHONE), OperationPending)

    async def given_up() -> bool:
        told = await parts.rows("SELECT id FROM notifications WHERE state = 'sent'")
        return await parts.state(PHONE) == "in_doubt" and len(told) == 1

    await eventually(given_up)
    return operation_id(name)


async def test_staff_find_what_is_in_doubt_and_have_it_tried_again(
    empty_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed and shown without the number; noted at the terminal, taken up by the service, and told by SMS."""
    keys = load_or_create(tmp_path / "keys.json")
    monkeypatch.setattr("tests.services.parts.KEYS", keys)
    async with running(tmp_path, urls=empty_urls, reconcile=AT_ONCE) as parts:
        id_ = await in_doubt(parts, "doubt-1")
        listed = await ussd(tmp_path, empty_urls, "list")
        shown = await ussd(tmp_path, empty_urls, "show", id_)
        assert id_ in listed.stdout
        assert re.search(r"SMS +\S+ +account_delayed +sent", shown.stdout)
        assert PHONE not in listed.stdout + shown.stdout
        parts.bank.scripts[PHONE] = Script(open=[Unknown("timeout")], find=[Opened("REF-500", "ACC-500")])
        noted = await ussd(tmp_path, empty_urls, "retry", id_)
        assert noted.exit_code == 0, noted.stderr
        assert await parts.state(PHONE) == "open"
        monkeypatch.setattr("ussd_engine.services.recovery.ABANDONED_AFTER", AT_ONCE_S)
        await parts.recovery.take_up_abandoned()

        async def done() -> bool:
            return await parts.state(PHONE) == "done" and len(await parts.texts(PHONE)) == 2

        await eventually(done)
        assert "ACC-500" in (await parts.texts(PHONE))[1]
        refused = await ussd(tmp_path, empty_urls, "retry", id_)
        assert refused.exit_code != 0
        assert "nothing to try again" in refused.stderr
        assert "is done" in refused.stderr
        assert (await ussd(tmp_path, empty_urls, "list")).stdout == "No operation is in_doubt.\n"


async def test_an_operation_that_is_not_there(empty_urls: Urls, tmp_path: Path) -> None:
    """Said so, with an exit code that a script sees."""
    assert (await ussd(tmp_path, empty_urls, "show", "no-such-id")).exit_code == 1
    missing = await ussd(tmp_path, empty_urls, "retry", "no-such-id")
    assert missing.exit_code == 2
    assert "there is no operation with this id" in missing.stderr
