"""What a flow may name that is not written in YAML: actions, and the values that are always given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Scalar = Literal["string", "int", "bool"]


@dataclass(frozen=True, slots=True)
class ListOf:
    """The kind of a list whose items have these fields."""

    fields: tuple[tuple[str, Scalar], ...]

    @classmethod
    def of(cls, **fields: Scalar) -> ListOf:
        return cls(tuple(sorted(fields.items())))

    def __str__(self) -> str:
        return "list of (" + ", ".join(f"{name}: {kind}" for name, kind in self.fields) + ")"


Kind = Scalar | ListOf
"""The kinds of value that conditions and actions know."""

KIND_OF_TYPE: Mapping[str, Scalar] = {
    "name": "string",
    "text": "string",
    "digits": "string",
    "choice": "string",
    "date": "string",  # ISO 8601, so that text order is time order
    "phone": "string",  # E.164
    "pin": "string",
    "number": "int",
    "flag": "bool",
}

GIVEN_TYPES: Mapping[str, str] = {
    "language": "choice",
    "today": "date",
    "session.phone": "phone",
    "session.network": "digits",
    "session.service_code": "text",
}
"""Values that every condition and text may read: the language in use, the date (ISO, UTC) and facts of the session."""

GIVEN: Mapping[str, Kind] = {name: KIND_OF_TYPE[type_] for name, type_ in GIVEN_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Input:
    """`secret` inputs may take secret data; any other input would let a secret out.

    A `phone` takes the caller's number or data of `type: phone`, and no other text: it says whose money moves.
    """

    kind: Kind = "string"
    required: bool = True
    secret: bool = False
    phone: bool = False


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What a flow must know of an action: its inputs, and for each outcome the outputs that come with it.

    `effect` says that the action changes something outside: the session is saved before it runs, it runs as a
    durable workflow, and `pending` is one of its outcomes.
    """

    name: str
    effect: bool
    inputs: Mapping[str, Input] = field(default_factory=dict)
    outcomes: Mapping[str, Mapping[str, Kind]] = field(default_factory=dict)

    @property
    def outputs(self) -> Mapping[str, Kind]:
        return {name: kind for given in self.outcomes.values() for name, kind in given.items()}
