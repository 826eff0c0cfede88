"""A subscriber at the flows under test, and everything that must hold whatever they do.

Each method is one thing that happens on the air. Whoever breaks a rule gets a `RuleBroken`, with the steps that
led there in the form of a transcript.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, assert_never

import orjson
from structlog.testing import capture_logs

from ussd_engine.charset import is_gsm7, septets, units
from ussd_engine.errors import UssdError
from ussd_engine.flow.pager import budget_of
from ussd_engine.runtime.program import Ask, End, List, Menu
from ussd_engine.runtime.route import read_answer
from ussd_engine.runtime.screen import Screen
from ussd_engine.testing.answers import keys
from ussd_engine.testing.explore import reader
from ussd_engine.testing.rig import PHONE, Crash, Line
from ussd_engine.testing.transcript import Called, Kind, Step, Transcript

if TYPE_CHECKING:
    from ussd_engine.ports import Callback
    from ussd_engine.runtime.session import Session
    from ussd_engine.testing.rig import Ran, Rig

TELLING = 4
"""Characters that a secret must have to be looked for: a shorter one stands in other things by chance."""
SORRY = "sorry"
"""The label of the engine's own polite end."""


class RuleBroken(UssdError):
    """A flow, or the engine, did what it must not. `transcript` leads there again."""

    code = "rule_broken"

    def __init__(self, rule: str, transcript: Transcript) -> None:
        super().__init__(rule)
        self.rule = rule
        self.transcript = transcript


@dataclass(slots=True)
class Walk:
    """One subscriber with one phone, on one network. Sessions follow each other."""

    rig: Rig
    service_code: str
    network: str
    phone: str = PHONE
    first: str = ""
    """The answers behind the code of the first dial."""
    steps: list[Step] = field(default_factory=list)
    turns: int = 0
    line: Line = field(init=False)
    shown: Screen | None = None
    _numbers: Iterator[int] = field(default_factory=count)
    _secrets: set[str] = field(default_factory=set)
    _begun_by: dict[str, tuple[str, str]] = field(default_factory=dict)
    _since_action: set[str] = field(default_factory=set)
    _all_seen: bool = True

    def __post_init__(self) -> None:
        self.do("dial", self.first)

    # --- what happens on the air

    def do(self, kind: Kind, text: str = "") -> None:
        """One step. Raises RuleBroken."""
        match kind:
            case "dial":
                self.dial(*([text] if text else []))
            case "type":
                self.type(text)
            case "repeat":
                self._again(Step("repeat"), self.line.callback())
            case "stale":
                self._again(Step("stale"), self.line.callback(max(len(self.line.inputs) - 1, 0)))
            case "twice":
                self._press(Step("twice", text), times=2)
            case "crash" | "slow" | "break":
                self.rig.actions.fault.kind = kind
                self._press(Step(kind, text))
                self.rig.actions.fault.kind = ""
            case "lose_race":
                self.rig.store.lose_next = True
                self._press(Step("lose_race", text))
                self.rig.store.lose_next = False
            case "wait":
                self.steps.append(Step("wait", text))
                self.rig.clock.put_forward(float(text))
            case _:
                assert_never(kind)

    def dial(self, *answers: str) -> None:
        """A new session; with `answers` behind the code it is a deep dial."""
        self.line = Line(
            self.service_code, f"session-{next(self._numbers)}", self.network, self.phone, list(answers)
        )
        self.shown = None
        self._since_action.clear()
        self._all_seen = (
            not answers and not self._resumes
        )  # else there are screens before that back may return to
        self._turn(Step("dial", "*".join(answers)))

    def type(self, text: str) -> None:
        before = self._session()
        back = before is not None and self._is_back(before, text)
        known, ran = set(self._since_action), len(self.rig.actions.ran)
        self._press(Step("type", text))
        if back and self.shown is not None:
            self._hold(len(self.rig.actions.ran) == ran, "back has run an action")
            seen = self.shown.label in known or not self._all_seen
            self._hold(seen, f"back has crossed an action, to {self.shown.label}")

    def _press(self, step: Step, *, times: int = 1) -> None:
        self._remember_secret(self._session(), step.text)
        self.line.inputs.append(step.text)
        self._turn(step, times=times)

    @property
    def _resumes(self) -> bool:
        program = self.rig.program
        return program.flows[program.dial[self.service_code]].resume != "restart"

    @property
    def over(self) -> bool:
        return self.shown is None or self.shown.end

    # --- one turn

    def _turn(self, step: Step, *, times: int = 1) -> None:
        before = len(self.rig.actions.ran)
        self.steps.append(step)
        with capture_logs() as logs:
            answers = self.rig.send(*[self.line.callback()] * times)
            while any(isinstance(answer, Crash) for answer in answers):
                self.rig.restart()
                answers = self.rig.send(self.line.callback())
        screens = [answer for answer in answers if isinstance(answer, Screen)]
        ran = self.rig.actions.ran[before:]
        step.screen, step.ends = screens[0].text, screens[0].end
        step.actions = [self._called(one) for one in ran]
        self.turns += times
        self._hold(len(set(screens)) == 1, "callbacks that came at once got different answers")
        self.shown = screens[0]
        self._check_actions(ran)
        self._check_screen(self.shown, may_apologise=step.kind == "break")
        self._check_secrets(logs)
        if ran:
            self._since_action.clear()
            self._all_seen = self._all_seen or step.kind != "dial"
        self._since_action.add(self.shown.label)

    def _again(self, step: Step, callback: Callback) -> None:
        """A callback that was answered before: the same answer, and nothing moves. Not where the session is gone."""
        before, stored = len(self.rig.actions.ran), self.rig.store.everything()
        known = (
            f"test:{callback.session_id}" in stored and self.shown is not None and self.shown.label != SORRY
        )
        self.steps.append(step)
        answer = next(one for one in self.rig.send(callback) if isinstance(one, Screen))
        self.turns += 1
        step.screen, step.ends = answer.text, answer.end
        step.actions = [self._called(one) for one in self.rig.actions.ran[before:]]
        if known:
            self._hold(not step.actions, f"a {step.kind} callback has run an action")
            self._hold(answer == self.shown, f"a {step.kind} callback got another answer than before")
            self._hold(self.rig.store.everything() == stored, f"a {step.kind} callback has moved the session")
        self.shown = answer

    def _called(self, ran: Ran) -> Called:
        own = {
            name
            for name, given in self.rig.actions.specs[ran.action].inputs.items()
            if given.phone and ran.inputs.get(name) == self.phone
        }
        takes = {name: value for name, value in ran.inputs.items() if name not in own}
        return Called(ran.action, ran.result, takes or None)

    def _session(self) -> Session | None:
        session = self.rig.session(self.line.session_id)
        return None if session is None or session.ended else session

    # --- what must hold

    def _hold(self, held: bool, rule: str) -> None:
        if not held:
            raise RuleBroken(rule, self.transcript(rule))

    def transcript(self, name: str) -> Transcript:
        return Transcript(name, self.service_code, self.network, list(self.steps))

    def _check_screen(self, screen: Screen, *, may_apologise: bool) -> None:
        profile = self.rig.profile(self.network)
        text = screen.text
        ucs2 = not is_gsm7(text)
        cost, budget = (units if ucs2 else septets)(text), budget_of(profile, ucs2=ucs2)
        self._hold(cost <= budget, f"a page of {screen.label} costs {cost}, and {budget} fit")
        self._hold(bool(text.strip()), f"{screen.label} shows nothing")
        if screen.label == SORRY:
            self._hold(may_apologise, "the engine had to apologise")
            return
        session = self._session()
        if not screen.end:
            self._hold(session is not None, f"{screen.label} asks, and there is no session")
        if session is not None:
            self._hold(
                self._leads_on(session), f"{screen.label} is a dead end: nothing that is typed leads on"
            )

    def _leads_on(self, session: Session) -> bool:
        """Whether some key does something. Questions take answers; that an end can be reached is proven (F302)."""
        flow = self.rig.program.flows[session.top.flow]
        node = flow.nodes[session.top.state]
        if isinstance(node, Ask) or session.asking:
            return True
        if not isinstance(node, (Menu, List)):
            return isinstance(node, End)
        items = session.top.data.get(node.of, ()) if isinstance(node, List) else ()
        shown = keys(node, reader(flow, session), len(items) if isinstance(items, tuple) else 0)
        return bool(shown) or (node.back is not None and bool(session.history)) or node.home is not None

    def _is_back(self, session: Session, text: str) -> bool:
        if session.asking:
            return False
        node = self.rig.program.flows[session.top.flow].nodes[session.top.state]
        back = node.back if isinstance(node, (Menu, Ask, List)) else None
        own = self.rig.profile(self.network).back
        key = own if back is not None and own is not None else back
        if isinstance(node, Menu) and key in node.keys:
            return False
        return key is not None and text.strip() == key and (session.page > 0 or bool(session.history))

    def _check_actions(self, ran: list[Ran]) -> None:
        """An effect belongs to the input that led to it.

        A later input meets it only where the session was lost, another session only where it goes on with the first.
        """
        here = (self.line.session_id, "*".join(self.line.inputs))
        for one in ran:
            if one.effect:
                begun = self._begun_by.setdefault(one.workflow_id, here)
                same = (begun[0] == here[0] and here[1].startswith(begun[1])) or self._resumes
                self._hold(same, f"{one.action} of another input has been taken up again")

    def _remember_secret(self, session: Session | None, text: str) -> None:
        if session is None or session.asking:
            return
        flow = self.rig.program.flows[session.top.flow]
        node = flow.nodes[session.top.state]
        if not isinstance(node, Ask) or not node.save.secret:
            return
        value = read_answer(node, text, self.rig.clock.now().date(), reader(flow, session))
        if value is not None and len(text.strip()) >= TELLING:
            self._secrets |= {text.strip(), str(value)}

    def _check_secrets(self, logs: object) -> None:
        if not self._secrets:
            return
        said = [self.shown.text if self.shown else "", repr(logs)]
        for key, value in self.rig.store.everything().items():
            if key.startswith("test:"):
                stored = orjson.loads(value)
                said += leaves([stored["frames"], stored["receipt"], stored["history"]])
            else:
                said.append(value.decode())
        for secret in self._secrets:
            self._hold(
                not any(secret in text for text in said),
                "a secret stands in a page, a log or the stored session",
            )


def leaves(value: object) -> Iterator[str]:
    """Every text in plain data, but for what is sealed: that stands in a list of its own."""
    match value:
        case str():
            yield value
        case [str(sealed)] if sealed.startswith("test."):
            return
        case list():
            for one in value:
                yield from leaves(one)
        case Mapping():
            for one in value.values():
                yield from leaves(one)
