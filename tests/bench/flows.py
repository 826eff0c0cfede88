"""What flows cost: to check a large folder of them, to load it in a worker, and a step in a small and in a large one.

`write FOLDER` writes the flows, `load FOLDER` and `steps` measure in this process. Each prints JSON.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from ussd_engine.flow import stored
from ussd_engine.flow.loader import load
from ussd_engine.flow.pager import Profile
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.runtime.happenings import Identity, Input, Proceed
from ussd_engine.runtime.program import Program
from ussd_engine.runtime.session import Session
from ussd_engine.runtime.step import begin, step
from ussd_engine.services.action_specs import SPECS

FLOWS = 200
GROUPS = 12
"""Of four states each, in a flow of 50: two questions, a menu with a condition and a computed value, and a route."""
SMALL, LARGE = 10, 5_000
"""States of the two flows whose steps are compared."""
ROUNDS, STEPS = 41, 500
NETWORK = Profile(160, 70, 80)
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


def folder_of_flows(folder: Path) -> int:
    """200 flows of 50 states in three languages; each of ten calls the next one, and the first of them is dialled."""
    for number in range(FLOWS):
        first, last = number % 10 == 0, number % 10 == 9
        following = [f"ask_{group}" for group in range(1, GROUPS)] + ["on"]
        states = "".join(_group(number, group, then) for group, then in enumerate(following))
        on = "route: [{else: done}]" if last else f"call: flow_{number + 1}\n    outcomes: {{done: done}}"
        dial = f'dial: ["*{100 + number}#"]\n' if first else ""
        text = f"flow: flow_{number}\n{dial}{HEAD}{states}  on:\n    {on}\n{END}"
        (folder / f"flow_{number}.yaml").write_text(text)
    return FLOWS


HEAD = """\
languages: [en, sw, fr]
start: ask_0
data:
  name: {type: name, max: 20, default: Jane}
  town: {type: text, max: 30, default: Thika}
  amount: {type: number, min: 1, max: 99999, default: 1}
states:
"""
END = """\
  done:
    end: {en: Bye, sw: Kwaheri, fr: Au revoir}
    outcome: done
"""


def _group(flow: int, group: int, following: str) -> str:
    here = f"{flow}.{group}"
    return f"""\
  ask_{group}:
    ask: {{en: "Your first name {here}", sw: "Jina lako {here}", fr: "Votre prénom {here}"}}
    save: name
    goto: town_{group}
  town_{group}:
    ask:
      en: "Where do you live, {{name}}? {here}"
      sw: "Unaishi wapi, {{name}}? {here}"
      fr: "Où habitez-vous, {{name}} ? {here}"
    save: town
    accept: {{min: 2}}
    goto: menu_{group}
  menu_{group}:
    menu: {{en: "{{name}} of {{town}} {here}", sw: "{{name}} wa {{town}} {here}", fr: "{{name}} de {{town}} {here}"}}
    options:
      - text: {{en: "Send {{amount:money}}", sw: "Tuma {{amount:money}}", fr: "Envoyer {{amount:money}}"}}
        goto: way_{group}
      - text: {{en: "More {group}", sw: "Zaidi {group}", fr: "Plus {group}"}}
        set: {{amount: "amount < 9000 ? amount + {group + 1} : amount"}}
        goto: menu_{group}
      - {{text: {{en: Leave, sw: Toka, fr: Sortir}}, when: "amount > {group}", goto: done}}
  way_{group}:
    route:
      - {{when: "amount > {group * 100} || town == 'Thika {group}'", goto: {following}}}
      - {{else: {following}}}
"""


def loaded(folder: Path) -> dict[str, float]:
    """CPU seconds: of a check with its proof, and of what a worker does with the same flows from the database."""
    gc.disable()
    began = time.process_time()
    library = load(folder, SPECS)
    checked = time.process_time()
    raw = stored.dumps(library)
    dumped = time.process_time()
    compile_library(stored.loads(raw), SPECS, "KE")
    return {"check_s": checked - began, "load_s": time.process_time() - dumped}


def compared() -> dict[str, list[float]]:
    """CPU seconds of rounds of steps, in turn in the small and in the large flow: the same menus and questions."""
    gc.disable()
    ways = {"small": _way(SMALL), "large": _way(LARGE)}
    rounds: dict[str, list[float]] = {"small": [], "large": []}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            began = time.process_time()
            _walk(*way)
            if number:  # the first round draws the pages
                rounds[name].append(time.process_time() - began)
    return rounds


RING = """\
flow: ring
dial: ["*1#"]
languages: [en, sw]
start: s0
data:
  name: {type: name, max: 20, default: Jane}
states:
"""


def _way(size: int) -> tuple[Program, Session]:
    """A ring of menus that each lead on to the next, and a session at the first."""
    states = "".join(
        f"""\
  s{number}:
    menu: {{en: "Dear {{name}}, menu {number % 10}", sw: "Mpendwa {{name}}, orodha {number % 10}"}}
    options:
      - {{text: {{en: On, sw: Endelea}}, goto: s{(number + 1) % (size - 1)}}}
      - {{text: {{en: Leave, sw: Toka}}, goto: bye}}
"""
        for number in range(size - 1)
    )
    flow = f"{RING}{states}  bye: {{end: {{en: Bye, sw: Kwaheri}}}}\n"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ring.yaml").write_text(flow)
        program = compile_library(load(Path(folder), SPECS), SPECS, "KE")
    blank = Session("at", "bench", "+254711000001", "*1#", "63902", "", "", NOW.timestamp(), ())
    session, _ = step(program, begin(program, "ring", blank), Proceed(), NOW, NETWORK)
    return program, session


def _walk(program: Program, session: Session) -> None:
    for number in range(STEPS):
        session, _ = step(program, session, Input("1", Identity(number, "0" * 32)), NOW, NETWORK)


def main() -> None:
    match sys.argv[1:]:
        case ["write", folder]:
            sys.stdout.write(json.dumps(folder_of_flows(Path(folder))))
        case ["load", folder]:
            sys.stdout.write(json.dumps(loaded(Path(folder))))
        case ["steps"]:
            sys.stdout.write(json.dumps(compared()))
        case _:
            sys.exit("write FOLDER, load FOLDER or steps")


if __name__ == "__main__":
    main()
