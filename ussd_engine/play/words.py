"""What the phone says beside its screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ussd_engine.flow.vocabulary import ActionSpec
    from ussd_engine.runtime.happenings import Result
    from ussd_engine.settings_model import NetworkProfile

HELP: Final = """\
Type what you would on the phone, and press Enter.
An empty line is an answer.
  /dial CODE      dial, also with answers: /dial *384*100*1*2#
  /dial           dial the same again
  /drop           the line drops: dial again, in a new session
  /repeat         the gateway sends its last callback again
  /phone NUMBER   dial with another phone, +254700000001
  /network        list the networks
  /network CODE   dial in another one, with its limits and keys
  /language       list the languages
  /language CODE  dial flows that begin in this one
  /outcome        list the actions and their outcomes
  /outcome ACTION OUTCOME
                  the action comes back with this outcome and
                  sample values, and the bank is not asked
  /outcome ACTION the bank decides again
  /save FILE [NAME]
                  write a transcript for flows/tests/: all
                  that this phone has done at this code
  /help           show this
  /quit           end"""


def limits(code: str, profile: NetworkProfile) -> str:
    """What a network shows and takes; its keys where they are its own."""
    own = {"back": profile.back_key, "home": profile.home_key, "more": profile.more_key}
    keys = "".join(f", {name} is {key}" for name, key in own.items() if key is not None)
    return (
        f"{code}: pages of {profile.page_septets} septets or {profile.page_ucs2} UCS-2 units, "
        f"inputs of {profile.input_max} characters{keys}"
    )


def outcomes(specs: Mapping[str, ActionSpec], picked: Mapping[str, str]) -> str:
    """Each action with what it can come back with; what is picked stands in brackets."""
    return "\n".join(
        f"{name}: " + ", ".join(f"[{one}]" if one == picked.get(name) else one for one in spec.outcomes)
        for name, spec in specs.items()
    )


def came_back(action: str, result: Result) -> str:
    gives = ", ".join(f"{name} {_short(value)}" for name, value in result.outputs.items())
    return f"{action} comes back with {result.outcome}" + (f": {gives}" if gives else "")


def _short(value: object) -> str:
    return f"{len(value)} items" if isinstance(value, tuple) else repr(value)
