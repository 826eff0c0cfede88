"""What others hear: the subscriber by SMS, the operators by a dashboard event.

An SMS is first a row in the outbox, in the transaction that it reports; sending comes after, and the row's id is
the message id of every attempt. No transaction is open while the sender or the feed is called.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import structlog

from ussd_engine.errors import SmsRejected, SmsUnavailable, SmsUncertain, StoreUnavailable
from ussd_engine.logs import describe
from ussd_engine.phone import mask
from ussd_engine.platform import outbox
from ussd_engine.platform.operations import derived_id
from ussd_engine.platform.outbox import Notification
from ussd_engine.ports import Event, Sms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ussd_engine.flow.sms_templates import SmsTemplates
    from ussd_engine.platform.database import Database
    from ussd_engine.ports import Clock, Events, SmsSender
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.backoff import Backoff
    from ussd_engine.services.workflows import Workflows

log = structlog.get_logger(__name__)

UNCERTAIN_ATTEMPTS = 3
"""Attempts that may have been accepted, after which a message is given up: more of them would be a flood."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom an SMS goes to, in which language, and what its placeholders stand for."""

    phone_number: str = field(repr=False)
    language: str
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Where an attempt left a message. `uncertain`: the sender may have taken it. `failure` is a code."""

    state: outbox.State
    sender_ref: str | None = None
    failure: str | None = None
    uncertain: bool = False


class Notifications:
    """`templates` gives the texts that hold now.

    `retry` bounds how long an unavailable sender or feed is tried again.
    """

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        workflows: Workflows,
        sms: SmsSender,
        events: Events,
        templates: Callable[[], SmsTemplates],
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

    def of_operation(self, operation_id: str, event: str, to: Addressee, now: datetime) -> Notification:
        """The SMS on an operation, for `outbox.add` in the transaction that it reports."""
        return self._message(operation_id, None, event, to, now)

    def of_change(self, change_id: str, event: str, to: Addressee, now: datetime) -> Notification:
        """The SMS on a decision, for `outbox.add` in the transaction that it reports."""
        return self._message(None, change_id, event, to, now)

    def _message(
        self, operation_id: str | None, change_id: str | None, event: str, to: Addressee, now: datetime
    ) -> Notification:
        return Notification(
            id=derived_id(operation_id or change_id or "", f"sms:{event}"),
            operation_id=operation_id,
            change_id=change_id,
            event=event,
            language=to.language,
            phone_number=to.phone_number,
            text=self._templates().render(event, to.language, to.values),
            created_at=now,
        )

    async def deliver(self, message: Notification) -> None:
        """Within a workflow: hand the SMS to the sender, trying again while it is unavailable.

        An attempt of which nobody knows how it went is not repeated often: each may reach the subscriber.
        """
        spent_s = (self._clock.now() - message.created_at).total_seconds()
        uncertain = 0
        for delay in chain((0.0,), self._retry.delays(spent_s)):
            if delay:
                await self._workflows.pause(delay)
            attempt = await self._attempt(message)
            uncertain += attempt.uncertain
            if uncertain == UNCERTAIN_ATTEMPTS:
                await self._mark(message, Attempt("failed", failure="uncertain"))
                return
            await self._mark(message, attempt)
            if attempt.state != "queued":
                return
        log.error("sms_given_up", notification_id=message.id, sms_event=message.event)
        await self._mark(message, Attempt("failed", failure="given_up"))

    async def _attempt(self, message: Notification) -> Attempt:
        try:
            accepted = await self._sms.send(Sms(message.id, message.phone_number, message.text))
        except SmsRejected as error:
            return Attempt("failed", failure=error.reason)
        except SmsUncertain:
            return Attempt("queued", uncertain=True)
        except SmsUnavailable:
            return Attempt("queued")
        except Exception as error:  # noqa: BLE001 - an adapter's fault must not end the story of an operation
            log.error("sms_sender_failed", notification_id=message.id, **describe(error))  # noqa: TRY400 - wordless
            return Attempt("queued", uncertain=True)
        return Attempt("sent", sender_ref=accepted.sender_ref)

    async def _mark(self, message: Notification, attempt: Attempt) -> None:
        state, now = attempt.state, self._clock.now()
        await self._workflows.insist(
            lambda: self._database.write(
                lambda c: outbox.mark(c, message.id, state, attempt.sender_ref, now, attempt.failure)
            )
        )
        log.info("sms_attempted", notification_id=message.id, sms_event=message.event, state=state)
        if state == "failed":
            detail = {"notification_id": message.id, "event": message.event}
            await self.publish(self.event(message.id, "sms.failed", message.phone_number, detail))

    def event(self, about: str, kind: str, phone_number: str, detail: Mapping[str, str]) -> Event:
        """The dashboard event of this kind about one operation, change or message, of which there is one."""
        return Event(
            event_id=derived_id(about, f"event:{kind}"),
            kind=kind,
            at=self._clock.now(),
            phone_masked=mask(phone_number),
            detail=detail,
        )

    async def publish(self, event: Event) -> bool:
        """Append to the dashboard's feed, once. False when the feed is unavailable."""
        try:
            await self._events.publish(event)
        except StoreUnavailable:
            log.warning("event_not_published", event_id=event.event_id, kind=event.kind)
            return False
        return True

    async def publish_later(self, event: Event) -> None:
        """Within a workflow: publish again, as often as the retries allow. A dashboard is no reason to fail."""
        for delay in self._retry.delays():
            await self._workflows.pause(delay)
            if await self.publish(event):
                return
        log.error("event_given_up", event_id=event.event_id, kind=event.kind)
