"""The `ussd` command, run in this process: for rules of what it does and says, and not of processes."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest

from ussd_engine.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[1]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Without the settings of whoever runs the tests; `server__port="0"` is USSD__SERVER__PORT=0.

    `CI` and `BUILD_NUMBER` are settings of pytest, which then words its summary in more lines.
    """
    own = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CI", "BUILD_NUMBER") and not name.upper().startswith("USSD__")
    }
    return own | {"COLUMNS": "80"} | {f"USSD__{name.upper()}": value for name, value in settings.items()}


def ussd(*arguments: str, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """The command as it is typed in the folder of the project, with a pipe for a keyboard and a terminal."""
    return run_here(main, ["ussd", *arguments], ROOT, environment(settings), typed)


def run_here(
    program: Callable[[], object],
    arguments: list[str],
    folder: Path,
    variables: Mapping[str, str],
    typed: str = "",
) -> subprocess.CompletedProcess[str]:
    """What a process would give back. What a program changes of its process is changed back."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        _process_as_it_was(variables),
        chdir(folder),
        _pipe(typed) as keyboard,
        pytest.MonkeyPatch.context() as patched,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        patched.setattr(sys, "argv", arguments)
        patched.setattr(sys, "stdin", keyboard)
        try:
            program()
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def _pipe(typed: str) -> TextIO:
    """What comes out of it; a script is short enough to wait in it."""
    out, into = os.pipe()
    os.write(into, typed.encode())
    os.close(into)
    return os.fdopen(out, encoding="utf-8")


@contextmanager
def _process_as_it_was(variables: Mapping[str, str]) -> Iterator[None]:
    before, collects, mask = dict(os.environ), gc.isenabled(), os.umask(0)
    os.umask(mask)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        os.umask(mask)
        if collects:
            gc.enable()
