"""A session as a value, and as the JSON that stands in the store.

Stored form (schema 1): one JSON object. Secret values are sealed, each bound to its session, flow and name; what
the subscriber typed is kept only as length and keyed digest. A session that has ended by itself keeps its
receipt alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec
import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from ussd_engine.errors import SessionCorrupt
from ussd_engine.runtime.program import Value
from ussd_engine.runtime.screen import Screen
from ussd_engine.sealing import KeyRing, SealBroken

SCHEMA = 1


class Secret:
    """A secret value: it shows itself to nobody who does not ask for it by name."""

    __slots__ = ("reveal",)

    def __init__(self, reveal: Value) -> None:
        self.reveal = reveal

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reveal == other.reveal

    def __hash__(self) -> int:
        return hash(self.reveal)


if TYPE_CHECKING:
    Data = Mapping[str, Value | Secret]
else:
    Data = dict  # what msgspec reads it as: any JSON object, whose values `loads` opens


class Frame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One flow being run: the dialled flow at the bottom, each called flow above its caller."""

    flow: str
    state: str
    data: Data = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Frame({self.flow}.{self.state})"  # the data is the subscriber's


class Mark(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A screen that was left behind: how deep in calls it stood, and its state."""

    depth: int
    state: str


class Session(Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag=SCHEMA):
    """Everything that is known of one session.

    `position` and `digest` are the length of the transcript so far and its keyed digest: together they identify
    the latest input. `acted` counts the actions that it has run, `version` the inputs. `replay` is the length of
    a transcript that is played from the start: its inputs beyond `position` are still to be played. `away` says
    that the subscriber has moved since the start or home; `wrong` that the screen shown tells of a wrong input;
    `asking` that it asks whether to go on with a session that was dropped; `told_pin` that a PIN was typed.
    `seen_at` is when the subscriber was last heard of, in seconds since the epoch; `shown_on` the date (ISO) when
    the screen was drawn, so that options are what they were on it. A session that another dial goes on with has
    `ended`, and keeps its `frames`.
    """

    gateway: str
    session_id: str
    phone_number: str
    service_code: str
    network: str
    revision: str
    language: str
    started_at: float
    frames: tuple[Frame, ...]
    history: tuple[Mark, ...] = ()
    page: int = 0
    tries: int = 0
    wrong: bool = False
    away: bool = False
    shown_on: str = ""
    version: int = 0
    position: int = 0
    digest: str = ""
    acted: int = 0
    replay: int = 0
    asking: bool = False
    told_pin: bool = False
    seen_at: float = 0.0
    receipt: Screen | None = None
    ended: bool = False

    @property
    def top(self) -> Frame:
        return self.frames[-1]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Session).decode


def dumps(session: Session, keys: KeyRing) -> bytes:
    """The stored form."""
    bound = f"{session.gateway}:{session.session_id}"
    frames = tuple([Frame(f.flow, f.state, _sealed(bound, f.flow, f.data, keys)) for f in session.frames])
    return _encode(replace(session, frames=frames))


def loads(raw: bytes, keys: KeyRing) -> Session:
    """Raises SessionCorrupt for anything that `dumps` did not write under a key of the ring."""
    try:
        session = _decode(raw)
        bound = f"{session.gateway}:{session.session_id}"
        for frame in session.frames:
            _open(bound, frame.flow, cast("dict[str, Any]", frame.data), keys)
    except SealBroken as error:
        raise SessionCorrupt(f"a stored session holds a secret that does not open: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError, ValueError, AttributeError):
        raise SessionCorrupt(_unread(raw)) from None
    return session


class _Schema(Struct):
    schema: int


def _unread(raw: bytes) -> str:
    try:
        schema = msgspec.json.decode(raw, type=_Schema).schema
    except (msgspec.DecodeError, UnicodeDecodeError):
        schema = SCHEMA
    if schema != SCHEMA:
        return f"a stored session has schema {schema}; this engine reads schema {SCHEMA}"
    return "a stored session is not of the form that this engine writes"


def places(raw: bytes) -> list[tuple[str, str]] | None:
    """Where a stored session stands, the dialled flow first: flow and state of every frame. None when it has ended.

    Nothing of its subscriber is looked at or opened. Raises SessionCorrupt.
    """
    try:
        data = orjson.loads(raw)
        if data["ended"]:
            return None
        return [(flow, state) for flow, state, _ in data["frames"]]
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError):
        raise SessionCorrupt("a stored session is not of the form that this engine writes") from None


def _context(bound: str, flow: str, name: str) -> str:
    return f"session:{bound}:{flow}.{name}"


def _sealed(bound: str, flow: str, data: Data, keys: KeyRing) -> dict[str, Any]:
    return {
        name: [keys.seal(orjson.dumps(value.reveal), _context(bound, flow, name))]
        if isinstance(value, Secret)
        else {"items": value}
        if isinstance(value, tuple)
        else value
        for name, value in data.items()
    }


def _open(bound: str, flow: str, data: dict[str, Any], keys: KeyRing) -> None:
    """In place: nobody else has seen what was just read."""
    for name, value in data.items():
        if type(value) is list:
            data[name] = Secret(orjson.loads(keys.open(value[0], _context(bound, flow, name))))
        elif type(value) is dict:
            data[name] = tuple(value["items"])
