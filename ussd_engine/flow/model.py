"""The vocabulary of the flow language, as frozen models that refuse unknown keys.

The models say what may be written; whether names and targets exist is for `checks`. Each union is told apart by
the keys that are there, so that a finding speaks of one form only. Tags hold a space, which no key may: that is
how `loader` tells a tag in an error's path from a key.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, StrictInt, StrictStr, Tag

STATE_KINDS = ("menu", "ask", "list", "action", "call", "route", "end")
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,39}$"
"""Names of flows, states, data, outcomes: they stand in keys, logs and hop labels."""
LANGUAGE_PATTERN = r"^[a-z]{2,3}$"
KEY_PATTERN = r"^[0-9*#]{1,4}$"
SERVICE_CODE_PATTERN = r"^\*[0-9*]{1,30}#$"
REGION_PATTERN = r"^[A-Z]{2}$"
MAX_TEXT = 2_000
"""Characters in one text: a dozen pages; more is no USSD screen."""

FieldType = Literal["name", "text", "digits", "number", "choice", "date", "phone", "flag"]
DataType = Literal["name", "text", "digits", "number", "choice", "date", "phone", "pin", "flag", "list"]
MAX_ITEMS = 90
"""Of a list: each has a key of its own, below the usual key for more."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


PlainText = Annotated[StrictStr, Field(min_length=1, max_length=MAX_TEXT)]
Name = Annotated[StrictStr, Field(pattern=NAME_PATTERN)]
Language = Annotated[StrictStr, Field(pattern=LANGUAGE_PATTERN)]
Key = Annotated[StrictStr, Field(pattern=KEY_PATTERN)]
Expression = Annotated[StrictStr, Field(min_length=1, max_length=500)]
Scalar = StrictStr | StrictInt | StrictBool


def _by_shape(mapping: str, plain: str) -> Discriminator:
    return Discriminator(lambda value: mapping if isinstance(value, (dict, list)) else plain)


Text = Annotated[
    Annotated[dict[Language, PlainText], Tag("text per language")] | Annotated[PlainText, Tag("one text")],
    _by_shape("text per language", "one text"),
]
"""A text for each language, or one text where the flow has one language."""


class When(Model):
    when: Expression
    goto: Name


class Else(Model):
    otherwise: Name = Field(alias="else")


Case = Annotated[
    Annotated[Else, Tag("else case")] | Annotated[When, Tag("when case")],
    Discriminator(
        lambda value: "else case" if isinstance(value, Else) or "else" in _keys(value) else "when case"
    ),
]
Cases = Annotated[list[Case], Field(min_length=1, max_length=50)]
Goto = Annotated[
    Annotated[Cases, Tag("a list of cases")] | Annotated[Name, Tag("a state")],
    _by_shape("a list of cases", "a state"),
]


class ItemField(Model):
    """One value of each item of a list."""

    type: FieldType
    max: StrictInt | None = None
    min: StrictInt | None = None
    of: list[StrictStr] | None = None


class Data(Model):
    """One declared value. `max` and `min` count characters, or bound the value of a number.

    `max` of a list counts its items, each of which has the fields in `item`.
    """

    type: DataType
    max: StrictInt | None = None
    min: StrictInt | None = None
    of: list[StrictStr] | None = None
    secret: StrictBool = False
    default: Scalar | None = None
    region: Annotated[StrictStr, Field(pattern=REGION_PATTERN)] | None = None
    item: Annotated[dict[Name, ItemField], Field(min_length=1, max_length=20)] | None = None


class Accept(Model):
    """What an answer must be beyond its type. `when` is CEL over `answer`, the text as it was typed."""

    date: Literal["DDMMYYYY", "DDMMYY", "YYYYMMDD", "DD/MM/YYYY", "DD-MM-YYYY"] | None = None
    min_age: Annotated[StrictInt, Field(ge=0, le=150)] | None = None
    max_age: Annotated[StrictInt, Field(ge=0, le=150)] | None = None
    min: StrictInt | None = None
    max: StrictInt | None = None
    when: Expression | None = None


class Tries(Model):
    max: Annotated[StrictInt, Field(ge=1, le=20)]
    then: Name


class Option(Model):
    text: Text
    goto: Goto
    key: Key | None = None
    when: Expression | None = None
    set: dict[Name, Expression] = Field(default_factory=dict)


Switch = Literal["on", "off"]


class MenuState(Model):
    menu: Text
    options: Annotated[list[Option], Field(min_length=1, max_length=97)]
    back: Switch = "on"
    home: Switch = "on"


def keys_of(state: MenuState) -> list[str]:
    """The key of each option when all are shown: as written, else counted among those without one."""
    numbers = iter(range(1, len(state.options) + 1))
    return [option.key or str(next(numbers)) for option in state.options]


class AskState(Model):
    ask: Text
    save: Name
    goto: Goto
    accept: Accept = Field(default_factory=Accept)
    wrong: Text | None = None
    tries: Tries | None = None
    back: Switch = "on"
    home: Switch = "on"


class ListState(Model):
    """The items of the list `of`, numbered, and the fields of the chosen one that are kept."""

    list: Text
    of: Name
    item: Text
    save: Annotated[dict[Name, Name], Field(min_length=1)]
    empty: Name
    goto: Goto
    back: Switch = "on"
    home: Switch = "on"


class ActionState(Model):
    action: Annotated[StrictStr, Field(min_length=1, max_length=80)]
    inputs: dict[Name, Expression] = Field(default_factory=dict, alias="with")
    save: dict[Name, Name] = Field(default_factory=dict)
    outcomes: Annotated[dict[Name, Goto], Field(min_length=1)]


class CallState(Model):
    call: Name
    inputs: dict[Name, Expression] = Field(default_factory=dict, alias="with")
    save: dict[Name, Name] = Field(default_factory=dict)
    outcomes: Annotated[dict[Name, Goto], Field(min_length=1)]


class RouteState(Model):
    route: Cases


class EndState(Model):
    """With `outcome`, a called flow returns to its caller; the text is for when it was dialled itself."""

    end: Text | None
    outcome: Name | None = None


def _keys(value: Any) -> set[str]:
    return set(value) if isinstance(value, dict) else set()


def kind_of(value: Any) -> str:
    """The tag of a state: the one kind key that it holds. No tag ("state") when it holds none or several."""
    if isinstance(value, Model):
        kinds = [kind for kind in STATE_KINDS if kind in type(value).model_fields]
    else:
        kinds = [kind for kind in STATE_KINDS if kind in _keys(value)]
    return f"{kinds[0]} state" if len(kinds) == 1 else "state"


State = Annotated[
    Annotated[MenuState, Tag("menu state")]
    | Annotated[AskState, Tag("ask state")]
    | Annotated[ListState, Tag("list state")]
    | Annotated[ActionState, Tag("action state")]
    | Annotated[CallState, Tag("call state")]
    | Annotated[RouteState, Tag("route state")]
    | Annotated[EndState, Tag("end state")],
    Discriminator(kind_of),
]


class NavigationKeys(Model):
    """The keys that the engine owns; `off` takes one away in the whole flow."""

    back: Key | Literal["off"] = "0"
    home: Key | Literal["off"] = "00"
    more: Key = "98"


class Phrases(Model):
    """The engine's own words, for a flow that wants others or has a language that the engine does not speak."""

    back: Text | None = None
    home: Text | None = None
    more: Text | None = None
    wrong_choice: Text | None = None
    wrong_answer: Text | None = None
    sorry: Text | None = None


class Flow(Model):
    flow: Name
    dial: list[Annotated[StrictStr, Field(pattern=SERVICE_CODE_PATTERN)]] = Field(default_factory=list)
    languages: Annotated[list[Language], Field(min_length=1, max_length=20)]
    start: Name
    home: Name | None = None
    inputs: list[Name] = Field(default_factory=list)
    outputs: list[Name] = Field(default_factory=list)
    data: dict[Name, Data] = Field(default_factory=dict)
    keys: NavigationKeys = Field(default_factory=NavigationKeys)
    texts: Phrases = Field(default_factory=Phrases)
    states: Annotated[dict[Name, State], Field(min_length=1, max_length=20_000)]
