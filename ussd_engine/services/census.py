"""Who is under way, and where: what a new revision of the flows meets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ussd_engine.errors import SessionCorrupt
from ussd_engine.runtime.session import places

if TYPE_CHECKING:
    from ussd_engine.flow.loader import Library
    from ussd_engine.ports import SessionStore


@dataclass(frozen=True, slots=True)
class Census:
    """The live sessions. `nowhere`: how many stand in a state that the library does not have.

    `places` are those states, "flow.state"; a session within a called flow may stand in two of them.
    """

    live: int
    nowhere: int
    places: Counter[str] = field(default_factory=Counter)


async def census(store: SessionStore, library: Library) -> Census:
    """Of each session only its places are looked at."""
    live, nowhere, missing = 0, 0, Counter[str]()
    async for raw in store.each():
        try:
            stands = places(raw)
        except SessionCorrupt:  # nobody can go on with it
            continue
        if stands is None:
            continue
        live += 1
        gone = [
            f"{flow}.{state}"
            for flow, state in stands
            if flow not in library.flows or state not in library.flows[flow].states
        ]
        missing.update(gone)
        nowhere += bool(gone)
    return Census(live, nowhere, missing)
