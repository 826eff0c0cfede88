"""`ussd serve --workers 2`: real processes that share a port, die, come back and end together."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.database_fixtures import KINDS, urls_of
from tests.service.process import Phone, Service, standing_still
from ussd_engine.supervisor import STOP_WITHIN_S

pytestmark = pytest.mark.slow

WITHIN_S = 60.0


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A new connection for each request: any worker may take it."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=WITHIN_S), connector=aiohttp.TCPConnector(force_close=True)
    ) as session:
        yield session


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Of the databases."""
    urls = urls_of(request.param, tmp_path, request)
    if request.param == "sqlite":
        return {}  # as a first start has them
    return {"USSD__DATABASE__URL": urls.platform, "USSD__WORKFLOWS__URL": urls.workflows}


@pytest.fixture
async def service(tmp_path: Path, settings: dict[str, str]) -> AsyncIterator[Service]:
    running = Service(tmp_path / "var", settings, arguments=("--workers", "2"))
    await running.start()
    await eventually(lambda: "The USSD service runs" in running.log())  # then all of them serve
    yield running
    await running.stop(signal.SIGKILL)


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.05)


def below(parent: int) -> dict[int, str]:
    """The processes that this one has started: command line by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, command = (folder / "stat").read_text(), (folder / "cmdline").read_text()
        except OSError:  # it has ended
            continue
        state, started_by = stat.rsplit(")", 1)[1].split()[:2]
        if int(started_by) == parent and state != "Z":
            found[int(folder.name)] = command.replace("\0", " ")
    return found


def workers(service: Service) -> list[int]:
    return sorted(pid for pid, command in below(supervisor(service)).items() if "spawn_main" in command)


def supervisor(service: Service) -> int:
    assert service.process is not None
    return service.process.pid


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def test_a_session_goes_on_with_whichever_worker_answers(
    service: Service, client: aiohttp.ClientSession
) -> None:
    """Both workers answer on the one port, and know the session that the other began; the welcome is said once."""
    one, other = workers(service)
    handset = Phone(service, "+254711000001", "ATUid_1", client)
    with standing_still(one):
        assert "Welcome to Acme Bank" in await handset.dial()
    with standing_still(other):
        assert "First name" in await handset.press("1")
    with standing_still(one):
        assert "Last name" in await handset.press("Jane")
    assert service.log().count("The USSD service runs") == 1


async def test_a_worker_that_dies_is_started_again(service: Service, client: aiohttp.ClientSession) -> None:
    """Killed, it leaves its fellow to answer; a new one comes under the same id, and answers as well."""
    died, stays = workers(service)
    handset = Phone(service, "+254711000001", "ATUid_1", client)
    os.kill(died, signal.SIGKILL)
    assert "Welcome to Acme Bank" in await handset.dial()
    await eventually(lambda: service.log().count('"event": "worker_started"') == 3)
    (new,) = set(workers(service)) - {stays}
    assert new != died
    with standing_still(stays):
        assert "First name" in await handset.press("1")
    seen = service.rows("platform.sqlite", "SELECT executor_id FROM workers ORDER BY executor_id")
    assert seen == [("local-1",), ("local-2",)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_all_of_it(service: Service, number: signal.Signals) -> None:
    """Told to end, the service answers what is under way, and leaves no process and no worker in the table."""
    started = list(below(supervisor(service)))
    assert await service.stop(number) == 0
    await eventually(lambda: not alive(started))
    assert service.rows("platform.sqlite", "SELECT executor_id FROM workers") == []
    assert "Traceback" not in service.log()


async def test_a_second_signal_kills_what_does_not_end(service: Service) -> None:
    """A worker that hangs holds nobody up who insists."""
    assert service.process is not None
    started, stuck = list(below(supervisor(service))), workers(service)[0]
    os.kill(stuck, signal.SIGSTOP)
    service.process.send_signal(signal.SIGTERM)
    await eventually(lambda: '"event": "service_stopping"' in service.log())
    assert service.process.returncode is None
    async with asyncio.timeout(STOP_WITHIN_S / 2):  # after all of it every worker is killed anyway
        assert await service.stop() == 0
    await eventually(lambda: not alive(started))


async def test_no_worker_outlives_its_supervisor(service: Service) -> None:
    """However the supervisor ends, nothing keeps the port or works on unseen."""
    started = list(below(supervisor(service)))
    assert len(workers(service)) == 2
    await service.stop(signal.SIGKILL)
    await eventually(lambda: not alive(started))


async def test_a_service_that_cannot_start_says_so_once(tmp_path: Path) -> None:
    """What stands in the way of a worker is told by the service, with what to do, and nothing stays behind."""
    service = Service(
        tmp_path / "var",
        {"USSD__DATABASE__URL": f"sqlite+aiosqlite:///{tmp_path}/missing/platform.sqlite"},
        arguments=("--workers", "2"),
    )
    with pytest.raises(AssertionError, match="did not start"):
        await service.start()
    assert await service.stop() == 2
    assert service.log().count("ussd serve could not run") == 1
    assert "look at database.url" in service.log()
    assert "Traceback" not in service.log()
