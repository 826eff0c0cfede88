"""Who holds a key: the configured key of this installation, an operator, or a program."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from ussd_engine.access import CONFIGURED_KEY_SCOPES, Principal
from ussd_engine.platform.staff import find_principal

if TYPE_CHECKING:
    from ussd_engine.platform.database import Database
    from ussd_engine.ports import Clock

CONFIGURED = Principal("api", CONFIGURED_KEY_SCOPES)


class Callers:
    """`configured_key` is `api.key`, or what the engine made in its place; it opens without the database."""

    def __init__(self, database: Database, clock: Clock, configured_key: str) -> None:
        self._database = database
        self._clock = clock
        self._configured_key = configured_key.encode()

    async def of_key(self, key: str) -> Principal | None:
        """None when the key opens nothing, for whatever reason. Raises DatabaseUnavailable."""
        if hmac.compare_digest(key.encode(), self._configured_key):  # in constant time
            return CONFIGURED
        return await find_principal(self._database, key, self._clock.now())
