"""The rules of the port SessionStore, held against every store."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from adapters.sessions.memory import MemorySessionStore
from adapters.sessions.redis import RedisSessionStore
from tests.adapters.sessions.support import HandClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ussd_engine.ports import SessionStore

LONG_MS = 60_000
SHORT_MS = 40


@dataclass
class Subject:
    """A store, and how to wait for the end of a time to live of SHORT_MS."""

    store: SessionStore
    until_gone: Callable[[str], Awaitable[None]]


@pytest.fixture(params=["memory", "redis"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        clock = HandClock()

        async def jump(key: str) -> None:
            clock.advance(SHORT_MS / 1000)

        yield Subject(MemorySessionStore(clock), jump)
        return
    store = RedisSessionStore(request.getfixturevalue("redis_url"), timeout_s=5)

    async def poll(key: str) -> None:
        async with asyncio.timeout(20):
            while await store.load(key) is not None:
                await asyncio.sleep(0.01)

    yield Subject(store, poll)
    await store.close()


@pytest.fixture
def store(subject: Subject) -> SessionStore:
    return subject.store


async def test_nothing_is_stored_at_first(store: SessionStore) -> None:
    """A key that was never saved loads as None."""
    assert await store.load("a") is None


@pytest.mark.parametrize(
    "value", [b"", b"\0", b"a\0b\r\n$3\r\n", bytes(range(256)) * 256], ids=["empty", "nul", "resp", "64k"]
)
async def test_a_value_comes_back_as_it_was(store: SessionStore, value: bytes) -> None:
    """Any bytes are stored as they are, and can be expected as they are."""
    assert await store.save("a", value, expected=None, ttl_ms=LONG_MS)
    assert await store.load("a") == value
    assert await store.save("a", b"next", expected=value, ttl_ms=LONG_MS)
    assert await store.load("a") == b"next"


async def test_an_existing_session_is_not_overwritten_as_new(store: SessionStore) -> None:
    """Expecting nothing fails when something is stored, be it the empty value."""
    await store.save("a", b"", expected=None, ttl_ms=LONG_MS)
    assert not await store.save("a", b"other", expected=None, ttl_ms=LONG_MS)
    assert await store.load("a") == b""


async def test_the_same_bytes_twice_have_one_first_writer(store: SessionStore) -> None:
    """Even a value equal to the stored one is refused when another one was expected."""
    await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    assert not await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)


async def test_a_lost_session_is_not_continued(store: SessionStore) -> None:
    """Expecting a value fails when nothing is stored, even when the empty value was expected."""
    assert not await store.save("a", b"two", expected=b"one", ttl_ms=LONG_MS)
    assert not await store.save("a", b"two", expected=b"", ttl_ms=LONG_MS)
    assert await store.load("a") is None


async def test_a_stale_writer_changes_nothing(store: SessionStore) -> None:
    """A save that expects an older value is refused, and the stored value stays."""
    await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    await store.save("a", b"two", expected=b"one", ttl_ms=LONG_MS)
    assert not await store.save("a", b"three", expected=b"one", ttl_ms=LONG_MS)
    assert await store.load("a") == b"two"


async def test_keys_do_not_meet(store: SessionStore) -> None:
    """Each key has its own value, whatever characters it is made of."""
    keys = ["a", "a:b", "a b", "", "ü*#", "a\r\nb"]
    for key in keys:
        assert await store.save(key, key.encode(), expected=None, ttl_ms=LONG_MS)
    assert [await store.load(key) for key in keys] == [key.encode() for key in keys]


@pytest.mark.parametrize("stored", [None, b"before"])
async def test_of_many_racing_writers_one_wins(store: SessionStore, stored: bytes | None) -> None:
    """Fifty saves with the same expected value at once: one succeeds, and its value is the stored one."""
    if stored is not None:
        await store.save("a", stored, expected=None, ttl_ms=LONG_MS)
    values = [f"writer {number}".encode() for number in range(50)]
    results = await asyncio.gather(
        *(store.save("a", value, expected=stored, ttl_ms=LONG_MS) for value in values)
    )
    assert results.count(True) == 1
    assert await store.load("a") == values[results.index(True)]


async def test_a_session_is_forgotten_after_its_time(subject: Subject) -> None:
    """When its time to live is over, a value is gone, and the key is free for a new session."""
    await subject.store.save("a", b"one", expected=None, ttl_ms=SHORT_MS)
    await subject.until_gone("a")
    assert await subject.store.load("a") is None
    assert not await subject.store.save("a", b"two", expected=b"one", ttl_ms=LONG_MS)
    assert await subject.store.save("a", b"two", expected=None, ttl_ms=LONG_MS)


async def test_each_save_sets_the_time_anew(subject: Subject) -> None:
    """A later save replaces the time to live, also when it stores the same value again."""
    for key, value in (("same", b"one"), ("other", b"two")):
        await subject.store.save(key, b"one", expected=None, ttl_ms=SHORT_MS)
        assert await subject.store.save(key, value, expected=b"one", ttl_ms=LONG_MS)
    await subject.store.save("witness", b"", expected=None, ttl_ms=SHORT_MS)
    await subject.until_gone("witness")
    assert await subject.store.load("same") == b"one"
    assert await subject.store.load("other") == b"two"


async def test_a_refused_save_does_not_prolong(subject: Subject) -> None:
    """A save that is refused leaves the time to live as it was."""
    await subject.store.save("a", b"one", expected=None, ttl_ms=SHORT_MS)
    assert not await subject.store.save("a", b"two", expected=b"wrong", ttl_ms=LONG_MS)
    await subject.until_gone("a")
    assert await subject.store.load("a") is None


async def test_each_gives_every_live_value_once(subject: Subject) -> None:
    """However many there are; neither the mark nor a value whose time is up is among them."""
    store, many = subject.store, {f"{number}".encode() for number in range(2_000)}
    await store.set_mark(b"mark")
    await store.save("gone", b"gone", expected=None, ttl_ms=SHORT_MS)
    for value in many:
        await store.save(f"key-{value.decode()}", value, expected=None, ttl_ms=LONG_MS)
    await subject.until_gone("gone")
    found = [value async for value in store.each()]
    assert len(found) == len(many)
    assert set(found) == many


async def test_each_of_an_empty_store_is_nothing(store: SessionStore) -> None:
    """Nothing is made up."""
    assert [value async for value in store.each()] == []


async def test_a_mark_is_seen_with_the_next_load(store: SessionStore) -> None:
    """It is another thing than a session, and stays until there is another mark."""
    await store.load("a")
    assert store.mark is None
    await store.set_mark(b"one")
    await store.save("a", b"session", expected=None, ttl_ms=LONG_MS)
    for key, value in (("a", b"session"), ("b", None)):
        assert await store.load(key) == value
        assert store.mark == b"one"
    await store.set_mark(b"two")
    await store.load("a")
    assert store.mark == b"two"


@pytest.mark.parametrize("ttl_ms", [0, -1])
async def test_a_session_without_time_is_a_mistake(store: SessionStore, ttl_ms: int) -> None:
    """A time to live below one millisecond is an error of the caller, not a session that vanishes."""
    with pytest.raises(ValueError, match="ttl_ms"):
        await store.save("a", b"one", expected=None, ttl_ms=ttl_ms)


async def test_a_store_that_works_answers_a_ping(store: SessionStore) -> None:
    """Ping returns when the store is there."""
    await store.ping()


async def test_closing_twice_is_harmless(store: SessionStore) -> None:
    """A store may be closed again."""
    await store.close()
    await store.close()
