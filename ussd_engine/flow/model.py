"""The vocabulary of the flow language, as frozen models that refuse unknown keys.

The models say what may be written; whether names and targets exist is for `checks`. Each union is told apart by
the keys that are there, so that a finding speaks of one form only. Tags hold a space, which no key may: that is
how `loader` tells a tag in an error's path from a key. The text below a key, and that of a class, is what an
editor shows to an author: see `schema`.
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
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


PlainText = Annotated[StrictStr, Field(min_length=1, max_length=MAX_TEXT)]
Name = Annotated[StrictStr, Field(pattern=NAME_PATTERN)]
Language = Annotated[StrictStr, Field(pattern=LANGUAGE_PATTERN)]
Key = Annotated[StrictStr, Field(pattern=KEY_PATTERN)]
Expression = Annotated[StrictStr, Field(min_length=1, max_length=500)]


def _by_shape(mapping: str, plain: str) -> Discriminator:
    return Discriminator(lambda value: mapping if isinstance(value, (dict, list)) else plain)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "a flag"
    return "a number" if isinstance(value, int) else "a text"


Scalar = Annotated[
    Annotated[StrictStr, Tag("a text")]
    | Annotated[StrictInt, Tag("a number")]
    | Annotated[StrictBool, Tag("a flag")],
    Discriminator(_scalar),
]

Text = Annotated[
    Annotated[dict[Language, PlainText], Tag("text per language")] | Annotated[PlainText, Tag("one text")],
    _by_shape("text per language", "one text"),
]
"""A text for each language, or one text where the flow has one language."""


class When(Model):
    """A case with a condition."""

    when: Expression
    """The condition, in CEL over the data: "amount > 100"."""
    goto: Name
    """The state to go on with when the condition holds."""


class Else(Model):
    """The last case, for when no condition holds."""

    otherwise: Name = Field(alias="else")
    """The state to go on with when no case before holds."""


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
    """One value of each item of a list. 'max' and 'min' count characters, or bound the value of a number."""

    type: FieldType
    """What it holds."""
    max: StrictInt | None = None
    """The most characters, or the largest number."""
    min: StrictInt | None = None
    """The fewest characters, or the smallest number."""
    of: list[StrictStr] | None = None
    """What a choice may be. Only for 'type: choice'."""


class Data(Model):
    """One declared value. 'max' and 'min' count characters, or bound the value of a number."""

    type: DataType
    """What it holds, and so what a subscriber may type for it."""
    max: StrictInt | None = None
    """The most characters, or the largest number."""
    min: StrictInt | None = None
    """The fewest characters, or the smallest number."""
    of: list[StrictStr] | None = None
    """What a choice may be. Only for 'type: choice'."""
    secret: StrictBool = False
    """Sealed when it is stored, never shown and never logged. A PIN always is."""
    default: Scalar | None = None
    """What it is before anything fills it."""
    region: Annotated[StrictStr, Field(pattern=REGION_PATTERN)] | None = None
    """The country of numbers that are typed without one, such as KE. Only for 'type: phone'."""
    item: Annotated[dict[Name, ItemField], Field(min_length=1, max_length=20)] | None = None
    """What each item holds, by name. Only for 'type: list', whose 'max' counts its items."""


class Accept(Model):
    """What an answer must be beyond its type. 'when' is CEL over 'answer', the text as it was typed."""

    date: Literal["DDMMYYYY", "DDMMYY", "YYYYMMDD", "DD/MM/YYYY", "DD-MM-YYYY"] | None = None
    """How a date is typed."""
    min_age: Annotated[StrictInt, Field(ge=0, le=150)] | None = None
    """Full years since the date, at least."""
    max_age: Annotated[StrictInt, Field(ge=0, le=150)] | None = None
    """Full years since the date, at most."""
    min: StrictInt | None = None
    """The fewest characters, or the smallest number."""
    max: StrictInt | None = None
    """The most characters, or the largest number."""
    when: Expression | None = None
    """A condition in CEL that the answer must meet: "answer != '0000'"."""


class Tries(Model):
    """How often a wrong answer may be given."""

    max: Annotated[StrictInt, Field(ge=1, le=20)]
    """Wrong answers until the session goes on with 'then'."""
    then: Name
    """The state to go on with after the last try."""


class Option(Model):
    """A line of a menu."""

    text: Text
    """What stands behind the key, in each language."""
    goto: Goto
    """The state to go on with, or a list of cases."""
    key: Key | None = None
    """The key that chooses it, in quotes: "0". Without one the options are numbered from 1."""
    when: Expression | None = None
    """A condition in CEL: the option is shown only where it holds."""
    set: dict[Name, Expression] = Field(default_factory=dict)
    """Data to fill when it is chosen: the name, and its value in CEL."""


Switch = Literal["on", "off"]


class MenuState(Model):
    """Shows a text with options, and waits for a choice."""

    menu: Text
    """The text above the options, in each language."""
    options: Annotated[list[Option], Field(min_length=1, max_length=97)]
    """What can be chosen, in the order in which it is shown."""
    back: Switch = "on"
    """'off' takes the key for back away here."""
    home: Switch = "on"
    """'off' takes the key for home away here."""


def keys_of(state: MenuState) -> list[str]:
    """The key of each option when all are shown: as written, else counted among those without one."""
    numbers = iter(range(1, len(state.options) + 1))
    return [option.key or str(next(numbers)) for option in state.options]


class AskState(Model):
    """Shows a text, and waits for an answer that is typed."""

    ask: Text
    """The question, in each language."""
    save: Name
    """The data that the answer fills."""
    goto: Goto
    """The state to go on with, or a list of cases."""
    accept: Accept = Field(default_factory=Accept)
    """What the answer must be beyond its type."""
    wrong: Text | None = None
    """What is said above the question after a wrong answer, in each language."""
    tries: Tries | None = None
    """How often a wrong answer may be given; without it there is no limit."""
    back: Switch = "on"
    """'off' takes the key for back away here."""
    home: Switch = "on"
    """'off' takes the key for home away here."""


class ListState(Model):
    """Shows the items of a list, numbered and page by page, and waits for a choice."""

    list: Text
    """The text above the items, in each language."""
    of: Name
    """The data of 'type: list' that is shown."""
    item: Text
    """How each item is written, in each language; its placeholders are the fields of an item."""
    save: Annotated[dict[Name, Name], Field(min_length=1)]
    """What is kept of the chosen item: the data to fill, and the name of the field."""
    empty: Name
    """The state to go on with when the list has no items."""
    goto: Goto
    """The state to go on with after a choice, or a list of cases."""
    back: Switch = "on"
    """'off' takes the key for back away here."""
    home: Switch = "on"
    """'off' takes the key for home away here."""


class ActionState(Model):
    """Runs an action of the engine, and shows nothing."""

    action: Annotated[StrictStr, Field(min_length=1, max_length=80)]
    """The name of the action, such as account.open."""
    inputs: dict[Name, Expression] = Field(default_factory=dict, alias="with")
    """What the action is given: the name of its input, and a value in CEL."""
    save: dict[Name, Name] = Field(default_factory=dict)
    """What is kept of its answer: the data to fill, and the name of the output."""
    outcomes: Annotated[dict[Name, Goto], Field(min_length=1)]
    """Where to go on, for each outcome that the action may have."""


class CallState(Model):
    """Runs another flow and comes back."""

    call: Name
    """The name of the other flow."""
    inputs: dict[Name, Expression] = Field(default_factory=dict, alias="with")
    """What the other flow is given: the name of its input, and a value in CEL."""
    save: dict[Name, Name] = Field(default_factory=dict)
    """What is kept of what it gives back: the data to fill, and the name of the output."""
    outcomes: Annotated[dict[Name, Goto], Field(min_length=1)]
    """Where to go on, for each outcome that the other flow ends with."""


class RouteState(Model):
    """Goes on by conditions, and shows nothing."""

    route: Cases
    """The cases in their order; the first that holds is taken, and the last one is 'else'."""


class EndState(Model):
    """Ends. With 'outcome', a called flow returns to its caller; the text is for when it was dialled itself."""

    end: Text | None
    """The last text, in each language. Empty where a called flow returns without one."""
    outcome: Name | None = None
    """What the calling flow goes on by."""


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


KeyOrOff = Annotated[
    Annotated[Key, Tag("a key")] | Annotated[Literal["off"], Tag("no key")],
    Discriminator(lambda value: "no key" if value == "off" else "a key"),
]


class NavigationKeys(Model):
    """The keys that the engine owns; 'off' takes one away in the whole flow."""

    back: KeyOrOff = "0"
    """The key to the screen before."""
    home: KeyOrOff = "00"
    """The key to the home state of the flow."""
    more: Key = "98"
    """The key to the next page of a screen."""


class Phrases(Model):
    """The engine's own words, for a flow that wants others or has a language that the engine does not speak."""

    back: Text | None = None
    """Behind the key for back."""
    home: Text | None = None
    """Behind the key for home."""
    more: Text | None = None
    """Behind the key for the next page."""
    resume_question: Text | None = None
    """Said to who dials again after the line dropped, with 'resume: ask'."""
    resume_continue: Text | None = None
    """The choice to go on there."""
    resume_restart: Text | None = None
    """The choice to start again."""
    wrong_choice: Text | None = None
    """After a key that no option has."""
    wrong_answer: Text | None = None
    """After a wrong answer, where the state has no 'wrong'."""
    sorry: Text | None = None
    """When something failed and the session ends."""


class Flow(Model):
    """A menu flow: what a subscriber who dials it sees and types, and what happens then."""

    flow: Name
    """The name of the flow, by which others call it."""
    dial: list[Annotated[StrictStr, Field(pattern=SERVICE_CODE_PATTERN)]] = Field(default_factory=list)
    """The service codes that start it, in quotes: "*384*100#". Without one it can only be called."""
    resume: Literal["restart", "continue", "ask"] = "restart"
    """What happens to who dials again after the line dropped: start again, go on there, or be asked which."""
    resume_within_min: Annotated[StrictInt, Field(ge=1, le=60)] = 5
    """For so many minutes after the last key a dropped session can be gone on with."""
    languages: Annotated[list[Language], Field(min_length=1, max_length=20)]
    """The languages of its texts, such as en; the first is the default."""
    start: Name
    """The state that it begins with."""
    home: Name | None = None
    """The state that the key for home leads to, if it is not the first one."""
    inputs: list[Name] = Field(default_factory=list)
    """The data that a calling flow must give."""
    outputs: list[Name] = Field(default_factory=list)
    """The data that a calling flow may keep."""
    data: dict[Name, Data] = Field(default_factory=dict)
    """The values that it holds, each with its type."""
    keys: NavigationKeys = Field(default_factory=NavigationKeys)
    """Other keys for back, home and more."""
    texts: Phrases = Field(default_factory=Phrases)
    """Other words for what the engine says itself."""
    states: Annotated[dict[Name, State], Field(min_length=1, max_length=20_000)]
    """The states by name: each is exactly one of menu, ask, list, action, call, route and end."""
