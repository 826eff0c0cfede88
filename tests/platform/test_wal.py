"""Switching a database file to the write-ahead log."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from ussd_engine.errors import DatabaseUnavailable
from ussd_engine.platform import wal
from ussd_engine.platform.wal import use_wal

WORKERS = 8
FILES = 300
"""SQLite refuses somebody on about one new file in a hundred: of so many, some are sure to be among them."""


def test_workers_that_start_together_are_all_let_in(tmp_path: Path) -> None:
    """Whoever else switches a new file at the same moment, everybody ends with the write-ahead log."""
    together = Barrier(WORKERS)

    def start(file: Path) -> str:
        with closing(sqlite3.connect(file, timeout=wal.WITHIN_S)) as connection:
            together.wait()
            wal._switch(connection, time.monotonic() + wal.WITHIN_S)
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0])

    with ThreadPoolExecutor(WORKERS) as pool:
        for number in range(FILES):
            assert set(pool.map(start, [tmp_path / f"{number}.sqlite"] * WORKERS)) == {"wal"}


def test_a_file_that_cannot_be_opened_is_said_to_be_away(tmp_path: Path) -> None:
    """The words of the driver stay out, whatever stands in the way."""
    with pytest.raises(DatabaseUnavailable, match="cannot be opened"):
        use_wal(f"sqlite:///{tmp_path}/none/workflows.sqlite")


def test_other_databases_are_left_alone() -> None:
    """Only SQLite has such a switch; nothing is connected to."""
    use_wal("postgresql+asyncpg://nobody@127.0.0.1:1/none")
