"""A subscriber's own record: shown on the phone, and the language changed there."""

from __future__ import annotations

from ussd_engine.platform import audit, customers, subscribers
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.database import Database
from ussd_engine.platform.subscribers import Subscriber
from ussd_engine.ports import Clock
from ussd_engine.sealing import KeyRing
from ussd_engine.services.workflows import Json, Workflows

WORKFLOW = "subscription.language"


class Profiles:
    """For active users only: who is not subscribed has no record to see."""

    def __init__(self, database: Database, keys: KeyRing, workflows: Workflows, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._workflows = workflows
        self._clock = clock

    async def get(self, phone_number: str) -> Subscriber | None:
        async with self._database.read() as connection:
            known = await customers.get_customer_by_phone_number(connection, phone_number)
            if known is None or known.user_status != "active":
                return None
            return await subscribers.get(connection, known.customer_id)

    async def set_language(
        self, workflow_id: str, phone_number: str, language: str, *, wait_s: float
    ) -> bool | None:
        """Whether there was a user to change; None when that is not known within `wait_s`."""
        payload = {"workflow_id": workflow_id, "phone_number": phone_number, "language": language}
        done = await self._workflows.run(WORKFLOW, workflow_id, payload, wait_s=wait_s)
        return None if done is None else bool(done["changed"])

    async def workflow(self, payload: Json) -> Json:
        """The durable body, registered under `WORKFLOW`."""
        return await self._workflows.step("set_language", lambda: self._set_language(payload))

    async def _set_language(self, payload: Json) -> Json:
        async with self._database.write() as connection:
            known = await customers.get_customer_by_phone_number(connection, payload["phone_number"])
            if known is None or known.user_id is None or known.user_status != "active":
                return {"changed": False}
            if known.language == payload["language"]:
                return {"changed": True}
            await subscribers.set_language(connection, known.user_id, payload["language"])
            entry = AuditEntry(
                actor="ussd",
                action="subscription.language",
                entity="users",
                entity_id=known.user_id,
                request_id=payload["workflow_id"],
                reason=payload["language"],
            )
            await audit.append(connection, self._keys, [entry], self._clock.now())
        return {"changed": True}
