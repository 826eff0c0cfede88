"""Become another program, which ends with its parent: `python launch.py PARENT_PID PROGRAM ARG...`.

Linux only. The kernel sends the signal when the thread that started this process ends, however it ends
(prctl(2), PR_SET_PDEATHSIG; the setting survives exec). It is set here, in a process of its own, because code
between fork and exec of a process with threads can deadlock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent_pid: int, command: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent_pid:
        sys.exit("the parent ended before its end could be watched")
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted, and the parent chose the program


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
