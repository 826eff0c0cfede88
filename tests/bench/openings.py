"""How many accounts one worker opens in a second, against three empty DBOS steps on the same database.

Run as `python -m tests.bench.openings KIND FOLDER` with KIND sqlite or postgresql. Everything is as the service has it:
the sandbox bank, the platform's database, durable workflows, the feed in Redis, the SMS, the log. Rounds of both
alternate, as the machine is shared. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from dbos import DBOS

from adapters.cbs.sandbox import SandboxBank
from adapters.events.redis import RedisEvents
from adapters.sms.console import ConsoleSms
from tests.database_fixtures import KEYS, Urls, postgres_in, sqlite_in
from tests.redis_fixtures import RedisServer
from tests.services.parts import WallClock, build, eventually, launch, opening, prepare
from ussd_engine import logs
from ussd_engine.platform.migrate import migrate
from ussd_engine.services.accounts import AccountOpened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.services.parts import Built

ROUNDS = 5
EACH = 250
"""Workflows of a round; an opening takes some 5 to 8 ms."""
AT_ONCE = 32
WAIT_S = 60.0


async def main(urls: Urls, folder: Path, redis: str) -> dict[str, Any]:
    logs.configure("info", "json")
    clock = WallClock()
    bank = SandboxBank(folder / "bank.db", clock, timeout_s=10.0)
    sms = ConsoleSms(folder / "sms.db", clock, None)
    events = RedisEvents(redis, timeout_s=2.0, keep_events=10_000)
    await migrate(urls.platform, KEYS)
    built = build(folder, clock, bank, sms, events, urls=urls)
    await prepare(built.database)
    await launch(built, {"three_steps": three_steps})
    rates: dict[str, list[float]] = {"steps": [], "openings": []}
    for number in range(-1, ROUNDS):  # the first round warms up
        steps = await rate(lambda n, r=number: run_steps(built, f"steps-{r}-{n}"))  # type: ignore[misc]
        opened = await rate(lambda n, r=number: open_one(built, r, n))  # type: ignore[misc]
        await eventually(lambda: quiet(built))
        if number >= 0:
            rates["steps"].append(steps)
            rates["openings"].append(opened)
    accounts = await bank.opened_count()
    wanted = EACH * (ROUNDS + 1)
    if accounts != wanted or len(await sms.sent()) != wanted:
        raise RuntimeError(f"{accounts} accounts and {len(await sms.sent())} messages for {wanted} openings")
    await built.workflows.close()
    await built.database.close()
    for port in (bank, sms, events):
        await port.close()
    return rates


async def three_steps(_payload: dict[str, Any]) -> dict[str, Any]:
    for _ in range(3):
        await DBOS.run_step_async({"name": "empty"}, _nothing)
    return {}


async def _nothing() -> dict[str, Any]:
    return {}


async def run_steps(built: Built, id_: str) -> None:
    await built.workflows.run("three_steps", id_, {}, wait_s=WAIT_S)


async def open_one(built: Built, round_: int, number: int) -> None:
    phone = f"+25479{round_ + 1}{number:06}"
    done = await built.accounts.register(f"open-{round_}-{number}", opening(phone), wait_s=WAIT_S)
    if not isinstance(done, AccountOpened):
        raise TypeError(f"an opening came to {done!r}")


async def rate(work: Callable[[int], Awaitable[None]]) -> float:
    """Done in a second, so many at once."""
    numbers = iter(range(EACH))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return EACH / (time.perf_counter() - begun)


async def quiet(built: Built) -> bool:
    return not await built.workflows.under_way()


@contextmanager
def _urls(kind: str, folder: Path) -> Iterator[Urls]:
    if kind == "sqlite":
        yield sqlite_in(folder)
    else:
        with postgres_in(folder) as server:
            yield server.fresh()


if __name__ == "__main__":
    place = Path(sys.argv[2])
    (place / "redis").mkdir()
    with ExitStack() as stack:
        addresses = stack.enter_context(_urls(sys.argv[1], place))
        server = RedisServer(place / "redis")
        server.start()
        stack.callback(server.kill)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(main(addresses, place, server.url))
        os.write(1, json.dumps(found).encode())
