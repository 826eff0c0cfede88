"""What a rule sees: one flow under check, with the whole folder around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ussd_engine.flow.assignment import Returned
from ussd_engine.flow.diagnostic import Diagnostic, did_you_mean
from ussd_engine.flow.homeward import Calls
from ussd_engine.flow.model import Data, Flow
from ussd_engine.flow.pager import Profile
from ussd_engine.flow.source import Path_, Source
from ussd_engine.flow.values import limits, misfit
from ussd_engine.flow.vocabulary import GIVEN, KIND_OF_TYPE, ActionSpec, Kind, ListOf


@dataclass(frozen=True, slots=True)
class Context:
    """One flow under check. `names` are all flows of the folder, also those too broken to be in `flows`.

    `returned` says what the flows surely fill at each of their outcomes, `networks` what each network shows.
    `silent` are the flows that can come back to their caller without a screen; `calls` say where home leads out of
    the called ones.
    """

    flow: Flow
    source: Source
    flows: Mapping[str, Flow]
    names: frozenset[str]
    actions: Mapping[str, ActionSpec]
    called: bool
    returned: Returned
    networks: Mapping[str, Profile]
    silent: frozenset[str]
    calls: Calls

    @property
    def kinds(self) -> dict[str, Kind]:
        return kinds_of(self.flow)

    def secret(self, name: str) -> bool:
        return name in self.flow.data and is_secret(self.flow.data[name])

    def unknown_data(self, path: Path_, name: str, *, key: bool = False) -> Diagnostic:
        """F204: a name that no data has."""
        message = f"'{name}' is not declared under 'data' of '{self.flow.flow}'"
        return self.source.finding(path, "F204", message, did_you_mean(name, self.flow.data), key=key)


Rule = Callable[[Context], Iterator[Diagnostic]]


def declared_kinds(flow: Flow) -> dict[str, Kind]:
    return {name: kind_of_data(data) for name, data in flow.data.items()}


def kind_of_data(data: Data) -> Kind:
    if data.type == "list":
        return ListOf.of(**{name: KIND_OF_TYPE[field.type] for name, field in (data.item or {}).items()})
    return KIND_OF_TYPE[data.type]


def kinds_of(flow: Flow) -> dict[str, Kind]:
    """Every value that an expression of the flow may read: what is always given, and what it declares."""
    return {**GIVEN, **declared_kinds(flow)}


def misfit_of(data: Data, value: object) -> str:
    """Why the declared data cannot hold a value; "" when it can."""
    return misfit(value, data.type, *limits(data.type, data.min, data.max), data.of or ())


def is_secret(data: Data) -> bool:
    """A PIN is secret whatever the author says; the rest is as declared."""
    return data.secret or data.type == "pin"
