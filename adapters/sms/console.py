"""SMS for development: kept in one SQLite file, and shown on a terminal when there is one.

A message is accepted once per id, also when several processes send it at the same moment. Texts are personal:
they stand in the file, which only its owner can read, and on the terminal, never in a log.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from adapters.sqlite import SqliteFile
from ussd_engine.errors import SmsUnavailable
from ussd_engine.ports import Sms, SmsAccepted

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from ussd_engine.ports import Clock

log = structlog.get_logger(__name__)

BUSY_TIMEOUT_S: Final = 5.0
"""How long another process may hold the file; its transactions take milliseconds."""
_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS messages (
    message_id TEXT PRIMARY KEY,
    phone_number TEXT NOT NULL,
    text TEXT NOT NULL,
    accepted_at REAL NOT NULL)"""
_ACCEPT: Final = "INSERT INTO messages VALUES (?, ?, ?, ?) ON CONFLICT (message_id) DO NOTHING"
_SENT: Final = (
    "SELECT message_id, phone_number, text, accepted_at FROM messages"
    " WHERE :phone IS NULL OR phone_number = :phone ORDER BY rowid"
)


@dataclass(frozen=True, slots=True)
class StoredSms:
    """A message as it was accepted."""

    message_id: str
    phone_number: str = field(repr=False)
    text: str = field(repr=False)
    accepted_at: datetime


class ConsoleSms:
    """Port `SmsSender`. `echo`: a terminal that shows each accepted message once, on one line; None: nobody."""

    def __init__(self, path: Path, clock: Clock, echo: TextIO | None) -> None:
        self._file = SqliteFile(path, _set_up, busy_timeout_s=BUSY_TIMEOUT_S)
        self._clock = clock
        self._echo = echo

    async def send(self, sms: Sms) -> SmsAccepted:
        row = (sms.message_id, sms.phone_number, sms.text, self._clock.now().timestamp())
        try:
            accepted = await self._file.write(lambda db: db.execute(_ACCEPT, row).rowcount == 1)
        except (sqlite3.Error, OSError) as error:
            raise SmsUnavailable("the file of the console SMS sender cannot be written") from error
        if accepted:
            log.info("sms_accepted", message_id=sms.message_id)
            self._show(sms)
        return SmsAccepted(f"console-{sms.message_id}")

    async def sent(self, phone_number: str | None = None) -> list[StoredSms]:
        """Return what was accepted, oldest first: all of it, or what went to one number."""
        return await self._file.read(lambda db: _stored(db, phone_number))

    async def close(self) -> None:
        await self._file.close()

    def _show(self, sms: Sms) -> None:
        """A text may hold what a subscriber typed, so nothing of it may steer the terminal."""
        if self._echo is None:
            return
        text = "".join(c if c.isprintable() else " " for c in sms.text)
        with contextlib.suppress(OSError, ValueError):  # the message is accepted, whatever the terminal does
            print(f"SMS to {sms.phone_number}: {text}", file=self._echo, flush=True)


def _set_up(db: sqlite3.Connection) -> None:
    db.execute(_SCHEMA)


def _stored(db: sqlite3.Connection, phone_number: str | None) -> list[StoredSms]:
    rows = db.execute(_SENT, {"phone": phone_number})
    return [
        StoredSms(message_id, phone, text, datetime.fromtimestamp(at, UTC))
        for message_id, phone, text, at in rows
    ]
