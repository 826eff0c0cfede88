"""Who is under way, and where: what a new revision of the flows meets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ussd_engine.errors import SessionCorrupt
from ussd_engine.runtime.session import standing

if TYPE_CHECKING:
    from ussd_engine.flow.loader import Library
    from ussd_engine.ports import SessionStore


@dataclass(frozen=True, slots=True)
class Census:
    """The live sessions, also by revision. `nowhere`: how many stand in a state that the library does not have.

    `places` are those states, "flow.state"; a session within a called flow may stand in two of them.
    """

    live: int
    nowhere: int
    revisions: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)


async def census(store: SessionStore, library: Library) -> Census:
    """Of each session only the revision and its places are looked at."""
    revisions, places = Counter[str](), Counter[str]()
    nowhere = 0
    async for raw in store.each():
        try:
            session = standing(raw)
        except SessionCorrupt:  # nobody can go on with it
            continue
        if session is None:
            continue
        revisions[session.revision] += 1
        gone = [
            f"{flow}.{state}"
            for flow, state in session.places
            if flow not in library.flows or state not in library.flows[flow].states
        ]
        places.update(gone)
        nowhere += bool(gone)
    return Census(revisions.total(), nowhere, revisions, places)
