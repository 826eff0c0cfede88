"""Work on many independent things, in several processes where that is faster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")

FEWEST = 20
"""Things that make up for starting processes."""
MOST = 4
"""Processes: what each makes is memory of its own."""
PORTIONS = 8
"""Of each process, so that one that is done early takes over what no other has begun."""

_work: Callable[[Any], Any]
"""In a process that `spread` has made."""


def spread(work: Callable[[A], B], things: Iterable[A]) -> Iterator[B]:
    """As `map`. The things and the results must pickle; `work` need not.

    The processes are forks of this one, which know all that it has read. Few things, one CPU, a system other than
    Linux, and a process with threads, which cannot be forked safely, get a plain `map`.
    """
    given = list(things)
    processes = min(_cpus(), MOST)
    if len(given) >= FEWEST and processes > 1 and threading.active_count() == 1:
        try:
            return iter(_in_processes(work, given, processes))
        except (OSError, BrokenProcessPool):
            pass  # the system has no room for them, or has ended one
    return map(work, given)


def _in_processes(work: Callable[[A], B], given: list[A], processes: int) -> list[B]:
    fork = multiprocessing.get_context("fork")  # it hands `work` over as it is
    with ProcessPoolExecutor(processes, fork, _begin, (work,)) as pool:
        try:
            return list(pool.map(_do, given, chunksize=max(1, len(given) // (processes * PORTIONS))))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise


def _begin(work: Callable[[Any], Any]) -> None:
    global _work  # noqa: PLW0603 - a pool has no other place for what all its tasks need
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches them all, and the first one speaks


def _do(thing: Any) -> Any:
    return _work(thing)


def _cpus() -> int:
    """That this process may use; 1 where a system does not say, as only Linux forks safely."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
