"""Maker-checker: a change waits for a second pair of eyes, or for a policy that stands for it.

The maker is who asked: a channel, a member of staff, a key. The checker is another member of staff, or "policy" for
the kinds that are configured to approve themselves. They always differ; the database holds to it as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ussd_engine.errors import Refusal
from ussd_engine.platform import audit, changes, outbox
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.changes import POLICY, StagedChange
from ussd_engine.services.notifications import Addressee

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ussd_engine.platform.database import Database
    from ussd_engine.ports import Clock
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.notifications import Notifications
    from ussd_engine.services.workflows import Json, Workflows

WORKFLOW = "change.tell"
LEFT_AFTER = timedelta(seconds=30)
"""A decision that nobody was told of for longer was taken by a process that died before it could begin to tell."""
EXPIRED_AT_ONCE = 100
"""How many overdue changes one transaction ends; the rest follows in the next round."""


class ChangeNotFound(Refusal):
    code = "change_not_found"


class ChangeDecided(Refusal):
    """Somebody else decided before, perhaps in this very moment."""

    code = "change_decided"


class ChangeStale(Refusal):
    """The change, or the record that it changes, is no longer as the checker has seen it."""

    code = "change_stale"


class ChangeExpired(Refusal):
    code = "change_expired"


class ChangeConflict(Refusal):
    """The change cannot be applied to what the platform holds now. The message says what to decide first.

    `needs` are the changes of it that nobody has asked for yet.
    """

    code = "change_conflict"

    def __init__(self, words: str, needs: tuple[Request, ...] = ()) -> None:
        super().__init__(words)
        self.needs = needs


class SelfApproval(Refusal):
    """Who asked for a change does not decide on it."""

    code = "self_approval"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of change does when it is approved, within the transaction of the approval.

    `apply` raises ChangeConflict. `approved_sms` and `rejected_sms` are events whose SMS goes to the phone number of
    the change's context; `after` runs when the approval is committed.
    """

    apply: Callable[[Connection, StagedChange, datetime], None]
    approved_sms: str | None = None
    rejected_sms: str | None = None
    after: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A change that somebody asks for. See StagedChange for the fields; an empty `before` is a new record."""

    id: str
    kind: str
    entity: str
    entity_id: str
    before: dict[str, Any] = field(repr=False)
    after: dict[str, Any] = field(repr=False)
    context: dict[str, Any] = field(repr=False)
    maker: str
    maker_reason: str | None
    request_id: str
    operation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Staged:
    """`approved`: policy approved it at once. `audit` is for the end of the caller's transaction."""

    change_id: str
    approved: bool
    audit: tuple[AuditEntry, ...]


class Approvals:
    """`automatic` holds the kinds of change that policy approves at once; `kinds` all that there are.

    What nobody decided on after `expires_after` is stale: what it was checked against has changed.
    """

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        workflows: Workflows,
        notifications: Notifications,
        automatic: frozenset[str],
        kinds: Mapping[str, Kind],
        expires_after: timedelta,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._workflows = workflows
        self._notifications = notifications
        self._automatic = automatic
        self._kinds = kinds
        self._expires_after = expires_after

    def stage(
        self, connection: Connection, asked: Request, now: datetime, *, by_hand: bool = False
    ) -> Staged | None:
        """Ask for a change, within the caller's transaction; apply it when policy approves it.

        None when a change of this kind waits for the entity already. `by_hand` keeps policy out of it.
        """
        automatic = asked.kind in self._automatic and not by_hand
        change = StagedChange(
            id=asked.id,
            operation_id=asked.operation_id,
            kind=asked.kind,
            entity=asked.entity,
            entity_id=asked.entity_id,
            base_version=changes.version_of(connection, asked.entity, asked.entity_id) if asked.before else 0,
            before=asked.before,
            after=asked.after,
            context=asked.context,
            maker=asked.maker,
            maker_reason=asked.maker_reason,
            created_at=now,
            expires_at=now + self._expires_after,
        )
        staged = _entry(change, change.maker, "change.staged", asked.request_id)
        if not automatic:
            if not changes.add(connection, self._keys, change):
                return None
            return Staged(change.id, approved=False, audit=(staged,))
        approved = replace(
            change,
            state="approved",
            checker=POLICY,
            reason="approved by policy",
            decided_at=now,
            version=change.version + 1,
        )
        if not changes.add(connection, self._keys, approved):
            return None
        self._apply(connection, approved, now)
        decided = _entry(approved, POLICY, "change.approved", asked.request_id)
        return Staged(change.id, approved=True, audit=(staged, decided))

    async def propose(self, asked: Request) -> Staged:
        """Ask for a change in a transaction of its own. Raises ChangeConflict when one like it waits already."""

        def write(connection: Connection) -> Staged:
            now = self._clock.now()
            staged = self.stage(connection, asked, now)
            if staged is None:
                raise ChangeConflict(
                    "a change of this kind waits for this record already; decide on it first"
                )
            audit.append(connection, self._keys, list(staged.audit), now)
            return staged

        staged = await self._database.write(write)
        if staged.approved:
            await self._afterwards(asked.kind)
        return staged

    async def waiting(self, state: changes.State, limit: int, after: str | None = None) -> list[StagedChange]:
        """Changes in this state, in the order in which they were asked for, from `after` on."""
        return await self._database.read(lambda c: changes.listed(c, self._keys, state, limit, after))

    async def get(self, change_id: str) -> StagedChange:
        """Raises ChangeNotFound."""
        return _known(await self._database.read(lambda c: changes.find(c, self._keys, change_id)))

    async def approve(
        self, change_id: str, version: int, checker: str, request_id: str, reason: str | None = None
    ) -> StagedChange:
        """Approve the change as the checker has read it, and apply it, in one transaction.

        Raises ChangeNotFound, ChangeDecided, ChangeStale, ChangeExpired, ChangeConflict, SelfApproval; nothing is
        changed then. What has to be decided first is asked for, where it does not wait already.
        """

        def write(connection: Connection) -> StagedChange:
            now = self._clock.now()
            change = self._open(connection, change_id, version, checker, now)
            decided = _decide(connection, change, "approved", checker, reason, now)
            self._apply(connection, change, now)
            self._queue(connection, change, self._kinds[change.kind].approved_sms, now)
            audit.append(
                connection, self._keys, [_entry(change, checker, "change.approved", request_id)], now
            )
            return decided

        try:
            decided = await self._database.write(write)
        except ChangeConflict as conflict:
            if not conflict.needs:
                raise
            raise await self._ask_first(conflict, request_id) from conflict
        await self._tell(change_id)
        await self._afterwards(decided.kind)
        return decided

    async def _ask_first(self, conflict: ChangeConflict, request_id: str) -> ChangeConflict:
        """Stage what the conflict needs; the conflict, with the ids to decide on."""

        def write(connection: Connection) -> list[str]:
            now = self._clock.now()
            asked = [replace(one, request_id=request_id) for one in conflict.needs]
            staged = [self.stage(connection, one, now, by_hand=True) for one in asked]
            audit.append(connection, self._keys, [entry for one in staged if one for entry in one.audit], now)
            return [one.change_id for one in staged if one]

        ids = await self._database.write(write)
        if not ids:  # somebody else was faster
            return ChangeConflict(
                f"{conflict}; it has just been asked for: try again, and hear what to decide first"
            )
        return ChangeConflict(
            f"{conflict}; now asked for: decide on {', '.join(ids)} first, and then on this"
        )

    async def reject(
        self, change_id: str, version: int, checker: str, request_id: str, reason: str
    ) -> StagedChange:
        """Reject the change as the checker has read it; it stays, with the reason. Raises as `approve`."""

        def write(connection: Connection) -> StagedChange:
            now = self._clock.now()
            change = self._open(connection, change_id, version, checker, now)
            decided = _decide(connection, change, "rejected", checker, reason, now)
            self._queue(connection, change, self._kinds[change.kind].rejected_sms, now)
            audit.append(
                connection, self._keys, [_entry(change, checker, "change.rejected", request_id)], now
            )
            return decided

        decided = await self._database.write(write)
        await self._tell(change_id)
        return decided

    async def expire(self) -> None:
        """End what nobody decided on in time, and tell whom it concerns."""

        def write(connection: Connection) -> list[StagedChange]:
            now = self._clock.now()
            ended = []
            for change in changes.overdue(connection, self._keys, now, EXPIRED_AT_ONCE):
                if changes.decide(connection, change, "expired", None, "nobody decided in time", now):
                    self._queue(connection, change, self._kinds[change.kind].rejected_sms, now)
                    ended.append(change)
            if ended:
                entries = [_entry(change, POLICY, "change.expired", change.id) for change in ended]
                audit.append(connection, self._keys, entries, now)
            return ended

        for change in await self._database.write(write):
            await self._tell(change.id)

    def _open(
        self, connection: Connection, change_id: str, version: int, checker: str, now: datetime
    ) -> StagedChange:
        """The change, locked, when this checker may decide on it in this version."""
        change = _known(changes.find(connection, self._keys, change_id, lock=True))
        if change.state != "pending":
            by = f" by {change.checker}" if change.checker else ""
            raise ChangeDecided(f"this change was {change.state}{by} already; nothing was changed now")
        if change.version != version:
            raise ChangeStale(f"this change is in version {change.version} by now; read it again")
        if change.maker == checker:
            raise SelfApproval("who asked for a change does not decide on it; ask somebody else")
        if change.expires_at <= now:
            raise ChangeExpired("the time to decide on this change is over; it has to be asked for again")
        return change

    def _apply(self, connection: Connection, change: StagedChange, now: datetime) -> None:
        if not changes.advance(connection, change.entity, change.entity_id, change.base_version):
            raise ChangeStale(
                "the record was changed after this change was asked for; reject it, and have it asked for again"
            )
        self._kinds[change.kind].apply(connection, change, now)

    def _queue(self, connection: Connection, change: StagedChange, event: str | None, now: datetime) -> None:
        to = change.context
        if event is None or "phone_number" not in to:
            return
        addressee = Addressee(to["phone_number"], to["language"], {"first_name": to["first_name"]})
        outbox.add(connection, self._keys, self._notifications.of_change(change.id, event, addressee, now))

    async def _tell(self, change_id: str) -> None:
        """In a workflow of its own, once, however often this is called."""
        await self._workflows.start(WORKFLOW, telling(change_id), {"id": change_id})

    async def tell_left(self) -> None:
        """Tell of decisions whose process died before it could begin to."""
        before = self._clock.now() - LEFT_AFTER
        for id_ in await self._database.read(lambda c: changes.untold(c, before)):
            await self._tell(id_)

    async def workflow(self, payload: Json) -> Json:
        """The durable body, registered under `WORKFLOW`: the dashboard and the subscriber hear of a decision."""
        id_ = payload["id"]
        change, messages = await self._workflows.insist(
            lambda: self._database.read(
                lambda c: (
                    _known(changes.find(c, self._keys, id_)),
                    outbox.queued_of_change(c, self._keys, id_),
                )
            )
        )
        detail = {"change_id": change.id, "kind": change.kind, "entity_id": change.entity_id}
        phone_number = change.context.get("phone_number", "")
        event = self._notifications.event(change.id, f"change.{change.state}", phone_number, detail)
        published = await self._notifications.publish(event)
        for message in messages:
            await self._notifications.deliver(message)
        if not published:
            await self._notifications.publish_later(event)
        now = self._clock.now()
        await self._workflows.insist(lambda: self._database.write(lambda c: changes.mark_told(c, id_, now)))
        return {}

    async def _afterwards(self, kind: str) -> None:
        after = self._kinds[kind].after
        if after is not None:
            await after()


def _decide(
    connection: Connection,
    change: StagedChange,
    state: changes.State,
    checker: str,
    reason: str | None,
    now: datetime,
) -> StagedChange:
    if not changes.decide(connection, change, state, checker, reason, now):
        raise ChangeDecided("somebody else decided on this change in the same moment")
    return replace(
        change, state=state, checker=checker, reason=reason, decided_at=now, version=change.version + 1
    )


def telling(change_id: str) -> str:
    """The id of the workflow that tells of a decision."""
    return f"tell:{change_id}"


def _known(change: StagedChange | None) -> StagedChange:
    if change is None:
        raise ChangeNotFound("there is no change with this id")
    return change


def _entry(change: StagedChange, actor: str, action: str, request_id: str) -> AuditEntry:
    """Under the record that changes. The words of maker and checker stay with the change."""
    return AuditEntry(
        actor=actor,
        action=action,
        entity=change.entity,
        entity_id=change.entity_id,
        request_id=request_id,
        reason=f"{change.kind} {change.id}",
        before=change.before,
        after=change.after,
    )
