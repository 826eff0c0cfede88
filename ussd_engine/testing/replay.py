"""A transcript run again, on the flows as they are now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from ussd_engine.flow.diagnostic import did_you_mean
from ussd_engine.flow.vocabulary import ListOf
from ussd_engine.testing.explore import languages_of
from ussd_engine.testing.rig import PHONE, Rig, plainest
from ussd_engine.testing.transcript import BadTranscript
from ussd_engine.testing.walk import RuleBroken, Walk

if TYPE_CHECKING:
    from ussd_engine.flow.pager import Profile
    from ussd_engine.flow.vocabulary import ActionSpec, Kind, Scalar
    from ussd_engine.runtime.happenings import Result
    from ussd_engine.runtime.program import Program
    from ussd_engine.testing.rig import Visits
    from ussd_engine.testing.transcript import Called, Step, Transcript

LONGEST_WAIT_S = 10 * 366 * 86_400
_TYPES: Mapping[Scalar, type] = {"string": str, "int": int, "bool": bool}


@dataclass(frozen=True, slots=True)
class Replayed:
    """One step: `step` as it came now, `expected` as it stands in the file.

    `label` is where the session stands; empty while there is none. Nothing follows a broken rule.
    """

    step: Step
    expected: Step
    label: str
    broken_rule: str | None

    @property
    def differs(self) -> bool:
        return self.shows_another or self.does_another

    @property
    def shows_another(self) -> bool:
        """A screen that the file does not give may be any; `ends` counts where the file gives either."""
        if self.expected.screen is None:
            return self.expected.ends and not self.step.ends
        return (self.step.screen, self.step.ends) != (self.expected.screen, self.expected.ends)

    @property
    def does_another(self) -> bool:
        """Whether other actions ran, or were given something else.

        Where the file gives neither a screen nor an action they may be any, and so may what it does not say that
        an action takes.
        """
        expected, now = self.expected.actions, self.step.actions
        if self.expected.screen is None and not expected:
            return False
        return len(expected) != len(now) or any(
            one.action != other.action or (one.takes is not None and one.takes != other.takes)
            for one, other in zip(expected, now, strict=True)
        )


def replay(
    transcript: Transcript,
    program: Program,
    specs: Mapping[str, ActionSpec],
    networks: Mapping[str, Profile],
    visits: Visits | None = None,
) -> Iterator[Replayed]:
    """Each step as it has come. Raises BadTranscript for one that these flows and actions cannot run."""
    _refuse_unknown(transcript, program, specs)
    actions = _Actions()
    rig = Rig(program, specs, networks, actions.decide, visits)
    walk: Walk | None = None
    try:
        for expected in transcript.steps:
            actions.coming = list(expected.actions)
            try:
                with capture_logs():  # what the engine warns of is for its log, and not for who looks on
                    walk = _walked(walk, rig, transcript, expected)
            except RuleBroken as broken:
                yield Replayed(broken.transcript.steps[-1], expected, "", broken.rule)
                return
            label = walk.shown.label if walk.shown else ""
            yield Replayed(walk.steps[-1], expected, label, None)
    finally:
        rig.close()


def _walked(walk: Walk | None, rig: Rig, transcript: Transcript, step: Step) -> Walk:
    if walk is None:
        return Walk(
            rig,
            transcript.dial,
            transcript.network,
            transcript.phone or PHONE,
            step.text,
            transcript.language,
            transcript.clock,
        )
    walk.do(step.kind, step.text)
    return walk


@dataclass(slots=True)
class _Actions:
    """What the actions of a step come back with: in order, as the file says, then as plainly as they can."""

    coming: list[Called] = field(default_factory=list)

    def decide(self, spec: ActionSpec, _inputs: Mapping[str, object]) -> Result:
        for number, called in enumerate(self.coming):
            if called.action == spec.name:
                del self.coming[number]
                return called.result
        return plainest(spec)


def _refuse_unknown(transcript: Transcript, program: Program, specs: Mapping[str, ActionSpec]) -> None:
    if transcript.dial not in program.dial:
        raise BadTranscript(
            f"no flow has the code {transcript.dial} under 'dial'; {did_you_mean(transcript.dial, program.dial)}"
        )
    languages = languages_of(program)
    if transcript.language and transcript.language not in languages:
        raise BadTranscript(f"no flow has the language {transcript.language}; known: {', '.join(languages)}")
    for number, step in enumerate(transcript.steps, 1):
        if step.kind == "wait" and not _is_wait(step.text):
            raise BadTranscript(f"step {number}: wait takes seconds, such as 60, of ten years at most")
        if step.kind == "language" and step.text not in languages:
            raise BadTranscript(
                f"step {number}: no flow has the language {step.text}; known: {', '.join(languages)}"
            )
        for action, result, _ in step.actions:
            if action not in specs:
                raise BadTranscript(
                    f"step {number}: there is no action {action}; {did_you_mean(action, specs)}"
                )
            outcomes = specs[action].outcomes
            if result.outcome not in outcomes:
                raise BadTranscript(
                    f"step {number}: {action} has no outcome {result.outcome}; {did_you_mean(result.outcome, outcomes)}"
                )
            _refuse_outputs(f"step {number}: {action}", result, outcomes[result.outcome])


def _is_wait(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal() and float(text) <= LONGEST_WAIT_S


def _refuse_outputs(where: str, result: Result, outputs: Mapping[str, Kind]) -> None:
    for name, value in result.outputs.items():
        if name not in outputs:
            raise BadTranscript(
                f"{where} gives no {name} with {result.outcome}; {did_you_mean(name, outputs)}"
            )
        kind = outputs[name]
        if not _is_of(kind, value):
            raise BadTranscript(f"{where}: {name} is a {kind}")


def _is_of(kind: Kind, value: object) -> bool:
    if not isinstance(kind, ListOf):
        return type(value) is _TYPES[kind]
    fields = dict(kind.fields)
    return isinstance(value, tuple) and all(
        isinstance(item, dict)
        and all(name in fields and _is_of(fields[name], of) for name, of in item.items())
        for item in value
    )
