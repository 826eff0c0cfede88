"""The API key, and the headers that every answer carries."""

from __future__ import annotations

import hmac
import os
import re
import secrets
from typing import TYPE_CHECKING

import structlog

from ussd_engine.errors import SettingsError

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
_BEARER = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)

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
        _create(path, secrets.token_urlsafe(KEY_BYTES))
    if path.stat().st_mode & OTHERS_MAY_READ:
        raise SettingsError(f"{path} can be read by others; run: chmod 600 {path}")
    key = path.read_text().strip()
    if not _KEY.fullmatch(key):
        raise SettingsError(f"{path} holds no key; delete it and a new one is made")
    return key, path


def _create(path: Path, key: str) -> None:
    """Write the whole key or nothing; when another process was first, its key is the key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def authorised(header: str, key: str) -> bool:
    """Whether an Authorization header (RFC 6750) holds the key; compared in constant time."""
    given = _BEARER.fullmatch(header)
    return given is not None and hmac.compare_digest(given[1].encode(), key.encode())
