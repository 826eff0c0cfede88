"""A forgotten PIN: one of the staff asks that it is taken away, another one approves, and the subscriber chooses anew.

That takes the date of birth, as the first PIN does. Nothing else is taken away: who is locked out stays locked out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from ussd_engine.errors import Refusal
from ussd_engine.phone import mask
from ussd_engine.platform import pins, subscribers
from ussd_engine.services.approvals import ChangeConflict, Kind, Request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.changes import StagedChange
    from ussd_engine.platform.database import Database
    from ussd_engine.platform.directory import Directory
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.approvals import Approvals, Staged

RESET = "pin.reset"
"""The kind of change."""


class PinNotFound(Refusal):
    """Nobody is subscribed by the phone number, or who is has no PIN."""

    code = "pin_not_found"


@dataclass(frozen=True, slots=True)
class PinResets:
    database: Database
    keys: KeyRing
    directory: Directory
    approvals: Approvals

    async def propose(self, phone_number: str, *, maker: str, reason: str, request_id: str) -> Staged:
        """Raises PinNotFound, ChangeConflict when a reset waits already."""

        def asked(connection: Connection) -> Request:
            known = self.directory.subscriber(connection, phone_number)
            pin = pins.find(connection, self.keys, known.user_id) if known else None
            if known is None or pin is None:
                raise PinNotFound("nobody with a PIN is subscribed by this phone number")
            person = subscribers.get(connection, known.customer_id)
            whose = {"phone_number": mask(phone_number)}
            return Request(
                id=str(uuid4()),
                kind=RESET,
                entity="pins",
                entity_id=known.user_id,
                before={**whose, "set_at": pin.set_at.isoformat()},
                after={**whose, "set_at": None},
                context={
                    "set_by": pin.set_by,
                    "phone_number": phone_number,
                    "language": known.language,
                    "first_name": person.first_name if person else "",
                },
                maker=maker,
                maker_reason=reason,
                request_id=request_id,
            )

        return await self.approvals.propose(await self.database.read(asked))


def kinds() -> Mapping[str, Kind]:
    """What approving does to a PIN."""
    return {RESET: Kind(_apply, approved_sms="pin_reset")}


def _apply(connection: Connection, change: StagedChange, _now: datetime) -> None:
    if not pins.forget(connection, change.entity_id, change.context["set_by"]):
        raise ChangeConflict(
            "the subscriber has another PIN by now, so it is not forgotten; reject this change"
        )
