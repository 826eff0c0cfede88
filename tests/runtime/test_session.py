"""Rules of a stored session: it comes back as it was, keeps its secrets, and nothing else passes for one."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.runtime.parts import BLANK, KEYS
from ussd_engine.errors import SessionCorrupt
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.session import Frame, Mark, Secret, Session, dumps, loads
from ussd_engine.sealing import KeyRing

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
value = text | st.integers(-(10**18), 10**18) | st.booleans()
counts = st.integers(0, 10**6)
frames = st.builds(Frame, text, text, st.dictionaries(text, value | value.map(Secret), max_size=4))
sessions = st.builds(
    Session,
    gateway=text,
    session_id=text,
    phone_number=text,
    service_code=text,
    network=text,
    revision=text,
    language=text,
    started_at=st.floats(0, 1e11),
    frames=st.lists(frames, max_size=4).map(tuple),
    history=st.lists(st.builds(Mark, counts, text), max_size=4).map(tuple),
    page=counts,
    tries=counts,
    wrong=st.booleans(),
    away=st.booleans(),
    shown_on=text,
    version=counts,
    position=counts,
    digest=text,
    acted=counts,
    replay=counts,
    receipt=st.none() | st.builds(Screen, text, st.booleans(), text),
    ended=st.booleans(),
)
WITH_SECRET = replace(
    BLANK, frames=(Frame("sample", "hello", {"code": Secret("8350"), "town": "Thika"}),), version=3
)


@given(sessions)
def test_session_comes_back_as_it_was(session: Session) -> None:
    """Any session that is stored is read as the same session."""
    assert loads(dumps(session, KEYS), KEYS) == session


def test_secret_is_sealed_and_shows_itself_to_nobody() -> None:
    """Neither the stored bytes nor any repr holds a secret; other data is readable for operators."""
    raw = dumps(WITH_SECRET, KEYS)
    assert b"8350" not in raw
    assert b"Thika" in raw
    assert "8350" not in repr(WITH_SECRET) + repr(WITH_SECRET.top) + repr(WITH_SECRET.top.data)
    assert str(Secret("8350")) == repr(Secret("8350")) == f"{Secret('8350')}" == "Secret(***)"


def test_secrets_compare_by_value() -> None:
    """Two sessions with the same secret are the same; a secret is never equal to its bare value."""
    assert Secret("1") == Secret("1")
    assert hash(Secret("1")) == hash(Secret("1"))
    assert Secret("1") != Secret("2")
    assert Secret("1") != "1"


def test_same_secret_is_stored_differently_each_time() -> None:
    """Equal PINs of two sessions cannot be seen in the store."""
    assert dumps(WITH_SECRET, KEYS) != dumps(WITH_SECRET, KEYS)


def stored(change: dict[str, Any]) -> bytes:
    return orjson.dumps({**orjson.loads(dumps(WITH_SECRET, KEYS)), **change})


def sealed() -> str:
    secret: str = orjson.loads(dumps(WITH_SECRET, KEYS))["frames"][0][2]["code"][0]
    return secret


@pytest.mark.parametrize(
    "frames",
    [
        [["sample", "hello", {"other": [sealed()]}]],
        [["other", "hello", {"code": [sealed()]}]],
        [["sample", "hello", {"code": [sealed()[:-4] + "AAA="]}]],
        [["sample", "hello", {"code": ["k1." + "A" * 40]}]],
        [["sample", "hello", {"code": ["k1.!"]}]],
        [["sample", "hello", {"code": ["k1."]}]],
        [["sample", "hello", {"code": ["k9." + sealed()[3:]]}]],
    ],
    ids=["another name", "another flow", "tampered", "forged", "no base64", "empty", "unknown key"],
)
def test_moved_or_changed_secret_is_refused(frames: list[Any]) -> None:
    """A secret opens in its own session, flow and name only."""
    with pytest.raises(SessionCorrupt, match="holds a secret that does not open"):
        loads(stored({"frames": frames}), KEYS)


@pytest.mark.parametrize("change", [{"session_id": "sample-2"}, {"gateway": "other"}])
def test_secret_of_another_session_is_refused(change: dict[str, str]) -> None:
    """A secret that is copied into another session does not open there."""
    with pytest.raises(SessionCorrupt, match="holds a secret that does not open"):
        loads(stored(change), KEYS)


def test_keys_rotate() -> None:
    """A new key in front seals; sessions under the old key still open, and no more when it is dropped."""
    raw = dumps(WITH_SECRET, KEYS)
    both = KeyRing.of(b"i" * 32, {"k2": b"t" * 32, "k1": b"s" * 32})
    assert loads(raw, both) == WITH_SECRET
    assert b'"k2.' in dumps(WITH_SECRET, both)
    with pytest.raises(SessionCorrupt, match="'k1', which is not in the key ring"):
        loads(raw, KeyRing.of(b"i" * 32, {"k2": b"t" * 32}))


def test_unknown_schema_is_refused() -> None:
    """A session of a later engine is not guessed at."""
    with pytest.raises(SessionCorrupt, match="has schema 2; this engine reads schema 1"):
        loads(stored({"schema": 2}), KEYS)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"schema":1}',
        stored({"more": 1}),
        stored({"frames": None}),
        stored({"frames": [["sample"]]}),
        stored({"frames": [["sample", "hello", []]]}),
        stored({"frames": [["sample", "hello", {"code": []}]]}),
        stored({"frames": [["sample", "hello", {"code": [5]}]]}),
        stored({"history": [1]}),
        stored({"history": [[1]]}),
        stored({"receipt": ["x"]}),
        stored({"receipt": 5}),
        stored({"session_id": None}),
    ],
)
def test_other_bytes_are_no_session(raw: bytes) -> None:
    """Whatever the store gives back, it is a session or SessionCorrupt, whose message tells nothing of it."""
    with pytest.raises(SessionCorrupt) as caught:
        loads(raw, KEYS)
    assert BLANK.phone_number not in str(caught.value)


json_values = st.recursive(value | st.none(), lambda inner: st.lists(inner) | st.dictionaries(text, inner))


@given(st.binary(max_size=80) | json_values.map(orjson.dumps))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    """Random bytes and random JSON are refused as corrupt."""
    with pytest.raises(SessionCorrupt):
        loads(raw, KEYS)
