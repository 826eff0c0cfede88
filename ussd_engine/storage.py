"""What the engine keeps for itself, as the settings say: its folder, its key ring, the platform's database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ussd_engine.errors import SettingsError
from ussd_engine.platform.database import Database
from ussd_engine.platform.migrate import migrate
from ussd_engine.sealing import KeyRing, load_or_create
from ussd_engine.settings_model import EMBEDDED, Settings


def prepare(settings: Settings) -> KeyRing:
    """Make data_dir and the key ring when they are not there yet. Raises SettingsError."""
    data_dir = settings.data_dir
    if set("?%") & set(str(data_dir)):
        raise SettingsError(f"data_dir: {data_dir} holds '?' or '%', which an address cannot; choose another")
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return load_or_create(settings.key_file)


@asynccontextmanager
async def open_database(settings: Settings, keys: KeyRing) -> AsyncIterator[Database]:
    """The platform's database, brought up to date first."""
    url = settings.database.url.get_secret_value()
    if url == EMBEDDED:
        url = f"sqlite+aiosqlite:///{settings.data_dir / 'platform.sqlite'}"
    await migrate(url, keys)
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()
