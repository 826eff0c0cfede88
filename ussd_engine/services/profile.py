"""A subscriber's own record: shown on the phone, and the language changed there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ussd_engine.platform import audit, changes, customers, subscribers
from ussd_engine.platform.operations import operation_id
from ussd_engine.services.approvals import Kind, Request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.platform.changes import StagedChange
    from ussd_engine.platform.database import Database
    from ussd_engine.platform.directory import Directory
    from ussd_engine.platform.subscribers import Subscriber
    from ussd_engine.ports import Clock
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.approvals import Approvals
    from ussd_engine.services.policies import Policy
    from ussd_engine.services.workflows import Json, Workflows

LANGUAGE = "subscription.language"
"""The action, its workflow and its kind of change."""


@dataclass(frozen=True, slots=True)
class Profiles:
    """For active users only: who is not subscribed has no record to see."""

    database: Database
    keys: KeyRing
    clock: Clock
    directory: Directory
    policy: Policy
    workflows: Workflows
    approvals: Approvals

    async def get(self, phone_number: str) -> Subscriber | None:
        """Raises NotAllowed, DatabaseUnavailable."""
        self.policy.require("subscription.profile")

        def read(connection: Connection) -> Subscriber | None:
            known = self.directory.subscriber(connection, phone_number)
            return subscribers.get(connection, known.customer_id) if known else None

        return await self.database.read(read)

    async def set_language(
        self, workflow_id: str, phone_number: str, language: str, *, wait_s: float
    ) -> str | None:
        """`changed`, `staged` for staff to decide on, or `not_found`; None when not known within `wait_s`."""
        self.policy.require(LANGUAGE)
        payload = {"workflow_id": workflow_id, "phone_number": phone_number, "language": language}
        done = await self.workflows.run(LANGUAGE, workflow_id, payload, wait_s=wait_s)
        return None if done is None else str(done["kind"])

    async def workflow(self, payload: Json) -> Json:
        """The durable body, registered under `LANGUAGE`."""
        return await self.workflows.insist(
            lambda: self.database.write(lambda connection: self._set_language(connection, payload))
        )

    def _set_language(self, connection: Connection, payload: Json) -> Json:
        now, wanted = self.clock.now(), payload["language"]
        change_id = operation_id(payload["workflow_id"])
        made = changes.find(connection, self.keys, change_id)  # by a run that died before it could tell
        if made is not None:
            return {"kind": "changed" if made.state == "approved" else "staged"}
        known = self.directory.subscriber(connection, payload["phone_number"])
        if known is None:
            return {"kind": "not_found"}
        if known.language == wanted:
            return {"kind": "changed"}
        asked = Request(
            id=change_id,
            kind=LANGUAGE,
            entity="users",
            entity_id=known.user_id,
            before={"language": known.language},
            after={"language": wanted},
            context={},
            maker="ussd",
            maker_reason=None,
            request_id=payload["workflow_id"],
        )
        staged = self.approvals.stage(connection, asked, now)
        if staged is None:
            return {"kind": "staged"}
        audit.append(connection, self.keys, list(staged.audit), now)
        return {"kind": "changed" if staged.approved else "staged"}


def kinds() -> Mapping[str, Kind]:
    """What approving does to a user's language."""
    return {LANGUAGE: Kind(_apply)}


def _apply(connection: Connection, change: StagedChange, _now: datetime) -> None:
    language: Any = change.after["language"]
    customers.set_language(connection, change.entity_id, language)
