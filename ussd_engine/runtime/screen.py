"""What a subscriber sees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Screen:
    """One page, ready to be sent. `label` names the state ("flow.state") for the operators, never a person."""

    text: str
    end: bool
    label: str
