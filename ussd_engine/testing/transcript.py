"""A transcript: what happens on the air, step by step, and what the subscriber sees. A file that people read.

transcript: A new customer looks and leaves
dial: "*384*100#"
network: default
steps:
- dial: ""
  actions:
  - subscription.check: {outcome: new_customer}
  screen: |-
    Welcome to Acme Bank
    0. Exit
- type: "0"
  screen: Thank you for using Acme Bank.
  ends: true
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

import yaml

from ussd_engine.errors import FlowError
from ussd_engine.flow.source import read
from ussd_engine.runtime.happenings import Result

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal[
    "dial",
    "type",
    "repeat",
    "stale",
    "twice",
    "crash",
    "crash_late",
    "lose_race",
    "slow",
    "break",
    "wait",
    "language",
    "network",
]
"""A dial with the answers behind the code; an input, alone or as two callbacks at once, or with something that goes
wrong in its turn; a callback again or too late; seconds that pass; the language that
flows begin in, and the network that is dialled in, from now on."""
TYPED: tuple[Kind, ...] = ("type", "twice", "crash", "crash_late", "lose_race", "slow", "break")
"""Kinds in which something is typed on the screen that stands."""
UNANSWERED: tuple[Kind, ...] = ("wait", "language", "network")
"""Kinds of which nothing is heard on the air."""
KINDS: tuple[Kind, ...] = get_args(Kind)
YEARS = range(2000, 2101)
"""That a clock shows."""
KEYS = ("transcript", "dial", "network", "phone", "language", "clock", "steps")


class Called(NamedTuple):
    """One run of an action. `takes` is what it was given besides the subscriber's own number.

    In a file that does not say it, as in one where there is nothing, it is None.
    """

    action: str
    result: Result
    takes: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Step:
    """One thing that happens, and what came of it.

    `text` is what is typed, the seconds of `wait`, a language or a network.
    `actions` are those that ran for the first time in it, with what they came back with.
    """

    kind: Kind
    text: str = ""
    actions: list[Called] = field(default_factory=list)
    screen: str | None = None
    ends: bool = False


@dataclass(slots=True)
class Transcript:
    """`dial` is the service code, `network` a network's code or `default`.

    Where they matter, `phone` is the number that dials, `language` the one that the flows begin in instead of their
    own first, and `clock` when it all begins.
    """

    name: str
    dial: str
    network: str
    steps: list[Step]
    phone: str = ""
    language: str = ""
    clock: datetime | None = None


def done(step: Step) -> str:
    """The actions of a step in words, each with what it took."""
    ran = (f"{one.action} {dict(one.takes)}" if one.takes else one.action for one in step.actions)
    return ", ".join(ran) or "no action"


class BadTranscript(FlowError):
    """A file that is no transcript. The message says where and why."""


def dumps(transcript: Transcript) -> str:
    data = {
        "transcript": transcript.name,
        "dial": transcript.dial,
        "network": transcript.network,
        **({"phone": transcript.phone} if transcript.phone else {}),
        **({"language": transcript.language} if transcript.language else {}),
        **({"clock": transcript.clock.isoformat()} if transcript.clock else {}),
        "steps": [_plain(step) for step in transcript.steps],
    }
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Screens as blocks, so that they look as on the phone."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    block = "\n" in text and all(line.isprintable() and line == line.rstrip() for line in text.split("\n"))
    style = "|" if block else None if text.isprintable() else '"'  # where every sign is written as it is
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _plain(step: Step) -> dict[str, Any]:
    plain: dict[str, Any] = {step.kind: step.text}
    if step.actions:
        plain["actions"] = [{called.action: _called(called)} for called in step.actions]
    if step.screen is not None:
        plain["screen"] = step.screen
    if step.ends:
        plain["ends"] = True
    return plain


def _called(called: Called) -> dict[str, Any]:
    result = called.result
    return {
        **({"takes": dict(called.takes)} if called.takes else {}),
        "outcome": result.outcome,
        **({"gives": _values(result)} if result.outputs else {}),
    }


def _values(result: Result) -> dict[str, Any]:
    return {
        name: [dict(item) for item in value] if isinstance(value, tuple) else value
        for name, value in result.outputs.items()
    }


def loads(file: Path) -> Transcript:
    """Raises BadTranscript, which names file, line and column."""
    source = read(file)
    if source.diagnostics:
        raise BadTranscript("\n".join(finding.text() for finding in source.diagnostics))
    data = source.data

    def refuse(path: tuple[str | int, ...], why: str) -> BadTranscript:
        at = source.at(path)
        return BadTranscript(f"{source.file}:{at.line}:{at.column}: {why}")

    if not isinstance(data, dict) or "transcript" not in data:
        raise refuse((), "this is no transcript; it begins with 'transcript: what happens'")
    for key in data:
        if key not in KEYS:
            raise refuse((key,), f"unknown key '{key}'; known: {', '.join(KEYS)}")
    steps = data.get("steps")
    if not isinstance(data.get("dial"), str) or not isinstance(steps, list) or not steps:
        raise refuse((), "a transcript needs 'dial' with a service code, and 'steps'")
    found = [_step(refuse, ("steps", number), step) for number, step in enumerate(steps)]
    if found[0].kind != "dial":
        raise refuse(("steps", 0), "the first step is 'dial'")
    return Transcript(
        str(data["transcript"]),
        data["dial"],
        str(data.get("network", "default")),
        found,
        str(data.get("phone", "")),
        str(data.get("language", "")),
        _clock(refuse, data.get("clock")),
    )


def _clock(refuse: Any, text: object) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or at.year not in YEARS:
        raise refuse(
            ("clock",),
            f"a clock shows a time with its zone, such as 2026-01-15T09:00:00+00:00, of {YEARS[0]} to {YEARS[-1]}",
        )
    return at


def _step(refuse: Any, path: tuple[str | int, ...], step: object) -> Step:
    kinds = [kind for kind in KINDS if isinstance(step, dict) and kind in step]
    if len(kinds) != 1 or not isinstance(step, dict):
        raise refuse(path, f"a step has exactly one of: {', '.join(KINDS)}")
    for key in step.keys() - {*KINDS, "actions", "screen", "ends"}:
        raise refuse((*path, key), f"unknown key '{key}'; known besides what happens: actions, screen, ends")
    text, listed = step[kinds[0]], step.get("actions", [])
    if not isinstance(listed, list):
        raise refuse((*path, "actions"), "actions are a list, each '- name: {outcome: ...}'")
    actions = [_action(refuse, (*path, "actions", number), action) for number, action in enumerate(listed)]
    screen = step.get("screen")
    return Step(
        kinds[0],
        "" if text is None else str(text),
        actions,
        None if screen is None else str(screen),
        step.get("ends") is True,
    )


def _action(refuse: Any, path: tuple[str | int, ...], action: object) -> Called:
    if not isinstance(action, dict) or len(action) != 1:
        raise refuse(path, "an action is one 'name: {takes: {...}, outcome: ..., gives: {...}}'")
    ((name, said),) = action.items()
    if (
        not isinstance(said, dict)
        or not isinstance(said.get("outcome"), str)
        or said.keys() - {"takes", "outcome", "gives"}
        or not all(isinstance(said.get(key, {}), dict) for key in ("takes", "gives"))
    ):
        raise refuse((*path, name), "an action has an 'outcome', and what it 'takes' and 'gives'")
    gives = cast("Mapping[str, Any]", said.get("gives", {}))
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in gives.items()}
    return Called(str(name), Result(said["outcome"], values), said.get("takes") or None)
