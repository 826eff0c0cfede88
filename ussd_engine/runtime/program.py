"""Compiled flows: frozen, complete, and shared by all sessions that run on the same revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ussd_engine.flow.guards import Expression
from ussd_engine.flow.text import Slot
from ussd_engine.runtime.table import Table

Scalar = str | int | bool
Items = tuple[Mapping[str, Scalar], ...]
"""The value of a list: the fields of each item."""
Value = Scalar | Items
Template = tuple[str | Slot, ...]
Texts = Mapping[str, Template]
"""A text by language."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared value. `max` and `min` count characters, or bound a number; secrets are sealed at rest.

    `max` of a list counts its items, whose fields are in `item`.
    """

    name: str
    type: str
    secret: bool
    max: int | None
    min: int | None
    of: tuple[str, ...]
    region: str
    default: Value
    item: Mapping[str, Declared] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One way of a goto: the edge that it takes when its condition holds, or always."""

    when: Expression | None
    edge: str


Goto = tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Option:
    key: str | None
    text: Texts
    goto: Goto
    when: Expression | None
    sets: Mapping[str, Expression]


@dataclass(frozen=True, slots=True)
class Accept:
    date_format: str | None
    min_age: int | None
    max_age: int | None
    min: int | None
    max: int | None
    when: Expression | None


@dataclass(frozen=True, slots=True)
class Menu:
    name: str
    text: Texts
    options: tuple[Option, ...]
    keys: frozenset[str]
    """Of the options, when all are shown."""
    back: str | None
    home: str | None
    static: bool
    """No placeholder and no condition: the pages depend on language and keys alone. So for `Ask` and `End`."""


@dataclass(frozen=True, slots=True)
class Ask:
    name: str
    text: Texts
    save: Declared
    accept: Accept
    wrong: Texts
    max_tries: int | None
    goto: Goto
    back: str | None
    home: str | None
    static: bool


@dataclass(frozen=True, slots=True)
class List:
    """`save` maps the names of values to the fields of the chosen item that they take."""

    name: str
    text: Texts
    of: str
    item: Texts
    save: Mapping[str, str]
    goto: Goto
    back: str | None
    home: str | None


@dataclass(frozen=True, slots=True)
class Action:
    name: str
    action: str
    effect: bool
    inputs: Mapping[str, Expression]
    save: Mapping[str, str]
    gotos: Mapping[str, Goto]


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    flow: str
    inputs: Mapping[str, Expression]
    save: Mapping[str, str]
    gotos: Mapping[str, Goto]


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    goto: Goto


@dataclass(frozen=True, slots=True)
class End:
    name: str
    text: Texts | None
    outcome: str | None
    static: bool


Node = Menu | Ask | List | Action | Call | Route | End


@dataclass(frozen=True, slots=True)
class CompiledFlow:
    """One flow. `phrases` are the engine's words in the flow's languages; `more` is the key for the next page.

    `resume` says what becomes of a session that was dropped when its subscriber dials again within `resume_within_s`.
    """

    name: str
    start: str
    home: str
    languages: tuple[str, ...]
    data: Mapping[str, Declared]
    nodes: Mapping[str, Node]
    table: Table
    phrases: Mapping[str, Texts]
    more: str
    resume: str
    resume_within_s: float


@dataclass(frozen=True, slots=True)
class Program:
    """All flows of a folder. `revision` is a digest of the folder's content: the same flows, the same revision."""

    revision: str
    flows: Mapping[str, CompiledFlow]
    dial: Mapping[str, str]
    """Service code to the flow that it starts."""
    pages: dict[tuple[object, ...], tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)
    """Pages of static screens, filled as they are first shown; bounded by the screens of the program."""


def beginning_in(program: Program, language: str) -> Program:
    """The same program, where each flow that has the language has it first: sessions begin in it."""
    flows = {
        name: replace(flow, languages=(language, *(other for other in flow.languages if other != language)))
        if language in flow.languages
        else flow
        for name, flow in program.flows.items()
    }
    return replace(program, flows=flows, pages={})
