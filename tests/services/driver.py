"""A process that opens an account, and dies at the point that KILL_AT names.

Run as `python -m tests.services.driver FOLDER PHONE MODE`, where MODE is open, resume or resume-without-bank.
The points are wrapped around the ports and the recording here; the product knows nothing of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from adapters.cbs.sandbox import SandboxBank
from adapters.events.memory import MemoryEvents
from adapters.sms.console import ConsoleSms
from tests.services.parts import KEYS, WallClock, build, database_url, eventually, launch, opening, prepare
from ussd_engine.errors import BankUnavailable
from ussd_engine.platform.migrate import migrate
from ussd_engine.services.operations import Operations

if TYPE_CHECKING:
    from ussd_engine.platform.database import Database
    from ussd_engine.ports import NewAccount, OpenOutcome, Sms, SmsAccepted

WORKFLOW = "turn-1"


def die_at(point: str) -> None:
    if os.environ.get("KILL_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)


class DyingBank(SandboxBank):
    down = False

    async def open_account(self, request: NewAccount, **ids: str) -> OpenOutcome:
        if self.down:
            raise BankUnavailable("the bank is down for this test")
        die_at("before_open")
        outcome = await super().open_account(request, **ids)
        die_at("bank_answered")
        return outcome

    async def find_opening(self, external_id: str) -> Any:
        if self.down:
            raise BankUnavailable("the bank is down for this test")
        return await super().find_opening(external_id)


class DyingSms(ConsoleSms):
    async def send(self, sms: Sms) -> SmsAccepted:
        accepted = await super().send(sms)
        die_at("sms_accepted")
        return accepted


class DyingOperations(Operations):
    async def _live_through(self, procedure: Any, operation: Any) -> Any:
        die_at("claimed")
        return await super()._live_through(procedure, operation)

    async def _tell(self, claim: Any, recorded: Any) -> None:
        die_at("recorded")
        await super()._tell(claim, recorded)


async def main(folder: Path, phone: str, mode: str) -> None:
    clock = WallClock()
    bank = DyingBank(folder / "bank.db", clock, timeout_s=0.4)
    sms = DyingSms(folder / "sms.db", clock, None)
    await migrate(database_url(folder), KEYS)
    built = build(folder, clock, bank, sms, MemoryEvents(), conduct=DyingOperations)
    database, accounts = built.database, built.accounts
    await prepare(database)
    bank.down = mode == "resume-without-bank"
    await launch(built)
    if mode == "open":
        await accounts.register(WORKFLOW, opening(phone), wait_s=10)
    if bank.down:
        await eventually(lambda: has(database, "SELECT 1 FROM operations WHERE reconciling"))
        bank.down = False
    await eventually(lambda: has(database, "SELECT 1 FROM notifications WHERE state = 'sent'"))
    done = await accounts.register(WORKFLOW, opening(phone), wait_s=10)
    report = {
        "answer": str(done),
        "opened": await bank.opened_count(phone),
        "messages": len(await sms.sent(phone)),
        **{table: await count(database, table) for table in TABLES},
    }
    await built.workflows.close()
    await database.close()
    await bank.close()
    await sms.close()
    sys.stdout.write(json.dumps(report) + "\n")


TABLES = ("customers", "accounts", "users", "staged_changes", "operations", "notifications")


async def has(database: Database, sql: str) -> bool:
    return await database.read(lambda connection: connection.execute(text(sql)).first() is not None)


async def count(database: Database, table: str) -> int:
    sql = text(f"SELECT count(*) FROM {table}")
    return await database.read(lambda connection: int(connection.execute(sql).scalar_one()))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
