"""Where a PIN stands once it was chosen and tried: nowhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from tests.database_fixtures import KEYS
from tests.services.parts import running
from ussd_engine.platform import pins

if TYPE_CHECKING:
    from pathlib import Path

PHONE, PIN, WRONG, OTHER = "+254711000309", "835917", "940281", "270846"


def opened(workflows: Path) -> list[bytes]:
    """All that workflows were given and gave back, as who has the keys reads it."""
    with closing(sqlite3.connect(workflows)) as connection:
        sql = "SELECT inputs FROM workflow_input UNION SELECT output FROM workflow_output"
        rows = connection.execute(sql).fetchall()
    return [KEYS.open(sealed, "dbos") for row in rows for sealed in row if sealed]


async def test_pin_stands_nowhere(tmp_path: Path) -> None:
    """Not in a file of either database, nor in what a workflow was given, nor in a log."""
    with capture_logs() as logs:
        async with running(tmp_path) as parts:
            await parts.open("open", PHONE)
            assert await parts.choose_pin("set", PHONE, PIN) == "set"
            for name, pin in (("right", PIN), ("wrong", WRONG)):
                await parts.pins.verify(name, PHONE, pin, wait_s=5)
            await parts.pins.change("change", PHONE, PIN, OTHER, wait_s=5)
            (row,) = await parts.rows("SELECT user_id, hash_sealed FROM pins")
            kept = await parts.database.read(lambda c: pins.find(c, KEYS, row.user_id))
            given = opened(tmp_path / "workflows.db")
    files = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert [one for one in given if b"right" in one]
    assert kept is not None
    said = [files, repr(logs).encode(), *given, kept.hash.encode()]
    assert not [text for text in said for pin in (PIN, WRONG, OTHER) if pin.encode() in text]
    assert kept.hash.startswith("scrypt.")
    assert kept.hash not in row.hash_sealed
