"""What others hear: the subscriber by SMS, the operators by a dashboard event.

An SMS is first a row in the outbox, in the transaction that it reports; sending is a step of the workflow, and
the row's id is the message id of every attempt. No transaction is open while the sender or the feed is called.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from ussd_engine.errors import SmsRejected, SmsUnavailable, StoreUnavailable
from ussd_engine.phone import mask
from ussd_engine.platform import outbox
from ussd_engine.platform.operations import derived_id
from ussd_engine.ports import Event, Sms
from ussd_engine.services.workflows import StepFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from ussd_engine.flow.sms_templates import SmsTemplates
    from ussd_engine.platform.database import Database
    from ussd_engine.platform.operations import Claim, Operation
    from ussd_engine.ports import Clock, Events, SmsSender
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.backoff import Backoff
    from ussd_engine.services.workflows import Json, Workflows

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom an SMS goes to, in which language, and what its placeholders stand for."""

    phone_number: str = field(repr=False)
    language: str
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class News:
    """What the operators' dashboard is told of an operation: ids and codes."""

    claim: Claim
    kind: str
    detail: Mapping[str, str]


class Notifications:
    """`retry` bounds how long an unavailable sender or feed is tried again."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        workflows: Workflows,
        sms: SmsSender,
        events: Events,
        templates: SmsTemplates,
        retry: Backoff,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._workflows = workflows
        self._sms = sms
        self._events = events
        self._templates = templates
        self._retry = retry

    async def queue(
        self, connection: AsyncConnection, operation: Operation, event: str, to: Addressee, now: datetime
    ) -> str:
        """Write the SMS within the caller's transaction; the answer is its id."""
        message = outbox.Notification(
            id=derived_id(operation.id, f"sms:{event}"),
            operation_id=operation.id,
            event=event,
            language=to.language,
            phone_number=to.phone_number,
            text=self._templates.render(event, to.language, to.values),
        )
        await outbox.add(connection, self._keys, message, now)
        return message.id

    async def deliver(self, notification_id: str) -> None:
        """Within a workflow: hand the SMS to the sender, trying again while it is unavailable."""
        if await self._sent(notification_id):
            return
        for delay in self._retry.delays():
            await self._workflows.sleep(delay)
            if await self._sent(notification_id):
                return
        log.error("sms_given_up", notification_id=notification_id)
        await self._workflows.step("give_up_sms", lambda: self._give_up(notification_id))

    async def publish(self, news: News) -> bool:
        """Within a workflow: append to the dashboard's feed, once. False when the feed is unavailable."""
        try:
            result = await self._workflows.step("publish_event", lambda: self._publish(news))
        except StepFailed:
            return False
        return bool(result["done"])

    async def publish_later(self, news: News) -> None:
        """Within a workflow: publish again, as often as the retries allow. A dashboard is no reason to fail."""
        for delay in self._retry.delays():
            await self._workflows.sleep(delay)
            if await self.publish(news):
                return
        log.error("event_given_up", operation_id=news.claim.id, kind=news.kind)

    async def _sent(self, notification_id: str) -> bool:
        """One attempt; True when no further one is needed."""
        try:
            result = await self._workflows.step("send_sms", lambda: self._send(notification_id))
        except StepFailed:
            return False
        return str(result["state"]) != "queued"

    async def _send(self, notification_id: str) -> Json:
        async with self._database.read() as connection:
            message = await outbox.get(connection, self._keys, notification_id)
        if message.state == "sent":
            return {"state": "sent"}
        state: outbox.State = "sent"
        sender_ref = None
        try:
            accepted = await self._sms.send(Sms(message.id, message.phone_number, message.text))
            sender_ref = accepted.sender_ref
        except SmsUnavailable:
            state = "queued"
        except SmsRejected:
            state = "failed"
        async with self._database.write() as connection:
            await outbox.mark(connection, message.id, state, sender_ref, self._clock.now())
        log.info("sms_attempted", notification_id=message.id, sms_event=message.event, state=state)
        return {"state": state}

    async def _give_up(self, notification_id: str) -> Json:
        async with self._database.write() as connection:
            await outbox.mark(connection, notification_id, "failed", None, self._clock.now())
        return {}

    async def _publish(self, news: News) -> Json:
        claim = news.claim
        event = Event(
            event_id=derived_id(claim.id, f"event:{news.kind}"),
            kind=news.kind,
            at=self._clock.now(),
            phone_masked=mask(claim.phone_number),
            detail={"operation_id": claim.id, "channel": claim.channel, **news.detail},
        )
        try:
            await self._events.publish(event)
        except StoreUnavailable:
            log.warning("event_not_published", event_id=event.event_id, kind=event.kind)
            return {"done": False}
        return {"done": True}
