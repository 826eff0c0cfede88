"""Work on many independent things, in several processes where that is faster.

Plain forks, with a pipe each: a ProcessPoolExecutor hangs, or leaves processes, when Ctrl-C meets its start.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

A = TypeVar("A")
B = TypeVar("B")

FEWEST = 20
"""Things that make up for starting processes."""
MOST = 4
"""Processes: what each makes is memory of its own."""


def spread(work: Callable[[A], B], things: Iterable[A]) -> Iterator[B]:
    """As `map`. The results must pickle; the work and the things need not.

    The other processes are forks of this one, which know all that it has read. Few things, and a process with
    threads, which cannot be forked safely, get a plain `map`.
    """
    given = list(things)
    count = min(_cpus(), MOST)
    if len(given) < FEWEST or threading.active_count() > 1:
        return map(work, given)
    first, *rest = (given[number::count] for number in range(count))
    with ExitStack() as stack:
        others = [stack.enter_context(_process(work, share)) for share in rest]
        done = [list(map(work, first)), *(results() for results in others)]
    return (done[number % count][number // count] for number in range(len(given)))


@contextmanager
def _process(work: Callable[[A], B], share: list[A]) -> Iterator[Callable[[], list[B]]]:
    """A process that works on `share`; what it gives waits for the results."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_send, args=(work, share, ours, theirs))

    def results() -> list[B]:
        try:
            done: list[B] = ours.recv()
        except (EOFError, OSError):  # it never began, was ended, or failed, which is to be told here
            done = list(map(work, share))
        return done

    try:
        with suppress(OSError), _no_interrupt():  # no room for another process
            process.start()
        theirs.close()
        yield results
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        ours.close()


def _send(work: Callable[[A], B], share: list[A], reader: Connection, results: Connection) -> None:
    reader.close()  # so that results for which nobody is left find a broken pipe, and not a full one
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process, and the first one speaks
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with suppress(Exception):  # the first process meets it as well
        results.send(list(map(work, share)))


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Ctrl-C waits, so that it meets either no other process or a whole one."""
    before: Any = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cpus() -> int:
    """That this process may use; 1 where a system does not say, as only Linux forks safely."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
