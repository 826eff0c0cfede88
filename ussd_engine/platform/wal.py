"""SQLite's write-ahead log: readers and the writer do not wait for each other. It is kept in the file."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

from sqlalchemy import make_url

from ussd_engine.errors import DatabaseUnavailable

WITHIN_S = 10.0
"""Switching takes milliseconds; of many processes that start at once, the last one has its turn by then."""
PAUSE_S = 0.01


def use_wal(url: str) -> None:
    """Switch the SQLite file of `url` over; other databases are left alone. Raises DatabaseUnavailable."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return
    try:
        with closing(sqlite3.connect(parsed.database, timeout=WITHIN_S)) as connection:
            _switch(connection, time.monotonic() + WITHIN_S)
    except sqlite3.Error as error:
        raise DatabaseUnavailable("an SQLite file cannot be opened, or another process holds it") from error


def _switch(connection: sqlite3.Connection, give_up_at: float) -> None:
    """Of several processes that do so at once on a new file, SQLite refuses some without waiting."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(PAUSE_S)
        else:
            return
