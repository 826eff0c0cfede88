"""Maker and checker, where policy approves registrations and leaves openings to staff."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.services.parts import KEYS, Parts, running
from ussd_engine.platform import changes
from ussd_engine.services.approvals import Approvals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOW = datetime.now(UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Parts]:
    folder = tmp_path_factory.mktemp("approvals")
    async with running(folder, automatic=frozenset({"subscription.register"})) as running_parts:
        yield running_parts


async def test_automatic_approval_activates_and_tells(parts: Parts) -> None:
    """Where policy approves registrations, the subscriber is active at once and hears it by SMS."""
    phone = "+254700000001"
    done = await parts.register("auto", phone)
    assert await parts.text_comes(phone) == (
        "Dear Jane, you are registered for Acme Bank on your phone. Dial again to begin."
    )
    assert (await parts.subscriptions.check(phone)).subscribed
    change = await parts.one("SELECT * FROM staged_changes WHERE id = :id", id=done.change_id)
    assert (change.state, change.checker, change.version) == ("approved", "policy", 2)


async def test_a_staged_opening_waits_with_its_account(parts: Parts) -> None:
    """Without automatic approval the account is open and recorded, but its user is not active yet."""
    done = await parts.open("staged", "+254711000030")
    assert (await parts.subscriptions.check("+254711000030")).status == "pending_approval"
    assert await parts.text_comes("+254711000030")
    change = await staged(parts, done.change_id)
    async with parts.database.write() as connection:
        await approvals().approve(connection, change, "staff-1", "request-1", NOW)
    assert (await parts.subscriptions.check("+254711000030")).subscribed


async def test_a_change_is_decided_once(parts: Parts) -> None:
    """The second decision on the same version is refused and changes nothing."""
    done = await parts.open("once", "+254711000031")
    change = await staged(parts, done.change_id)
    async with parts.database.write() as connection:
        await approvals().approve(connection, change, "staff-1", "request-1", NOW)
    with pytest.raises(LookupError):
        async with parts.database.write() as connection:
            await approvals().approve(connection, change, "staff-2", "request-2", NOW)
    row = await parts.one("SELECT checker FROM staged_changes WHERE id = :id", id=change.id)
    assert row.checker == "staff-1"


async def test_an_old_version_or_an_expired_change_is_not_decided(parts: Parts) -> None:
    """Who read another version, or comes too late, decides on nothing."""
    done = await parts.open("stale", "+254711000032")
    change = await staged(parts, done.change_id)
    late = NOW + timedelta(days=31)
    for version, at in ((7, NOW), (1, late)):
        with pytest.raises(LookupError):
            async with parts.database.write() as connection:
                await approvals().approve(
                    connection, replace(change, version=version), "staff-1", "request-1", at
                )


async def test_the_maker_is_never_the_checker(parts: Parts) -> None:
    """The database itself refuses a decision by the one who asked."""
    done = await parts.open("eyes", "+254711000033")
    change = await staged(parts, done.change_id)
    with pytest.raises(IntegrityError, match="four_eyes"):
        async with parts.database.write() as connection:
            await approvals().approve(connection, change, change.maker, "request-1", NOW)


async def test_the_audit_log_only_grows(parts: Parts) -> None:
    """An entry can be neither changed nor deleted, not even by hand."""
    await parts.open("audit", "+254711000034")
    for statement in ("UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"):
        with pytest.raises(IntegrityError, match="append-only"):
            async with parts.database.write() as connection:
                await connection.execute(text(statement))


async def staged(parts: Parts, change_id: str) -> changes.StagedChange:
    async with parts.database.read() as connection:
        return await changes.get(connection, KEYS, change_id)


def approvals() -> Approvals:
    return Approvals(KEYS, frozenset())
