"""What a rule sees: one flow under check, with the whole folder around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ussd_engine.flow.assignment import Returned
from ussd_engine.flow.checks.kinds import is_secret, kinds_of
from ussd_engine.flow.checks.places import Place, places
from ussd_engine.flow.diagnostic import Diagnostic, did_you_mean
from ussd_engine.flow.graph import Edge, can_go_back, edges
from ussd_engine.flow.homeward import Calls
from ussd_engine.flow.model import Flow
from ussd_engine.flow.pager import Profile
from ussd_engine.flow.source import Path_, Source
from ussd_engine.flow.vocabulary import ActionSpec, Kind


@dataclass(frozen=True)
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

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        return kinds_of(self.flow)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        return tuple(edges(self.flow))

    @cached_property
    def places(self) -> tuple[Place, ...]:
        return tuple(places(self.flow, self.flows, self.actions))

    @cached_property
    def back(self) -> frozenset[str]:
        """The screens on which the back key can mean something."""
        return can_go_back(self.flow, self.edges, called=self.called)

    def secret(self, name: str) -> bool:
        return name in self.flow.data and is_secret(self.flow.data[name])

    def unknown_data(self, path: Path_, name: str, *, key: bool = False) -> Diagnostic:
        """F204: a name that no data has."""
        message = f"'{name}' is not declared under 'data' of '{self.flow.flow}'"
        return self.source.finding(path, "F204", message, did_you_mean(name, self.flow.data), key=key)


Rule = Callable[[Context], Iterator[Diagnostic]]
