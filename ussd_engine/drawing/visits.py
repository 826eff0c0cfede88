"""How often states and edges were visited, as a test run counted them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ussd_engine.errors import UssdError
from ussd_engine.flow.graph import edge_key, edges, state_key
from ussd_engine.flow.model import Flow

FORM = 'write {"states": {"flow.state": 1}, "edges": {"flow.state label": 1}}'


class BadVisits(UssdError):
    """A file that is no count of visits; the message says what is wrong with it."""

    code = "visits_invalid"


@dataclass(frozen=True, slots=True)
class Visits:
    """Keys are `flow.state` and `flow.state label`; what has no count was never visited."""

    states: Mapping[str, int]
    edges: Mapping[str, int]

    def unknown_in(self, flows: Iterable[Flow]) -> list[str]:
        """What was counted and is not in the flows: a mistake, or the counts of another revision."""
        known = set[str]()
        for flow in flows:
            known.update(state_key(flow.flow, name) for name in flow.states)
            known.update(edge_key(flow.flow, edge.source, edge.label) for edge in edges(flow))
        return [key for key in (*self.states, *self.edges) if key not in known]


def read_visits(file: Path) -> Visits:
    """Raises BadVisits when the file cannot be read or is of another form."""
    try:
        data = json.loads(file.read_bytes())
    except OSError as error:
        raise BadVisits(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise BadVisits(f"{file}: this is no JSON: {error}; {FORM}") from error
    if not isinstance(data, dict) or data.keys() - {"states", "edges"}:
        raise BadVisits(f"{file}: the counts stand under 'states' and 'edges' alone; {FORM}")
    return Visits(_counts(file, data, "states"), _counts(file, data, "edges"))


def _counts(file: Path, data: dict[str, Any], part: str) -> Mapping[str, int]:
    counts = data.get(part, {})
    if not isinstance(counts, dict):
        raise BadVisits(f"{file}: '{part}' is not a mapping of names and counts; {FORM}")
    for key, count in counts.items():
        if type(count) is not int or count < 0:
            raise BadVisits(f"{file}: the count of '{key}' in '{part}' is not a whole number from 0 on")
    return counts
