"""What holds whenever nothing is under way, whoever died before."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import redis

from adapters.cbs.sandbox_books import account_number
from tests.database_fixtures import KEYS
from ussd_engine.platform import audit
from ussd_engine.platform.tables import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from tests.crash.scenarios import Scenario
    from tests.crash.world import World

OPENED = "SELECT number, phone_number, external_id FROM customers WHERE external_id IS NOT NULL AND active_from <= ?"
CHANGES = (
    "SELECT c.*, (SELECT count(*) FROM users u JOIN customers k ON k.id = u.customer_id"
    " WHERE k.id = c.entity_id AND u.status = 'active') AS active,"
    " (SELECT version FROM entity_versions v WHERE v.entity = c.entity AND v.entity_id = c.entity_id) AS applied"
    " FROM staged_changes c"
)


async def broken(world: World) -> list[str]:
    """Every invariant that does not hold, as a sentence."""
    return [sentence async for sentence in _broken(world)]


async def differences(world: World, scenario: Scenario) -> list[str]:
    """What else is there now than the scenario leaves."""
    active = await world.rows("SELECT id FROM users WHERE status = 'active'")
    accounts = await world.rows("SELECT account_number FROM accounts WHERE source = 'subscriber'")
    failures = await world.rows("SELECT failures FROM gate_counters")
    events = await world.rows("SELECT event FROM notifications ORDER BY event")
    wanted_and_found = {
        "accounts at the bank": (scenario.accounts, len(await _opened(world))),
        "accounts on the platform": (scenario.accounts, len(accounts)),
        "active users": (scenario.active, len(active)),
        "messages": (scenario.messages, tuple(row.event for row in events)),
        "wrong answers": ({scenario.wrong_answers}, {row.failures for row in failures} or {0}),
    }
    return [
        f"{name}: {found}, not {wanted}"
        for name, (wanted, found) in wanted_and_found.items()
        if wanted != found
    ]


async def _broken(world: World) -> AsyncIterator[str]:
    opened = await _opened(world)
    operations = await world.rows("SELECT * FROM operations")
    changes = await world.rows(CHANGES)
    for sentence in (
        *_at_the_bank(opened),
        *_operations(operations),
        *_agreement(opened, operations, await world.rows("SELECT account_number, source FROM accounts")),
        *_changes(changes),
        *_messages(
            await world.rows("SELECT * FROM notifications"),
            [(message.message_id, message.phone_number) for message in await world.console.sent()],
        ),
        *_audit(await world.rows("SELECT action, entity, entity_id FROM audit_log")),
        *_feed(_published(world), operations, changes),
    ):
        yield sentence
    for finding in await world.database.read(lambda connection: list(audit.verify(connection, KEYS))):
        yield f"audit: {finding}"


async def _opened(world: World) -> list[Any]:
    now = world.clock.now().timestamp()
    return await world.bank._file.read(lambda db: list(db.execute(OPENED, (now,))))


def _at_the_bank(opened: list[Any]) -> Iterator[str]:
    for phone in _twice(row["phone_number"] for row in opened):
        yield f"two accounts at the bank for {phone}"


def _operations(operations: list[Any]) -> Iterator[str]:
    for row in operations:
        if row.state in UNFINISHED:
            yield f"operation {row.id} is {row.state}, and nobody works on it"
        elif row.gate == "reserved":
            yield f"operation {row.id} is finished, and its attempt at the gate is not settled"


def _agreement(opened: list[Any], operations: list[Any], accounts: list[Any]) -> Iterator[str]:
    done = {row.id for row in operations if (row.kind, row.state) == ("account.open", "done")}
    at_bank = {row["external_id"]: account_number(row["number"]) for row in opened}
    for id_ in at_bank.keys() - done:
        yield f"the bank has opened an account for operation {id_}, which is not done"
    for id_ in done - at_bank.keys():
        yield f"operation {id_} is done, and the bank has no account of it"
    here = {row.account_number for row in accounts if row.source == "subscriber"}
    if here != set(at_bank.values()):
        yield f"the platform has the accounts {here}, and the bank {set(at_bank.values())}"


def _changes(changes: list[Any]) -> Iterator[str]:
    for row in changes:
        approved = row.state == "approved"
        if approved and (row.checker is None or row.checker == row.maker or row.decided_at is None):
            yield f"change {row.id} was approved by nobody, or by who asked for it"
        if row.state == "pending" and (row.checker is not None or row.decided_at is not None):
            yield f"change {row.id} is pending and decided"
        if approved != bool(row.active) or approved != bool(row.applied):
            yield f"change {row.id} is {row.state}: {row.active} users are active by it, version {row.applied}"
    for entity in _twice(row.entity_id for row in changes):
        yield f"two changes of {entity}"


def _messages(queued: list[Any], accepted: list[tuple[str, str]]) -> Iterator[str]:
    for row in queued:
        if row.state != "sent":
            yield f"message {row.id} on {row.event} is {row.state}"
    for about in _twice((row.operation_id, row.change_id, row.event) for row in queued):
        yield f"two messages on {about}"
    if Counter(row.id for row in queued) != Counter(id_ for id_, _ in accepted):
        yield f"{len(queued)} messages here, and the sender has accepted {len(accepted)}, or others"


def _audit(entries: list[Any]) -> Iterator[str]:
    for entry in _twice(tuple(row) for row in entries):
        yield f"audit: two entries on {entry}"


def _feed(published: list[tuple[str, str]], operations: list[Any], changes: list[Any]) -> Iterator[str]:
    for event in _twice(published):
        yield f"event {event} stands twice in the feed"
    told = {(row.id, f"{row.kind}.{row.state}") for row in operations}
    told |= {(row.id, f"change.{row.state}") for row in changes if row.checker not in (None, "policy")}
    for event in told - set(published):
        yield f"event {event} is missing in the feed"


def _published(world: World) -> list[tuple[str, str]]:
    """What each event is about, and its kind."""
    with redis.Redis.from_url(world.place.site.redis, decode_responses=True) as client:
        entries = client.xrange(f"{{{world.place.prefix}:events}}:feed")
    details = [(json.loads(fields["detail"]), fields["kind"]) for _, fields in entries]
    return [(detail.get("operation_id") or detail["change_id"], kind) for detail, kind in details]


def _twice(values: Iterable[Any]) -> list[Any]:
    return [value for value, times in Counter(values).items() if times > 1]
