"""What a subscriber sees."""

from __future__ import annotations

from msgspec import Struct


class Screen(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One page, ready to be sent. `label` names the state ("flow.state") for the operators, never a person."""

    text: str
    end: bool
    label: str
