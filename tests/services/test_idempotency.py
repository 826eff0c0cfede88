"""Idempotency keys of the API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from sqlalchemy import text

from tests.database_fixtures import KEYS
from tests.services.parts import WallClock
from ussd_engine.errors import IdempotencyKeyReused
from ussd_engine.platform.database import Database
from ussd_engine.services.idempotency import IdempotencyKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def used(url: str) -> AsyncIterator[IdempotencyKeys]:
    database = Database(url)
    yield IdempotencyKeys(database, KEYS, WallClock())
    await database.close()


async def test_a_key_and_body_name_one_workflow(used: IdempotencyKeys) -> None:
    """The same request names the same workflow, at once or later; another key or route another one."""
    ids = await asyncio.gather(*(used.workflow_id("api", "open", "key-1", b"body") for _ in range(50)))
    assert len(set(ids)) == 1
    assert await used.workflow_id("api", "open", "key-2", b"body") not in ids
    assert await used.workflow_id("api", "register", "key-1", b"body") not in ids


async def test_each_caller_has_keys_of_its_own(used: IdempotencyKeys) -> None:
    """Two programs that hit on the same key see nothing of each other: neither an answer nor a refusal."""
    first = await used.workflow_id("key:core", "open", "key-1", b"body")
    assert await used.workflow_id("key:branch", "open", "key-1", b"body") != first
    assert await used.workflow_id("key:third", "open", "key-1", b"other") != first
    assert await used.workflow_id("key:core", "open", "key-1", b"body") == first


async def test_a_key_with_another_body_is_refused(used: IdempotencyKeys) -> None:
    """A key stands for its first body; who sends another is told, and the first still works."""
    first = await used.workflow_id("api", "open", "key-1", b"body")
    with pytest.raises(IdempotencyKeyReused):
        await used.workflow_id("api", "open", "key-1", b"other")
    assert await used.workflow_id("api", "open", "key-1", b"body") == first


async def test_of_two_bodies_at_once_one_wins(used: IdempotencyKeys) -> None:
    """Twenty bodies race for one key: one gets the workflow, all others are refused."""
    racing = (used.workflow_id("api", "open", "key-1", bytes([i])) for i in range(20))
    answers = await asyncio.gather(*racing, return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 1
    assert sum(isinstance(answer, IdempotencyKeyReused) for answer in answers) == 19


async def test_neither_key_nor_body_is_stored(used: IdempotencyKeys, url: str) -> None:
    """The database holds digests only."""
    await used.workflow_id("api", "open", "a-secret-key", b"+254711000060")
    database = Database(url)
    rows = await database.read(lambda c: str(c.execute(text("SELECT * FROM idempotency_keys")).all()))
    await database.close()
    assert rows != "[]"
    for secret in ("a-secret-key", "254711000060", b"+254711000060".hex()):
        assert secret not in rows


async def test_a_key_is_freed_once_for_each_attempt_that_changed_nothing(used: IdempotencyKeys) -> None:
    """Two callers that saw the same attempt fail share the next one; the body stays the first."""
    first = await used.workflow_id("api", "open", "key-1", b"body")
    await asyncio.gather(used.try_again(first), used.try_again(first))
    second = await used.workflow_id("api", "open", "key-1", b"body")
    assert second != first
    await used.try_again(first)
    assert await used.workflow_id("api", "open", "key-1", b"body") == second
    with pytest.raises(IdempotencyKeyReused):
        await used.workflow_id("api", "open", "key-1", b"other")
