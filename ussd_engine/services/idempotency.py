"""Idempotency keys of the API: the same key and body of a caller always name the same workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ussd_engine.errors import IdempotencyKeyReused
from ussd_engine.platform import keys_used

if TYPE_CHECKING:
    from ussd_engine.platform.database import Database
    from ussd_engine.ports import Clock
    from ussd_engine.sealing import KeyRing


class IdempotencyKeys:
    """Only keyed digests are stored: neither the key nor the body can be read back from the database."""

    def __init__(self, database: Database, keys: KeyRing, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    async def workflow_id(self, caller: str, route: str, key: str, fingerprint: bytes) -> str:
        """The workflow id of this caller's key on this route. Two callers may use the same key, each for its own.

        `fingerprint` stands for the body, any bytes that equal bodies share. Raises IdempotencyKeyReused when
        the key came with another body before.
        """
        key_digest = self._keys.digest("idempotency-key", caller, route, key)
        body_digest = self._keys.digest("idempotency-body", route, fingerprint.hex())
        used = await self._database.read(lambda c: keys_used.find(c, key_digest))
        if used is None:
            now = self._clock.now()
            used = await self._database.write(lambda c: keys_used.use(c, key_digest, body_digest, now))
        if used.body_digest != body_digest:
            raise IdempotencyKeyReused("this Idempotency-Key was used with another body; use a new key")
        return f"api:{key_digest}:{used.attempt}"

    async def try_again(self, workflow_id: str) -> None:
        """Let the key of a workflow that changed nothing, because the bank was away, begin a new one."""
        _, key_digest, attempt = workflow_id.split(":")
        await self._database.write(lambda c: keys_used.next_attempt(c, key_digest, int(attempt)))
