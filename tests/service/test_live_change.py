"""The flows change under a running `ussd serve`, and no subscriber notices: real processes, real HTTP."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import sqlite3
import sys
import termios
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import aiohttp
import pytest

from tests.database_fixtures import KINDS, urls_of
from tests.service.process import KEY, ROOT, Phone, Service, standing_still
from ussd_engine.reloading import POLL_S

pytestmark = pytest.mark.slow

WITHIN_S = 60.0
SESSIONS = 300
THINKS_S = 2.0
"""How long a subscriber looks at a screen: all of them together make a hundred callbacks a second and more."""
CODE = "*384*100#"
SMS = (ROOT / "flows" / "sms.yaml").read_text()
ROUND = 'menu: {{en: "Round in {0}"}}'


def write(folder: Path, version: str) -> None:
    """Flows whose every screen names its version; the states between have other names in each."""
    flow = f"""
        flow: walk
        dial: ["{CODE}"]
        languages: [en]
        start: check
        data: {{word: {{type: name, max: 20}}}}
        states:
          check:
            action: subscription.check
            with: {{phone: session.phone}}
            outcomes:
              subscribed: begin
              pending_approval: begin
              existing_customer: begin
              new_customer: begin
              unavailable: away
              not_allowed: away
          begin:
            menu: {{en: "Begin in {version}"}}
            options:
              - {{text: {{en: On}}, goto: round_{version}}}
          round_{version}:
            {ROUND.format(version)}
            options:
              - {{text: {{en: On}}, goto: part_{version}}}
              - {{text: {{en: Again}}, goto: round_{version}}}
          part_{version}:
            call: part
            outcomes: {{done: ask_{version}}}
          ask_{version}:
            ask: {{en: "Word in {version}"}}
            save: word
            goto: end_{version}
          end_{version}:
            end: {{en: "End in {version}, {{word}}"}}
          away:
            end: {{en: Not now}}
    """
    part = f"""
        flow: part
        languages: [en]
        start: inside_{version}
        states:
          inside_{version}:
            menu: {{en: "Part of {version}"}}
            options:
              - {{text: {{en: On}}, goto: out}}
          out: {{end: {{en: Out}}, outcome: done}}
    """
    folder.mkdir(exist_ok=True)
    (folder / "walk.yaml").write_text(dedent(flow))
    (folder / "part.yaml").write_text(dedent(part))
    (folder / "sms.yaml").write_text(SMS)


@dataclass
class Bench:
    """A service, its folder of flows, and commands beside it."""

    service: Service
    folder: Path
    client: aiohttp.ClientSession
    dials: Counter[str] = field(default_factory=Counter)

    async def ussd(self, *arguments: str) -> tuple[int, str]:
        """Exit status, and what it said."""
        environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("USSD__")}
        environment |= {"USSD__DATA_DIR": str(self.service.data_dir), **self.service.settings}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ussd_engine", *arguments),
            env=environment,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    def phone(self, name: str) -> Phone:
        self.dials[name] += 1
        return Phone(self.service, "+254711000001", f"ATUid_{name}_{self.dials[name]}", self.client)

    async def dialled(self, version: str) -> bool:
        """Whether who dials now begins in this version."""
        return f"Begin in {version}" in await self.phone("probe").dial()

    async def until_dialled(self, version: str) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not await self.dialled(version):
                await asyncio.sleep(0.05)

    def hangup(self) -> None:
        assert self.service.process is not None
        self.service.process.send_signal(signal.SIGHUP)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A new connection for each request: any worker may take it."""
    connector = aiohttp.TCPConnector(force_close=True, limit=50)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=WITHIN_S), connector=connector
    ) as session:
        yield session


@pytest.fixture(params=KINDS)
async def two_workers(
    request: pytest.FixtureRequest, tmp_path: Path, client: aiohttp.ClientSession
) -> AsyncIterator[Bench]:
    urls = urls_of(request.param, tmp_path, request)
    databases = {"USSD__DATABASE__URL": urls.platform, "USSD__WORKFLOWS__URL": urls.workflows}
    settings = databases if request.param == "postgresql" else {}
    async with started(tmp_path, client, settings, "--workers", "2") as bench:
        yield bench


@pytest.fixture
async def one_process(tmp_path: Path, client: aiohttp.ClientSession) -> AsyncIterator[Bench]:
    async with started(tmp_path, client, {}) as bench:
        yield bench


@asynccontextmanager
async def started(
    tmp_path: Path, client: aiohttp.ClientSession, settings: dict[str, str], *arguments: str
) -> AsyncIterator[Bench]:
    """When it has said its welcome, all workers serve."""
    folder = tmp_path / "flows"
    write(folder, "one")
    settings = {**settings, "USSD__FLOWS__DIR": str(folder)}
    service = Service(tmp_path / "var", settings, arguments=arguments)
    await service.start()
    try:
        await eventually(lambda: "The USSD service runs" in service.log())
        yield Bench(service, folder, client)
    finally:
        await service.stop()


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.05)


# --- under load


@dataclass
class Walker:
    """A subscriber who goes round until told to go on, and notes every screen."""

    phone: Phone
    screens: list[str] = field(default_factory=list)

    async def begin(self) -> None:
        self.screens.append(await self.phone.dial())

    async def walk(self, go_on: asyncio.Event) -> None:
        await self.press("1")
        while not go_on.is_set():
            await self.press("2")
            await asyncio.sleep(THINKS_S)
        for key in ("1", "1", "Jane"):
            await self.press(key)

    async def press(self, key: str) -> None:
        self.screens.append(await self.phone.press(key))

    def in_version(self, version: str) -> bool:
        """Whether every screen was of this version, from the first to the end, and none out of turn."""
        begin, *rounds, part, word, end = self.screens
        return (
            begin.startswith(f"CON Begin in {version}")
            and all(screen.startswith(f"CON Round in {version}") for screen in rounds)
            and part.startswith(f"CON Part of {version}")
            and word.startswith(f"CON Word in {version}")
            and end == f"END End in {version}, Jane"
        )


async def test_no_session_notices_that_the_flows_change(two_workers: Bench) -> None:
    """Several hundred walk on across two publications and a rollback, each in what it began in, to its end."""
    bench, go_on = two_workers, asyncio.Event()
    write(bench.folder, "two")
    first = [Walker(bench.phone("first")) for _ in range(SESSIONS)]
    await asyncio.gather(*(walker.begin() for walker in first))
    under_way = [asyncio.create_task(walker.walk(go_on)) for walker in first]
    status, said = await bench.ussd("publish", "--note", "two")
    assert status == 0, said
    second = [Walker(bench.phone("second")) for _ in range(SESSIONS // 3)]
    await asyncio.gather(*(walker.begin() for walker in second))
    under_way += [asyncio.create_task(walker.walk(go_on)) for walker in second]
    write(bench.folder, "three")
    assert (await bench.ussd("publish"))[0] == 0
    third = [Walker(bench.phone("third")) for _ in range(SESSIONS // 3)]
    await asyncio.gather(*(walker.begin() for walker in third))
    under_way += [asyncio.create_task(walker.walk(go_on)) for walker in third]
    assert (await bench.ussd("rollback"))[0] == 0
    assert await bench.dialled("two")
    go_on.set()
    await asyncio.gather(*under_way)
    for walkers, version in ((first, "one"), (second, "two"), (third, "three")):
        strayed = [walker.screens for walker in walkers if not walker.in_version(version)]
        assert strayed == []
    assert '"event": "callback_failed"' not in bench.service.log()


async def test_a_worker_that_is_started_again_knows_the_old_revision(two_workers: Bench) -> None:
    """Its program comes from the database: the folder holds something else by then, and something broken."""
    bench = two_workers
    handset = bench.phone("old")
    await handset.dial()
    assert "Round in one" in await handset.press("1")
    write(bench.folder, "two")
    assert (await bench.ussd("publish"))[0] == 0
    (bench.folder / "walk.yaml").write_text("flow: walk\n")
    children = _children(bench)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    await eventually(lambda: bench.service.log().count('"event": "worker_started"') == 4)
    assert "Part of one" in await handset.press("1")
    assert "Word in one" in await handset.press("1")
    assert await bench.dialled("two")


def _children(bench: Bench, named: str = "spawn_main") -> list[int]:
    """By default the workers, in the order in which they were started."""
    process = bench.service.process
    assert process is not None
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in pids if named in Path(f"/proc/{pid}/cmdline").read_text()]


def _redis(bench: Bench) -> int:
    (pid,) = _children(bench, "redis-server")
    return pid


# --- signals, saved files, commands


async def test_sighup_publishes_the_folder_for_all_workers(two_workers: Bench) -> None:
    """A broken one is told, and changes nothing; a good one is what new sessions begin on."""
    bench = two_workers
    (bench.folder / "part.yaml").write_text("flow: part\nlanguages: [en]\nstart: nowhere\nstates: {}\n")
    bench.hangup()
    await eventually(lambda: "The flows stay at revision" in bench.service.log())
    assert "part.yaml:4:9: error F103" in bench.service.log()
    assert await bench.dialled("one")
    write(bench.folder, "two")
    bench.hangup()
    await eventually(lambda: "The flows are at revision" in bench.service.log())
    for _ in range(10):  # whichever worker it comes to
        assert await bench.dialled("two")
    assert "worker_died" not in bench.service.log()


async def test_sighup_to_a_service_of_one_process(one_process: Bench) -> None:
    """The same; when the folder holds what is served already, that is said."""
    bench = one_process
    write(bench.folder, "two")
    bench.hangup()
    await bench.until_dialled("two")
    bench.hangup()
    await eventually(lambda: "which is served already" in bench.service.log())
    _, listed = await bench.ussd("revisions")
    assert [line.split()[-4:-2] for line in listed.splitlines()[1:]] == [
        ["published", "service"],
        ["folder", "service"],
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_is_saved_is_served(tmp_path: Path, client: aiohttp.ClientSession, workers: str) -> None:
    """With --reload, from the next dial on; what is broken is told, and the good one goes on."""
    async with started(tmp_path, client, {}, "--reload", "--workers", workers) as bench:
        old = bench.phone("old")
        await old.dial()
        write(bench.folder, "two")
        await bench.until_dialled("two")
        (bench.folder / "part.yaml").write_text("flow: [\n")
        await eventually(lambda: "The flows stay at revision" in bench.service.log())
        assert await bench.dialled("two")
        write(bench.folder, "three")
        await bench.until_dialled("three")
        assert "Round in one" in await old.press("1")


async def test_a_file_that_is_repaired_gets_a_word(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    """Whoever was told that the flows stay is told that the folder holds what is served."""
    async with started(tmp_path, client, {}, "--reload") as bench:
        (bench.folder / "part.yaml").write_text("flow: [\n")
        await eventually(lambda: "The flows stay at revision" in bench.service.log())
        write(bench.folder, "one")
        await eventually(lambda: "which is served already" in bench.service.log())
        assert "The flows are at revision" not in bench.service.log()


async def test_a_death_publishes_nothing(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    """What was rolled back stays so, whatever the folder holds: only what is saved there is published."""
    async with started(tmp_path, client, {}, "--reload", "--workers", "2") as bench:
        write(bench.folder, "two")
        await bench.until_dialled("two")
        assert (await bench.ussd("rollback"))[0] == 0
        for pid in _children(bench):
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: bench.service.log().count('"event": "worker_started"') == 4)
        await asyncio.sleep(8 * POLL_S)  # for whoever might look at the folder
        assert await bench.dialled("one")
        write(bench.folder, "three")
        await bench.until_dialled("three")
        _, listed = await bench.ussd("revisions")
        made = [line.split()[-4] for line in listed.splitlines()[1:]]
        assert made == ["folder", "rolled_back", "folder", "folder"]


async def test_what_is_saved_while_no_worker_lives_is_served(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    """As soon as one lives again."""
    async with started(tmp_path, client, {}, "--reload", "--workers", "2") as bench:
        for pid in _children(bench):
            os.kill(pid, signal.SIGKILL)
        write(bench.folder, "two")
        await eventually(lambda: bench.service.log().count('"event": "worker_started"') == 4)
        await bench.until_dialled("two")


async def test_a_mounted_config_map_is_swapped(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    """Its files are links that stay as they are; what changes is a hidden link on their way."""
    async with started(tmp_path, client, {}, "--reload") as bench:
        folder = bench.folder
        for version in ("one", "two"):
            write(folder / f"..{version}", version)
        (folder / "..data").symlink_to("..one")
        for name in ("walk.yaml", "part.yaml", "sms.yaml"):
            (folder / name).unlink()
            (folder / name).symlink_to(f"..data/{name}")
        await eventually(lambda: "which is served already" in bench.service.log())
        (folder / "..data_tmp").symlink_to("..two")
        (folder / "..data_tmp").rename(folder / "..data")
        await bench.until_dialled("two")


async def test_what_is_saved_while_the_database_is_away_is_served_later(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    """Nobody has to save it once more; until then it is told that it is not published."""
    async with started(tmp_path, client, {}, "--reload") as bench:
        other = sqlite3.connect(bench.service.data_dir / "platform.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        write(bench.folder, "two")
        await eventually(lambda: '"event": "flows_not_published"' in bench.service.log())
        other.close()
        await bench.until_dialled("two")
        assert "The folder is not published yet: the platform's database" in bench.service.log()


async def test_sighup_outlives_the_worker_that_was_asked(two_workers: Bench) -> None:
    """It dies before it has published, and another one does it."""
    bench = two_workers
    write(bench.folder, "two")
    first = _children(bench)[0]
    with standing_still(first):
        bench.hangup()
        await asyncio.sleep(0.5)  # until it was asked
        os.kill(first, signal.SIGKILL)
        await bench.until_dialled("two")


async def test_a_folder_that_workers_die_of_does_not_take_them_all(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    """After two of them it is left as it is, and that is said; the service goes on."""
    async with started(tmp_path, client, {}, "--workers", "3") as bench:
        first, second, third = _children(bench)
        with standing_still(first), standing_still(second):
            bench.hangup()
            for pid in (first, second):
                await asyncio.sleep(0.5)
                os.kill(pid, signal.SIGKILL)
            await eventually(lambda: "2 workers died over the folder of flows" in bench.service.log())
        assert third in _children(bench)
        assert await bench.dialled("one")


async def test_a_broken_folder_keeps_no_service_from_its_start(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    """It serves what is current, as before it was ended, and tells what is wrong. With nothing to serve it ends."""
    async with started(tmp_path, client, {}) as bench:
        service = bench.service
        await service.stop()
        (bench.folder / "part.yaml").write_text("flow: [\n")
        for arguments in ((), ("--reload",), ("--workers", "2")):
            service.arguments = arguments
            before = len(service.log())
            await service.start()
            assert await bench.dialled("one")
            said = service.log()[before:]
            assert "part.yaml:2:1: error F001" in said
            assert "The flows stay at revision" in said
            assert '"event": "flows_not_published"' in said
            await service.stop()
        empty = Service(tmp_path / "empty" / "var", service.settings)
        empty.data_dir.parent.mkdir()
        with pytest.raises(AssertionError, match=r"part.yaml:2:1: error F001"):
            await empty.start()
        assert await empty.stop() == 2


async def test_a_published_revision_outlives_a_restart(one_process: Bench) -> None:
    """And so does a rollback: from the first publication on, no folder is taken up by itself."""
    bench, service = one_process, one_process.service
    write(bench.folder, "two")
    await service.stop()
    await service.start()
    assert await bench.dialled("two"), "while nobody has published, a service serves its folder"
    write(bench.folder, "three")
    assert (await bench.ussd("publish"))[0] == 0
    assert (await bench.ussd("rollback"))[0] == 0
    await service.stop()
    (bench.folder / "walk.yaml").write_text("broken: [")
    await service.start()
    assert await bench.dialled("two")
    assert "published by console:" in service.log()


async def test_a_dry_run_counts_and_changes_nothing(one_process: Bench) -> None:
    """It names the states that go, and how many sessions stand there."""
    bench = one_process
    for number in range(7):
        handset = bench.phone(f"walker-{number}")
        await handset.dial()
        if number < 3:
            await handset.press("1")
    write(bench.folder, "two")
    status, said = await bench.ussd("publish", "--dry-run")
    assert status == 0
    assert "Live sessions: 7; in states that this revision does not have: 3." in said
    assert "walk.round_one  3" in said
    for line in ("+ round_two", "- round_one", "~ begin", "flow part"):
        assert line in said
    assert await bench.dialled("one")
    assert len((await bench.ussd("revisions"))[1].splitlines()) == 2


async def test_the_sms_texts_change_with_the_flows(one_process: Bench) -> None:
    """From the next message on."""
    bench, number = one_process, "+254711000003"
    (bench.folder / "sms.yaml").write_text(SMS.replace("{account_number}", "numbered {account_number}"))
    assert (await bench.ussd("publish"))[0] == 0
    assert await bench.dialled("one")
    body = {"first_name": "Jane", "last_name": "Sample", "date_of_birth": "1990-01-01"}
    async with bench.client.post(
        f"{bench.service.url}/api/v1/ussd/account/register",
        json={"phone_number": number, **body},
        headers={"Authorization": f"Bearer {KEY}"},
    ) as answer:
        assert answer.status == 201
    await eventually(lambda: bench.service.sms(number))
    assert "numbered" in bench.service.sms(number)[0]


async def test_a_broken_folder_is_not_published(one_process: Bench) -> None:
    """Its findings are printed, and nothing changes."""
    bench = one_process
    text = (bench.folder / "walk.yaml").read_text()
    (bench.folder / "walk.yaml").write_text(text.replace("goto: end_one", "goto: end_on"))
    status, said = await bench.ussd("publish")
    assert status == 1
    assert "error F201" in said
    assert "did you mean 'end_one'?" in said
    assert await bench.dialled("one")
    (bench.folder / "walk.yaml").unlink()
    (bench.folder / "part.yaml").unlink()
    assert (await bench.ussd("publish"))[0] == 2
    assert (await bench.ussd("publish", str(bench.folder / "nowhere")))[0] == 2
    assert len((await bench.ussd("revisions"))[1].splitlines()) == 2


async def test_a_command_says_its_words_and_nothing_else(one_process: Bench) -> None:
    """No line of a log stands among them: that is JSON, or begins with the time."""
    bench = one_process
    write(bench.folder, "two")
    for arguments in (("publish", "--dry-run"), ("publish",), ("rollback",)):
        status, said = await bench.ussd(*arguments)
        assert status == 0, said
        assert not [line for line in said.splitlines() if line.startswith(("{", "20"))], said


async def test_a_redis_that_hangs_holds_no_command_up(one_process: Bench) -> None:
    """The revision is current, and the command says whom it could not tell or count."""
    bench = one_process
    bench.service.settings["USSD__REDIS__TIMEOUT_S"] = "0.5"
    write(bench.folder, "two")
    with standing_still(_redis(bench)):
        async with asyncio.timeout(WITHIN_S):
            status, said = await bench.ussd("publish", "--dry-run")
            assert (status, "Live sessions were not counted: Redis at" in said) == (0, True), said
            status, said = await bench.ussd("publish")
            assert (status, "Redis does not answer: a service that runs looks by itself" in said) == (0, True)
            status, said = await bench.ussd("rollback")
            assert (status, "is current again. Redis does not answer" in said) == (0, True), said
    _, listed = await bench.ussd("revisions")
    assert [line.split()[-4] for line in listed.splitlines()[1:]] == ["rolled_back", "published", "folder"]


async def test_a_terminal_that_is_closed_ends_the_service(tmp_path: Path) -> None:
    """It sends SIGHUP too, and nobody asks for flows then: a service that went on would keep its port unseen."""
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("USSD__")}
    environment |= {"USSD__DATA_DIR": str(tmp_path / "var"), "USSD__SERVER__PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ussd_engine", "serve"),
        env=environment,
        cwd=ROOT,
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    assert process.stdout
    async with asyncio.timeout(WITHIN_S):
        assert b"The USSD service runs" in await process.stdout.readline()
        os.close(ours)
        assert await process.wait() == 0
