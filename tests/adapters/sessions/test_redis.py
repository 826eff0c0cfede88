"""The Redis store when something goes wrong: with the real Redis, and a bad road to it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.sessions.redis import RedisSessionStore
from tests.adapters.sessions.support import Fault, Road
from ussd_engine.errors import SettingsError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.redis_fixtures import RedisServer

LONG_MS = 60_000


@pytest.fixture
async def road(redis_server: RedisServer, redis_url: str) -> AsyncIterator[Road]:
    road = Road(redis_server.socket)
    yield road
    await road.close()


@pytest.fixture
async def store(road: Road) -> AsyncIterator[RedisSessionStore]:
    store = RedisSessionStore(f"redis://127.0.0.1:{await road.open()}/0", timeout_s=5)
    await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    yield store
    await store.close()


@pytest.mark.parametrize("kind", ["drop", "swallow"])
async def test_a_save_goes_through_although_the_connection_drops(
    store: RedisSessionStore, road: Road, kind: str
) -> None:
    """A dropped connection fails no save, whether Redis had run it already or never saw it."""
    road.faults.append(Fault(b"two", "drop" if kind == "drop" else "swallow"))
    assert await store.save("a", b"two", expected=b"one", ttl_ms=LONG_MS)
    assert await store.load("a") == b"two"
    assert road.connections == 2


async def test_a_new_session_goes_through_although_its_answer_is_lost(
    store: RedisSessionStore, road: Road
) -> None:
    """The first save of a session, applied but not answered, is a success when it is sent again."""
    road.faults.append(Fault(b"first", "swallow"))
    assert await store.save("b", b"first", expected=None, ttl_ms=LONG_MS)


async def test_a_save_that_lost_its_answer_and_then_the_race_is_refused(
    store: RedisSessionStore, road: Road, redis_server: RedisServer
) -> None:
    """When another writer has replaced what is stored, the save that is sent again does not count as stored."""

    def overtake() -> None:
        with redis_server.admin() as client:
            client.set("ussd:session:a", b"three")

    road.faults.append(Fault(b"two", "swallow", then=overtake))
    assert not await store.save("a", b"two", expected=b"one", ttl_ms=LONG_MS)
    assert await store.load("a") == b"three"


async def test_a_race_stays_lost_when_its_answer_is_lost(store: RedisSessionStore, road: Road) -> None:
    """A save that Redis refused, with the answer lost, is refused again."""
    road.faults.append(Fault(b"two", "swallow"))
    assert not await store.save("a", b"two", expected=b"wrong", ttl_ms=LONG_MS)


async def test_a_load_goes_through_although_the_connection_drops(
    store: RedisSessionStore, road: Road
) -> None:
    """A load is sent again on a new connection."""
    road.faults.append(Fault(b"GET", "swallow", times=2))
    assert await store.load("a") == b"one"


async def test_a_connection_that_always_drops_is_given_up(store: RedisSessionStore, road: Road) -> None:
    """After a bounded number of tries the store is unavailable, and it recovers by itself."""
    road.faults.append(Fault(b"GET", "drop", times=4))
    with pytest.raises(StoreUnavailable, match="3 times"):
        await store.load("a")
    assert await store.load("a") == b"one"


async def test_a_silent_redis_is_given_up_in_time(road: Road) -> None:
    """No answer within the timeout is StoreUnavailable; the next call uses a new connection."""
    store = RedisSessionStore(f"redis://127.0.0.1:{await road.open()}", timeout_s=1)
    await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    road.faults.append(Fault(b"GET", "hang"))
    with pytest.raises(StoreUnavailable, match=r"in 1 s"):
        await store.load("a")
    assert await store.load("a") == b"one"
    await store.close()


async def test_who_waits_behind_a_silent_command_is_served(road: Road) -> None:
    """A command that was sent later on the same silent connection still has its own time, and is sent again."""
    store = RedisSessionStore(f"redis://127.0.0.1:{await road.open()}", timeout_s=1)
    await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    road.faults.append(Fault(b"GET", "hang"))
    first = asyncio.create_task(store.load("b"))
    await road.hanging.wait()
    await asyncio.sleep(0.5)
    assert await store.load("a") == b"one"
    with pytest.raises(StoreUnavailable):
        await first
    await store.close()


async def test_an_answer_that_came_while_the_loop_stood_still_counts(redis_url: str) -> None:
    """When the process itself was held up beyond the timeout, the answer that waits in the socket is taken."""
    store = RedisSessionStore(redis_url, timeout_s=0.1)
    await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    far, near = socket.socketpair()
    loop = asyncio.get_running_loop()

    def hold_up() -> None:  # after the loop has looked at its sockets, and before it looks at its timers
        near.recv(1)
        time.sleep(0.3)

    with far, near:
        loop.add_reader(near, hold_up)
        load = asyncio.create_task(store.load("a"))
        await asyncio.sleep(0)
        far.send(b"x")
        assert await load == b"one"
        loop.remove_reader(near)
    await store.close()


async def test_an_answer_never_reaches_another_caller(redis_url: str) -> None:
    """However many callers give up half-way, everyone else gets the value of their own key."""
    store = RedisSessionStore(redis_url, timeout_s=5)
    for number in range(100):
        await store.save(f"key {number}", f"value {number}".encode(), expected=None, ttl_ms=LONG_MS)
    for gap in (2, 3, 5):
        loads = [asyncio.create_task(store.load(f"key {number}")) for number in range(100)]
        await asyncio.sleep(0)  # all are sent, none is answered
        for load in loads[::gap]:
            load.cancel()
        results = await asyncio.gather(*loads, return_exceptions=True)
        for number, result in enumerate(results):
            if number % gap == 0:
                assert isinstance(result, asyncio.CancelledError)
            else:
                assert result == f"value {number}".encode()
    await store.close()


async def test_giving_up_while_connecting_hurts_nobody(redis_url: str) -> None:
    """Callers that give up while the connection is opened leave it to the others."""
    store = RedisSessionStore(redis_url, timeout_s=5)
    loads = [asyncio.create_task(store.load("a")) for _ in range(10)]
    await _until_connecting(store)
    for load in loads[:9]:
        load.cancel()
    assert await loads[9] is None
    await store.close()


async def test_a_redis_that_is_still_loading_is_waited_for(store: RedisSessionStore, road: Road) -> None:
    """LOADING is not an answer for a subscriber: the command is sent again when Redis is ready."""
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    road.faults.append(Fault(b"GET", "answer", text=loading))
    road.faults.append(Fault(b"PING", "answer", times=3, text=loading))
    assert await store.load("a") == b"one"


@pytest.mark.parametrize("code", ["LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "BUSY"])
async def test_a_redis_that_does_not_get_ready_is_unavailable(
    store: RedisSessionStore, road: Road, code: str
) -> None:
    """Errors that may pass are tried again a bounded number of times; then the store is unavailable."""
    road.faults.append(Fault(b"GET", "answer", times=9, text=f"-{code} not now\r\n".encode()))
    with pytest.raises(StoreUnavailable, match=code):
        await store.load("a")


async def test_a_replica_takes_no_session(own_redis: RedisServer) -> None:
    """A server that became a replica makes saves fail as unavailable; as a primary again it takes them."""
    store = RedisSessionStore(own_redis.url, timeout_s=5)
    await store.ping()
    with own_redis.admin() as client:
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(StoreUnavailable, match="READONLY"):
            await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
        client.replicaof("NO", "ONE")
    assert await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    await store.close()


async def test_a_full_redis_is_unavailable(own_redis: RedisServer) -> None:
    """When Redis has no memory left, a save fails at once, and what is stored can still be read."""
    store = RedisSessionStore(own_redis.url, timeout_s=5)
    await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    with own_redis.admin() as client:
        client.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="OOM"):
        await store.save("a", b"two", expected=b"one", ttl_ms=LONG_MS)
    assert await store.load("a") == b"one"
    await store.close()


async def test_a_forgotten_script_is_sent_again(store: RedisSessionStore, redis_server: RedisServer) -> None:
    """When Redis has dropped its scripts, saves go on without the caller noticing, and the race rules hold."""
    with redis_server.admin() as client:
        client.script_flush()
    assert not await store.save("a", b"one", expected=b"wrong", ttl_ms=LONG_MS)
    with redis_server.admin() as client:
        client.script_flush()
    assert not await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    assert await store.save("a", b"two", expected=b"one", ttl_ms=LONG_MS)


async def test_a_foreign_key_is_refused_without_naming_it(
    store: RedisSessionStore, redis_server: RedisServer
) -> None:
    """A key that holds something else is no session, and is not overwritten: an error without a word of the key."""
    with redis_server.admin() as client:
        client.lpush("ussd:session:+254700000001", "x")
    assert await store.load("+254700000001") is None
    with pytest.raises(StoreUnavailable, match="WRONGTYPE") as caught:
        await store.save("+254700000001", b"one", expected=None, ttl_ms=LONG_MS)
    assert "2547" not in f"{caught.value}{caught.value.__cause__}"


async def test_garbage_from_the_other_side_is_survived(
    store: RedisSessionStore, road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are not Redis' protocol, or an answer too many, end the connection and not the store."""
    road.faults.append(Fault(b"GET", "answer", text=b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert await store.load("a") == b"one"
    road.faults.append(Fault(b"GET", "answer", text=b"*2\r\n$3\r\none\r\n$-1\r\n$4\r\nmore\r\n"))
    assert await store.load("a") == b"one"
    assert await store.load("missing") is None
    assert not caplog.records, "the event loop met an error that nobody handled"


async def test_the_session_goes_on_after_a_restart(own_redis: RedisServer) -> None:
    """Redis restarted in mid-session: a call made while it is away is answered when it is back."""
    store = RedisSessionStore(own_redis.url, timeout_s=10)
    await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    own_redis.kill()
    saving = asyncio.create_task(store.save("a", b"two", expected=b"one", ttl_ms=LONG_MS))
    await asyncio.sleep(0.05)
    own_redis.start()
    assert await saving
    assert await store.load("a") == b"two"
    await store.close()


async def test_a_redis_that_is_away_is_unavailable_until_it_is_back(own_redis: RedisServer) -> None:
    """Without Redis every call fails as StoreUnavailable, and when it is back the same store works."""
    store = RedisSessionStore(own_redis.url, timeout_s=0.3)
    await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    own_redis.kill()
    calls = [store.load("a"), store.save("a", b"two", expected=b"one", ttl_ms=LONG_MS), store.ping()]
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, StoreUnavailable)
    own_redis.start()
    assert await store.load("a") == b"one"
    await store.close()


async def test_a_redis_that_never_was_is_unavailable(tmp_path: Path) -> None:
    """The reconnect tries are bounded, also when the timeout would allow more."""
    store = RedisSessionStore(f"unix://{tmp_path}/none.sock", timeout_s=60)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await store.load("a")
    await store.close()


async def test_a_closed_store_says_so(redis_url: str) -> None:
    """Calls under way when the store is closed, and later ones, fail as StoreUnavailable."""
    store = RedisSessionStore(redis_url, timeout_s=5)
    connecting = asyncio.create_task(store.load("a"))
    await _until_connecting(store)
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await connecting
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.load("a")
    open_store = RedisSessionStore(redis_url, timeout_s=5)
    await open_store.ping()
    sent = asyncio.create_task(open_store.load("a"))
    await asyncio.sleep(0)
    await open_store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await sent


async def test_credentials_come_from_the_url(own_redis: RedisServer) -> None:
    """The password of the URL opens the store; a wrong one is refused, and is not repeated in the error."""
    with own_redis.admin() as client:
        client.config_set("requirepass", "right/secret")
    store = RedisSessionStore(f"unix://:right%2Fsecret@{own_redis.socket}", timeout_s=5)
    assert await store.save("a", b"one", expected=None, ttl_ms=LONG_MS)
    await store.close()
    for wrong in (f"unix://:wrong-secret@{own_redis.socket}", own_redis.url):
        refused = RedisSessionStore(wrong, timeout_s=5)
        with pytest.raises(StoreUnavailable, match="refuses the login") as caught:
            await refused.load("a")
        assert "secret" not in str(caught.value)
        await refused.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "redis://:top-secret@127.0.0.1:port",
        "redis://:top-secret@127.0.0.1/0?no_such_option=1",
        "",
    ],
)
def test_a_url_that_is_none_is_a_setting_to_mend(url: str) -> None:
    """A wrong redis.url is told apart from a Redis that is away, and its password is not shown."""
    with pytest.raises(SettingsError, match=r"redis\.url") as caught:
        RedisSessionStore(url, timeout_s=5)
    assert "secret" not in str(caught.value)


async def test_tls_is_checked(road: Road, tmp_path: Path) -> None:
    """rediss:// works with a certificate that the URL's authority signed, and with no other."""
    port = await road.open(_server_tls(tmp_path))
    trusted = RedisSessionStore(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/cert.pem", timeout_s=5)
    assert await trusted.save("a", b"x" * 20_000, expected=None, ttl_ms=LONG_MS)
    assert await trusted.load("a") == b"x" * 20_000
    await trusted.close()
    suspicious = RedisSessionStore(f"rediss://127.0.0.1:{port}", timeout_s=5)
    with pytest.raises(StoreUnavailable):
        await suspicious.load("a")
    await suspicious.close()


async def _until_connecting(store: RedisSessionStore) -> None:
    while store._link._connecting is None:
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # and all who call have come to wait for it


def _server_tls(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sample redis")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
