"""A database belongs to one key ring."""

from __future__ import annotations

import pytest

from ussd_engine.errors import SettingsError
from ussd_engine.platform.migrate import migrate
from ussd_engine.sealing import KeyRing


async def test_a_database_is_refused_under_another_key_ring(empty_url: str) -> None:
    """With a lost key file nothing sealed would open: the service says so instead of starting anew."""
    first = KeyRing.of(b"1" * 32, {"k1": b"2" * 32})
    rotated = KeyRing.of(b"1" * 32, {"k2": b"3" * 32, "k1": b"2" * 32})
    other = KeyRing.of(b"9" * 32, {"k1": b"2" * 32})
    await migrate(empty_url, first)
    await migrate(empty_url, rotated)
    with pytest.raises(SettingsError, match="another key ring"):
        await migrate(empty_url, other)
