"""Rules of work in several processes. The work runs in a process of its own, as those of the tests have threads."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

WITHIN_S = 60
SAID = """
import os, signal, threading, time
import multiprocessing.connection, multiprocessing.popen_fork  # CPython may lose a Ctrl-C that meets an import
from ussd_engine import processes
processes._cpus = lambda: 2
FIRST = os.getpid()
MANY = range(processes.FEWEST * 4)
"""


def said_by(program: str) -> list[str]:
    """The lines that a program prints, and nothing of an error; its CPUs are two, whatever the machine has."""
    run = subprocess.run(
        [sys.executable, "-c", SAID + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


def test_work_is_done_by_two_and_comes_back_in_order() -> None:
    """Also what does not pickle, such as a function in a function, may do it."""
    said = said_by("""
        def work(number):
            return number, os.getpid()
        done = list(processes.spread(lambda number: work(number), MANY))
        print([number for number, _ in done] == list(MANY))
        print(len({pid for _, pid in done}))
    """)
    assert said == ["True", "2"]


@pytest.mark.parametrize(
    "why",
    [
        "MANY = range(processes.FEWEST - 1)",
        "processes._cpus = lambda: 1",
        "threading.Thread(target=time.sleep, args=(20,), daemon=True).start()",
    ],
    ids=["few-things", "one-cpu", "threads"],
)
def test_work_stays_here(why: str) -> None:
    """Where starting processes costs more than it gains, and where a fork could meet a lock that a thread holds."""
    said = said_by(why + "\nprint(set(processes.spread(lambda _: os.getpid(), MANY)) == {FIRST})")
    assert said == ["True"]


def test_work_of_a_process_that_was_ended_is_done_here() -> None:
    """As the system does when memory runs short."""
    said = said_by("""
        def work(number):
            if os.getpid() != FIRST:
                os.kill(os.getpid(), signal.SIGKILL)
            return number
        print(list(processes.spread(work, MANY)) == list(MANY))
    """)
    assert said == ["True"]


def test_error_of_the_work_is_raised_here() -> None:
    """Whichever process meets it."""
    said = said_by("""
        def work(number):
            return {number: 0 for number in MANY if number != 41}[number]
        try:
            list(processes.spread(work, MANY))
        except KeyError as error:
            print(repr(error))
    """)
    assert said == ["KeyError(41)"]


def test_processes_end_with_the_one_that_began_them() -> None:
    """However it ended, and however much they would still have to say: whoever holds the output is waited for."""
    said = said_by("""
        def work(number):
            if os.getpid() == FIRST:
                os._exit(0)
            return "x" * 100_000
        list(processes.spread(work, MANY))
    """)
    assert said == []


@pytest.mark.parametrize(
    ("after_ms", "whom"), [*((after_ms, "-FIRST") for after_ms in (1, 2, 4, 8, 400)), (400, "FIRST")]
)
def test_interrupt_ends_all_processes_quietly(after_ms: int, whom: str) -> None:
    """A terminal sends Ctrl-C to each of them, maybe while they begin, and others to the first one alone."""
    said = said_by(f"""
        os.setpgrp()
        signal.signal(signal.SIGALRM, lambda *_: os.kill({whom}, signal.SIGINT))
        try:
            signal.setitimer(signal.ITIMER_REAL, {after_ms / 1000})
            list(processes.spread(lambda _: time.sleep(0.1), range(2000)))
        except KeyboardInterrupt:
            print("interrupted")
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("none left")
    """)
    assert said == ["interrupted", "none left"]
