"""What others hear: the subscriber by SMS, the operators by a dashboard event.

An SMS is first a row in the outbox, in the transaction that it reports; sending comes after, and the row's id is
the message id of every attempt. The row also says who makes the next attempt: it is taken before the sender is
called, and an attempt that was taken and never ended counts as one that the sender may have accepted. No
transaction is open while the sender or the feed is called.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Literal

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
    from ussd_engine.services.workflows import Json, Workflows

log = structlog.get_logger(__name__)

WORKFLOW = "sms.deliver"
TOLD_AT_ONCE = 100
"""How many failures one round tells of; the rest follows in the next."""


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

    `retry` bounds how long an unavailable sender or feed is tried again. `held_for_s`: after that long, an attempt of
    another worker was cut off. It is longer than the sender takes.
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
        held_for_s: float,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._workflows = workflows
        self._sms = sms
        self._events = events
        self._templates = templates
        self._retry = retry
        self._held_for_s = held_for_s
        self._in_hand: set[str] = set()

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

    async def workflow(self, payload: Json) -> Json:
        """The durable body, registered under `WORKFLOW`: a message whose own workflow was lost is delivered."""
        message = await self._workflows.insist(
            lambda: self._database.read(lambda c: outbox.get(c, self._keys, payload["id"]))
        )
        await self.deliver(message)
        return {}

    async def deliver(self, message: Notification) -> None:
        """Within a workflow: hand the SMS to the sender, trying again while it is unavailable.

        Two workflows may want to, of this worker or of several: then one does at a time, and the row tells the
        other when there is nothing left to send.
        """
        if message.id in self._in_hand:
            return
        self._in_hand.add(message.id)
        try:
            await self._deliver(message)
        finally:
            self._in_hand.discard(message.id)

    async def _deliver(self, message: Notification) -> None:
        spent_s = (self._clock.now() - message.created_at).total_seconds()
        for delay in chain((0.0,), self._retry.delays(spent_s)):
            if delay:
                await self._workflows.pause(delay)
            match await self._begin(message):
                case "over":
                    return
                case "used_up":
                    await self._end(message, Attempt("failed", failure="uncertain"))
                    return
                case "begun":
                    attempt = await self._attempt(message)
                    await self._end(message, attempt)
                    if attempt.state != "queued":
                        return
        log.error("sms_given_up", notification_id=message.id, sms_event=message.event)
        await self._end(message, Attempt("failed", failure="given_up"))

    async def _begin(self, message: Notification) -> Literal["begun", "used_up", "over"]:
        """Take the next attempt; one that another worker has taken is waited for, by our own clock."""
        held: outbox.Held | None = None
        while True:
            begun = await self._workflows.insist(
                lambda held=held: self._database.write(  # type: ignore[misc]
                    lambda c: outbox.begin_attempt(c, message.id, self._workflows.executor_id, held)
                )
            )
            if not isinstance(begun, outbox.Held):
                return begun
            await self._workflows.pause(self._held_for_s)
            held = begun

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

    async def _end(self, message: Notification, attempt: Attempt) -> None:
        now = self._clock.now()
        await self._workflows.insist(
            lambda: self._database.write(
                lambda c: outbox.end_attempt(
                    c,
                    message.id,
                    attempt.state,
                    attempt.sender_ref,
                    now,
                    attempt.failure,
                    uncertain=attempt.uncertain,
                )
            )
        )
        log.info("sms_attempted", notification_id=message.id, sms_event=message.event, state=attempt.state)
        if attempt.state == "failed":
            await self._workflows.insist(self.tell_failures)

    async def tell_failures(self) -> None:
        """Tell operators of the messages that failed, each once; the next round tells what the feed did not take."""
        for message in await self._database.read(
            lambda c: outbox.untold_failures(c, self._keys, TOLD_AT_ONCE)
        ):
            detail = {"notification_id": message.id, "event": message.event}
            if not await self.publish(self.event(message.id, "sms.failed", message.phone_number, detail)):
                return
            await self._database.write(lambda c, id_=message.id: outbox.mark_failure_told(c, id_))  # type: ignore[misc]

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
