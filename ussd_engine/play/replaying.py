"""`ussd play --replay`: a transcript step by step, as on the phone, and where it has become different."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TextIO

from ussd_engine.flow.loader import load
from ussd_engine.play.display import Display
from ussd_engine.play.words import came_back
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.services.action_specs import SPECS
from ussd_engine.testing import transcript as transcripts
from ussd_engine.testing.replay import replay

if TYPE_CHECKING:
    from pathlib import Path

    from ussd_engine.settings import Settings
    from ussd_engine.settings_model import NetworkProfile
    from ussd_engine.testing.replay import Replayed
    from ussd_engine.testing.transcript import Kind, Step

HAPPENS: Final[dict[Kind, str]] = {
    "type": "types",
    "repeat": "the gateway sends its last callback once more",
    "stale": "the gateway sends the callback before the last one, late",
    "twice": "types, and the gateway sends two callbacks at once:",
    "crash": "types, and the process dies before the first action:",
    "crash_late": "types, and the process dies after the first action:",
    "slow": "types, and the first action is too slow:",
    "break": "types, and the first action breaks:",
    "lose_race": "types, and another callback is saved first:",
    "wait": "seconds pass:",
    "language": "flows begin in this language from now on:",
    "network": "dials in this network from now on:",
}


def show(settings: Settings, file: Path, out: TextIO) -> bool:
    """Whether all is as it stands in the file. Raises UssdError for a file or for flows that cannot be run."""
    transcript = transcripts.loads(file)
    library = load(settings.flows.dir, SPECS, networks=settings.screens)
    program = compile_library(library, SPECS, settings.phone.default_region)
    display = Display(out, interactive=True)
    display.say(f"{transcript.name}: {transcript.dial} on {transcript.network}")
    profile = settings.network(transcript.network)
    steps = different = 0
    for steps, replayed in enumerate(replay(transcript, program, SPECS, library.networks), 1):
        different += replayed.differs
        display.say(f"\n{steps}. {_what(replayed.step, transcript.dial)}")
        if replayed.step.kind == "network":
            profile = settings.network(replayed.step.text)
        _show(display, replayed, profile)
        if replayed.broken_rule is not None:
            display.say(f"Broken: {replayed.broken_rule}.", "bold red")
            return False
    display.say(f"{steps} steps, {different or 'none'} different from {file}.")
    return different == 0


def _what(step: Step, code: str) -> str:
    if step.kind == "dial":
        return f"dials {code.removesuffix('#')}*{step.text}#" if step.text else f"dials {code}"
    return f"{HAPPENS[step.kind]} {step.text}".rstrip()


def _show(display: Display, replayed: Replayed, profile: NetworkProfile) -> None:
    step, expected = replayed.step, replayed.expected
    for action, result, _ in step.actions:
        display.say(f"({came_back(action, result)})")
    if step.screen is not None:
        display.page(step.screen, replayed.label, profile, end=step.ends)
    if replayed.shows_another and expected.screen is not None:
        display.box(expected.screen, "in the file", "END" if expected.ends else "CON", "yellow")
    elif replayed.shows_another:
        display.say("In the file the session ends here.", "yellow")
    if replayed.does_another:
        display.say(f"In the file: {transcripts.done(expected)}. Now: {transcripts.done(step)}.", "yellow")
