"""The PIN of a subscriber who has one: asked for before what only its owner may see or do, and changed by who knows it.

Whether a PIN was right is told only with the count of wrong ones, in one transaction: so a thousand guesses at once
get no further than the few that the limit allows, whichever worker or channel they come by. A change takes the old PIN
along and counts it as any other attempt, so that nothing but the right one, in this very piece of work, leads to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ussd_engine.errors import Busy
from ussd_engine.platform import audit, pins
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.gate import Verdict
from ussd_engine.services.pin_hashes import hashed, matches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from ussd_engine.platform.database import Database
    from ussd_engine.platform.directory import Directory
    from ussd_engine.platform.gate import Limit
    from ussd_engine.platform.pins import Pin
    from ussd_engine.ports import Clock
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.pin_hashes import HashRoom
    from ussd_engine.services.policies import Policy
    from ussd_engine.services.workflows import Json, Workflows

VERIFY = "pin.verify"
CHANGE = "pin.change"
"""The actions, and their workflows."""
OVERTAKEN = "overtaken"
"""What becomes of an attempt at a PIN that is not the user's any more: it tells and costs nothing."""


@dataclass(frozen=True, slots=True)
class Pins:
    """For active users only."""

    limit: Limit
    hashes: HashRoom
    workflows: Workflows
    policy: Policy
    directory: Directory
    database: Database
    keys: KeyRing
    clock: Clock

    async def verify(
        self, workflow_id: str, phone_number: str, pin: str, *, wait_s: float
    ) -> Verdict | str | None:
        """The verdict, or `not_set`; None when not known within `wait_s`.

        Raises NotAllowed, DatabaseUnavailable, and Busy where the PIN has become another in this very moment.
        """
        self.policy.require(VERIFY)
        return await self._attempt(
            VERIFY, workflow_id, phone_number, wait_s, lambda kept: _compared(kept, pin)
        )

    async def change(
        self, workflow_id: str, phone_number: str, old: str, new: str, *, wait_s: float
    ) -> Verdict | str | None:
        """As `verify` of the old PIN; the new one stands in its place when the verdict is `verified`."""
        self.policy.require(CHANGE)
        return await self._attempt(
            CHANGE,
            workflow_id,
            phone_number,
            wait_s,
            lambda kept: {**_compared(kept, old), "hash": hashed(new)},
        )

    async def _attempt(
        self,
        work: str,
        workflow_id: str,
        phone_number: str,
        wait_s: float,
        computed: Callable[[Pin], Mapping[str, object]],
    ) -> Verdict | str | None:
        deadline = self.clock.monotonic() + wait_s

        def stored(connection: Connection) -> tuple[str, Pin] | None:
            known = self.directory.subscriber(connection, phone_number)
            kept = pins.find(connection, self.keys, known.user_id) if known else None
            return (known.user_id, kept) if known and kept else None

        found = await self.database.read(stored)
        if found is None:
            return "not_set"
        user_id, kept = found
        compared = await self.hashes.computed(lambda: computed(kept), wait_s)
        payload = {"workflow_id": workflow_id, "user_id": user_id, "set_by": kept.set_by, **compared}
        left = max(deadline - self.clock.monotonic(), 0.0)
        done = await self.workflows.run(work, workflow_id, payload, wait_s=left)
        if done is None:
            return None
        if done["outcome"] == OVERTAKEN:
            raise Busy("the PIN has just become another; nothing was changed, try again")
        return Verdict(done["outcome"], done["attempts_left"])

    async def verify_workflow(self, payload: Json) -> Json:
        """The durable body, registered under `VERIFY`."""
        return await self.workflows.insist(lambda: self.database.write(lambda c: self._verify(c, payload)))

    async def change_workflow(self, payload: Json) -> Json:
        """The durable body, registered under `CHANGE`."""
        return await self.workflows.insist(lambda: self.database.write(lambda c: self._change(c, payload)))

    def _verify(self, connection: Connection, payload: Json) -> Json:
        user_id, workflow_id = payload["user_id"], payload["workflow_id"]
        verdict = pins.attempt(
            connection,
            self.keys,
            user_id,
            workflow_id,
            payload["set_by"],
            self.limit,
            self.clock.now(),
            right=payload["right"],
        )
        if verdict is None:
            return {"outcome": OVERTAKEN}
        if verdict.locks:
            self._note(connection, "pin.locked", user_id, workflow_id)
        return {"outcome": verdict.outcome, "attempts_left": verdict.attempts_left}

    def _change(self, connection: Connection, payload: Json) -> Json:
        verdict = self._verify(connection, payload)
        if verdict["outcome"] != "verified":
            return verdict
        user_id, workflow_id, former = payload["user_id"], payload["workflow_id"], payload["set_by"]
        now = self.clock.now()
        # False where a run that died before it could tell has changed it
        if pins.replace(connection, self.keys, user_id, former, payload["hash"], workflow_id, now):
            self._note(connection, CHANGE, user_id, workflow_id)
        return verdict

    def _note(self, connection: Connection, action: str, user_id: str, workflow_id: str) -> None:
        entry = AuditEntry("ussd", action, "users", user_id, workflow_id)
        audit.append(connection, self.keys, [entry], self.clock.now())


def _compared(kept: Pin, pin: str) -> dict[str, object]:
    return {"right": matches(pin, kept.hash)}
