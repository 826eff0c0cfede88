"""Runs both servers, loads them in turn, and compares them.

The machine is shared and noisy, so short rounds alternate between the two and medians are taken. Fails when the
engine answers fewer callbacks per second than the agreed share of what the bare handler answers.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
MIN_RATIO = 0.3
"""The engine's share of the bare handler's callbacks per second, at the least."""
MIN_OPENINGS = 0.6
"""The rate of account openings, as a share of the rate of three empty DBOS steps on the same database."""
OPENINGS_WITHIN_S = 300.0
CHECKS = 3
CHECK_WITHIN_S, CHECK_WITHIN_MB = 10.0, 500
"""Of `ussd check` on 200 flows of 50 states in three languages, with its proof: time on the wall, and memory."""
LOOK_EVERY_S = 0.1
MAX_STEP_RATIO = 1.1
"""Of a step in a flow of 5,000 states to one in a flow of 10."""
ROUNDS = 5
FLOWS_WITHIN_S = 120.0
CONNECTIONS = 32
WARM_UP_S = 0.7
SECONDS = 3.0
ROUND_WITHIN_S = 60.0
START_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int
    redis_pid: int | None
    last: str
    """The first word of the answer to the last input: the bare handler knows no end."""


@dataclass(frozen=True, slots=True)
class Round:
    per_second: float
    cpu_us: float
    redis_cpu_us: float
    in_use: float
    client_in_use: float


@contextmanager
def _process(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, cwd=ROOT, **options
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(START_WITHIN_S)


@contextmanager
def _bare() -> Iterator[Server]:
    with _process(["-m", "tests.bench.bare"]) as process:
        assert process.stdout
        yield Server(int(process.stdout.readline()), process.pid, None, "CON")


@contextmanager
def _engine(folder: Path) -> Iterator[Server]:
    """As a newcomer runs it, on data of its own."""
    env = {name: value for name, value in os.environ.items() if not name.upper().startswith("USSD__")}
    env["USSD__DATA_DIR"] = str(folder)
    command = ["-m", "ussd_engine", "serve", "--config", "config.yaml", "--port", "0"]
    with (folder / "log").open("w") as log, _process(command, env=env, stderr=log) as process:
        assert process.stdout
        url = next((line.split()[-1] for line in process.stdout if "Callback URL" in line), None)
        if url is None:
            sys.exit("The engine does not start:\n" + (folder / "log").read_text())
        yield Server(int(url.split(":")[2].split("/")[0]), process.pid, _redis_of(process.pid), "END")


def _redis_of(parent: int) -> int:
    for pid, command in _children(parent):
        if "redis-server" in command:
            return pid
    sys.exit("The engine runs no redis-server of its own; nothing to compare")


def _children(parent: int) -> Iterator[tuple[int, str]]:
    """Each process that `parent` has started, with its command."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            before, _, after = stat.read_text().rpartition(")")
        except OSError:
            continue  # it has ended meanwhile
        if int(after.split()[1]) == parent:
            yield int(before.split()[0]), before.partition("(")[2]


def _round(server: Server) -> Round:
    watch = [server.pid, *([server.redis_pid] if server.redis_pid else [])]
    command = [sys.executable, "-m", "tests.bench.load", str(server.port), "--last", server.last]
    command += ["--connections", str(CONNECTIONS), "--warm-up", str(WARM_UP_S), "--seconds", str(SECONDS)]
    command += ["--watch", *map(str, watch)]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=ROUND_WITHIN_S, check=False
    )
    if run.returncode:
        sys.exit(run.stderr)
    found = json.loads(run.stdout)
    if found["wrong"] or not found["callbacks"]:
        sys.exit(f"{found['wrong']} wrong answers of {found['callbacks']}: no comparison\n{run.stderr}")
    cpu = {int(pid): used for pid, used in found["cpu_s"].items()}
    each_us = 1e6 / found["callbacks"]
    return Round(
        per_second=found["callbacks"] / found["seconds"],
        cpu_us=cpu[server.pid] * each_us,
        redis_cpu_us=cpu[server.redis_pid] * each_us if server.redis_pid else 0.0,
        in_use=cpu[server.pid] / found["seconds"],
        client_in_use=found["client_cpu_s"] / found["seconds"],
    )


def _row(name: str, rounds: list[Round]) -> list[str]:
    def middle(what: str) -> float:
        return float(median(getattr(each, what) for each in rounds))

    redis = middle("redis_cpu_us")
    return [
        name,
        f"{middle('per_second'):,.0f}",
        f"{middle('cpu_us'):.0f}",
        f"{redis:.0f}" if redis else "-",
        f"{middle('in_use'):.0%}",
        f"{middle('client_in_use'):.0%}",
    ]


def main() -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ussd-bench-")))
        bare, engine = stack.enter_context(_bare()), stack.enter_context(_engine(folder))
        pairs = [(_round(bare), _round(engine)) for _ in range(ROUNDS)]
    speed = median(mine.per_second / theirs.per_second for theirs, mine in pairs)
    cpu = median(mine.cpu_us / theirs.cpu_us for theirs, mine in pairs)
    table = Table(title=f"Medians of {ROUNDS} rounds of {SECONDS:g} s, {CONNECTIONS} connections")
    for heading in ("", "callbacks/s", "CPU us", "Redis us", "CPU in use", "client"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row(*_row("bare aiohttp", [theirs for theirs, _ in pairs]))
    table.add_row(*_row("this engine", [mine for _, mine in pairs]))
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "us: CPU of each callback; in use: of one core, by the server and by the client that loads it"
    )
    console.print(f"callbacks per second, engine to bare: {speed:.2f} (at least {MIN_RATIO})")
    console.print(f"server CPU per callback, engine to bare: {cpu:.2f}")
    held = [speed >= MIN_RATIO, _checking(console), _steps(console), _openings(console)]
    return 0 if all(held) else 1


def _checking(console: Console) -> bool:
    """The command as an author runs it; and how much less a worker does with flows that were proven when published."""
    with tempfile.TemporaryDirectory(prefix="ussd-bench-") as folder:
        _flows("write", folder)
        runs = [_checked(folder) for _ in range(CHECKS)]
        cpu = _flows("load", folder)
    times = [seconds for seconds, _ in runs]
    took, memory = median(times), max(megabytes for _, megabytes in runs)
    console.print(
        f"ussd check, 200 flows of 50 states in 3 languages: {took:.1f} s (below {CHECK_WITHIN_S:g}; {CHECKS} runs"
        f" took {min(times):.1f} to {max(times):.1f} s), {memory:.0f} MB (below {CHECK_WITHIN_MB})"
    )
    console.print(
        f"CPU of a worker that loads them from the database, to the check: {cpu['load_s'] / cpu['check_s']:.2f}"
    )
    return took < CHECK_WITHIN_S and memory < CHECK_WITHIN_MB


def _checked(folder: str) -> tuple[float, float]:
    """Seconds on the wall of one run of the command, and the most megabytes that its processes hold together.

    What they share is counted once. It is looked at ten times a second, so a shorter peak may not be seen.
    """
    most = 0.0
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "ussd_engine", "check", folder], cwd=ROOT) as check:
        while check.poll() is None:
            most = max(most, _held(check.pid) + sum(_held(pid) for pid, _ in _children(check.pid)))
            with suppress(subprocess.TimeoutExpired):
                check.wait(LOOK_EVERY_S)
        took = time.perf_counter() - began
    if check.returncode:
        sys.exit("The flows of the bench do not pass 'ussd check'")
    return took, most


def _held(pid: int) -> float:
    """Megabytes of memory, the proportional set size; 0 for a process that has ended."""
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def _steps(console: Console) -> bool:
    rounds = _flows("steps")
    ratio: float = median(
        large / small for small, large in zip(rounds["small"], rounds["large"], strict=True)
    )
    console.print(f"a step in a flow of 5,000 states to one of 10: {ratio:.2f} (at most {MAX_STEP_RATIO})")
    return ratio <= MAX_STEP_RATIO


def _flows(*what: str) -> Any:
    return _measured("tests.bench.flows", *what, within_s=FLOWS_WITHIN_S)


def _measured(module: str, *arguments: str, within_s: float) -> Any:
    """What a module that measures in a process of its own prints last."""
    run = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    if run.returncode:
        sys.exit(run.stderr[-3000:])
    return json.loads(run.stdout.splitlines()[-1])


def _openings(console: Console) -> bool:
    """Account opening on both databases; whether each is at least as fast as agreed."""
    table = Table(title="Account opening on the sandbox bank, one worker, medians of its rounds")
    for heading in ("", "openings/s", "three empty DBOS steps/s", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    enough = True
    for kind in ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory(prefix="ussd-bench-") as folder:
            found = _measured("tests.bench.openings", kind, folder, within_s=OPENINGS_WITHIN_S)
        ratio = median(a / b for a, b in zip(found["openings"], found["steps"], strict=True))
        enough &= ratio >= MIN_OPENINGS
        table.add_row(
            kind, f"{median(found['openings']):.0f}", f"{median(found['steps']):.0f}", f"{ratio:.2f}"
        )
    console.print(table)
    console.print(f"openings to three empty steps: at least {MIN_OPENINGS}")
    return enough


if __name__ == "__main__":
    sys.exit(main())
