"""Fixtures that every test may ask for, and what every test leaves as it was."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.redis_fixtures", "tests.database_fixtures"]


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
