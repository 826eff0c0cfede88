"""The API key, and the headers that every answer carries."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import structlog

from ussd_engine.errors import SettingsError
from ussd_engine.owner_file import create_once

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = structlog.get_logger(__name__)

KEY_FILE = "api_key"
KEY_BYTES = 32
"""256 bits of randomness for a key that the engine makes."""
SHORT_KEY_CHARS = 16
"""A configured key below this can be guessed in time; it is taken, and said in the log."""
OTHERS_MAY_READ = 0o077

_KEY = re.compile(r"[!-~]+")

SECURITY_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",  # answers hold personal data
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "ussd-engine",  # the default names the versions of Python and of the server
    "X-Content-Type-Options": "nosniff",
}


def load_or_create_api_key(data_dir: Path, configured: str | None) -> tuple[str, Path | None]:
    """The key of the JSON routes, and the file that it is in when the engine made it itself.

    The file is made once, readable by its owner alone. Raises SettingsError when it is readable by others or
    holds no key.
    """
    if configured is not None:
        if len(configured) < SHORT_KEY_CHARS:
            log.warning("api_key_short", at_least=SHORT_KEY_CHARS)
        return configured, None
    path = data_dir / KEY_FILE
    if not path.exists():
        create_once(path, f"{secrets.token_urlsafe(KEY_BYTES)}\n")
    if path.stat().st_mode & OTHERS_MAY_READ:
        raise SettingsError(f"{path} can be read by others; run: chmod 600 {path}")
    key = path.read_text(errors="replace").strip()
    if not _KEY.fullmatch(key):
        raise SettingsError(f"{path} holds no key; delete it and a new one is made")
    return key, path
