"""Sealing of personal data at rest, and keyed digests that stand for it.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce and a key ring: the first key seals, every key opens, so
a key is rotated by putting a new one in front and dropping the last one when nothing sealed under it is left.
A digest is keyed BLAKE2b (RFC 7693) under a key of its own that does not rotate: it is an identity over time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ussd_engine.errors import SettingsError, UssdError
from ussd_engine.owner_file import create_once

KEY_BYTES = 32
NONCE_BYTES = 12
_KEY_ID = re.compile(r"[a-z0-9-]{1,16}")


class SealBroken(UssdError):
    """Sealed data that no key of the ring opens: another key, another context, or tampering."""

    code = "seal_broken"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """`sealing` maps key id to key, newest first; `identity` is the key of digests."""

    identity: bytes = field(repr=False)
    sealing: Mapping[str, AESGCM] = field(repr=False)

    @classmethod
    def of(cls, identity: bytes, sealing: Mapping[str, bytes]) -> KeyRing:
        for name, key in {"identity": identity, **sealing}.items():
            if len(key) != KEY_BYTES:
                raise ValueError(f"key '{name}' must be {KEY_BYTES} bytes")
            if not _KEY_ID.fullmatch(name):
                raise ValueError(f"key id '{name}' must be 1 to 16 of a-z, 0-9 and '-'")
        if not sealing:
            raise ValueError("at least one sealing key is needed")
        return cls(identity, {name: AESGCM(key) for name, key in sealing.items()})

    def seal(self, plain: bytes, context: str) -> str:
        """Sealed text `id.base64`. Opens only with the same `context` (where it is stored), so it cannot be moved."""
        key_id, key = next(iter(self.sealing.items()))
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + key.encrypt(nonce, plain, context.encode())
        return f"{key_id}.{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, context: str) -> bytes:
        key_id, _, body = sealed.partition(".")
        key = self.sealing.get(key_id)
        if key is None:
            raise SealBroken(f"sealed under key '{key_id[:16]}', which is not in the key ring")
        try:
            raw = base64.b64decode(body, validate=True)
            return key.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode())
        except (ValueError, InvalidTag) as error:
            raise SealBroken("sealed data does not open: it was changed or moved") from error

    def digest(self, *parts: str) -> str:
        """32 hex digits that stand for `parts` and cannot be guessed back without the identity key."""
        joined = "".join([f"{len(part)}:{part}" for part in parts]).encode()
        return hashlib.blake2b(joined, digest_size=16, key=self.identity).hexdigest()


def load_or_create(path: Path) -> KeyRing:
    """The key ring of `path`, made on first use, readable by its owner alone.

    The file is JSON: `{"identity": base64, "sealing": [{"id": "k1", "key": base64}, ...]}`, newest key first.
    Raises SettingsError when it is not.
    """
    if not path.exists():
        fresh = {
            "identity": base64.b64encode(os.urandom(KEY_BYTES)).decode(),
            "sealing": [{"id": "k1", "key": base64.b64encode(os.urandom(KEY_BYTES)).decode()}],
        }
        create_once(path, json.dumps(fresh))
    try:
        raw = json.loads(path.read_text())
        sealing = {entry["id"]: base64.b64decode(entry["key"]) for entry in raw["sealing"]}
        return KeyRing.of(base64.b64decode(raw["identity"]), sealing)
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: not a key file: {error}; put the right one back") from error
