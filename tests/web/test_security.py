"""The API key of a machine: made once, kept to its owner."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import structlog

from ussd_engine.errors import SettingsError
from ussd_engine.web.security import load_or_create_api_key

if TYPE_CHECKING:
    from pathlib import Path


def test_a_configured_key_is_taken(tmp_path: Path) -> None:
    """A key that the operator set is the key, and no other is made."""
    assert load_or_create_api_key(tmp_path, "k" * 32) == ("k" * 32, None)
    assert list(tmp_path.iterdir()) == []


def test_a_short_key_is_said_in_the_log(tmp_path: Path) -> None:
    """A key that can be guessed works, and the operator hears of it."""
    with structlog.testing.capture_logs() as logs:
        assert load_or_create_api_key(tmp_path, "sesame") == ("sesame", None)
    assert [entry["event"] for entry in logs] == ["api_key_short"]
    assert "sesame" not in repr(logs)


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """The next start finds the key of the first; its file is for the owner alone."""
    key, path = load_or_create_api_key(tmp_path / "var", None)
    assert path == tmp_path / "var" / "api_key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(key) >= 43
    assert load_or_create_api_key(tmp_path / "var", None) == (key, path)
    assert [file.name for file in path.parent.iterdir()] == ["api_key"]


def test_processes_that_start_together_have_one_key(tmp_path: Path) -> None:
    """Whoever is first makes the key for all."""
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_or_create_api_key(tmp_path, None)[0], range(16)))
    assert len(keys) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["api_key"]


@pytest.mark.parametrize(
    ("mode", "text", "message"), [(0o644, "key\n", "chmod 600"), (0o600, "\n", "holds no key")]
)
def test_a_key_file_that_is_unsafe_is_refused(tmp_path: Path, mode: int, text: str, message: str) -> None:
    """A key that others can read, or that is empty, protects nothing; the message says what to do."""
    path = tmp_path / "api_key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(SettingsError, match=message):
        load_or_create_api_key(tmp_path, None)
