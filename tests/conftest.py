"""Fixtures that every test may ask for, and what every test leaves as it was."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.redis_fixtures", "tests.database_fixtures"]

MEMORY = Path("/dev/shm")
ENOUGH = 4 << 30
"""Bytes. A run writes some hundreds of megabytes."""


def pytest_configure() -> None:
    """Files of tests are kept in memory where there is room: thousands of small databases are slow on a disk.

    A process that is killed leaves them as they are on a disk. Whoever sets TMPDIR has it their way.
    """
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # what was found before it was set


@pytest.fixture(autouse=True)
def _logs_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that is run in process sets the logs up; the next test begins with those of a fresh process.

    No logger is cached meanwhile: a cached one keeps what it was set up with for good.
    """
    configure, before, root = structlog.configure, structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level

    def without_cache(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", without_cache)
    yield
    configure(**before)
    root.handlers = handlers
    root.setLevel(level)
