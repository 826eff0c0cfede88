"""A subscriber at the flows under test, and everything that must hold whatever they do.

Each method is one thing that happens on the air. Whoever breaks a rule gets a `RuleBroken`, with the steps that
led there in the form of a transcript.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, NoReturn, assert_never

import orjson
from structlog.testing import capture_logs

from ussd_engine.charset import is_gsm7, septets, units
from ussd_engine.errors import UssdError
from ussd_engine.flow.pager import budget_of
from ussd_engine.flow.phrases import RESUME_KEYS
from ussd_engine.runtime.program import Ask, End, List, Menu
from ussd_engine.runtime.route import read_answer
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.screens import RESUME_LABEL
from ussd_engine.runtime.session import Secret
from ussd_engine.runtime.step import waits_for_action
from ussd_engine.testing.answers import keys
from ussd_engine.testing.explore import reader
from ussd_engine.testing.languages import in_its_language, set_by, spoken_after
from ussd_engine.testing.rig import BEGIN, PHONE, TTL_S, Crash, Line
from ussd_engine.testing.transcript import Called, Kind, Step, Transcript

if TYPE_CHECKING:
    from datetime import datetime

    from ussd_engine.ports import Callback
    from ussd_engine.runtime.program import CompiledFlow, Node
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
    language: str = ""
    """What flows begin in at first, where that is not their own first language."""
    clock: datetime | None = None
    """When it begins, where that matters."""
    dials_in: str = field(init=False)
    """The network of the next dial; `network` is that of the first."""
    steps: list[Step] = field(default_factory=list)
    turns: int = 0
    line: Line = field(init=False)
    shown: Screen | None = None
    broken: bool = False
    """Whether a rule was broken: nothing that comes after says anything."""
    _numbers: Iterator[int] = field(default_factory=count)
    _secrets: set[str] = field(default_factory=set)
    _begun_by: dict[str, tuple[str, str]] = field(default_factory=dict)
    _since_action: set[str] = field(default_factory=set)
    _all_seen: bool = True
    _dialled_at: float = 0.0
    _ran: list[Ran] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dials_in = self.network
        if self.language:
            self.rig.begin_in(self.language)
        if self.clock is not None:
            self.rig.clock.put_forward((self.clock - BEGIN).total_seconds())
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
            case "crash" | "crash_late" | "slow" | "break":
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
            case "language":
                self.steps.append(Step("language", text))
                self.rig.begin_in(text)
            case "network":
                self.steps.append(Step("network", text))
                self.dials_in = text
            case _:
                assert_never(kind)

    def dial(self, *answers: str) -> None:
        """A new session; with `answers` behind the code it is a deep dial."""
        dropped, label, begun = self.standing() if self.steps else None, self.label, self._dialled_at
        self._dialled_at = self.rig.clock.now().timestamp()
        self.line = Line(
            self.service_code, f"session-{next(self._numbers)}", self.dials_in, self.phone, list(answers)
        )
        self.shown = None
        self._since_action.clear()
        self._turn(Step("dial", "*".join(answers)), unseen=bool(answers) or self._resumes)
        if not answers and not self._resumes:
            self._check_language(self._dialled.languages[0])
        elif not answers and dropped is not None and dropped.seen_at - begun <= TTL_S:
            self._check_resumed(dropped, label)

    def type(self, text: str) -> None:
        before = self.standing()
        if before is None:
            self._press(Step("type", text))
            return
        label, known = self.label, set(self._since_action)
        good, back = self._is_good(before, text), self._is_back(before, text)
        language = set_by(self.rig.program, before, text) or before.language
        self._press(Step("type", text))
        if self.label == SORRY:
            return
        self._check_language(language)
        if good:
            after = self._session()
            self._hold(after is None or not after.wrong, f"{label} refuses what it offers or asks for")
        if back:
            self._hold(not self._ran, "back has run an action")
            seen = self.label in known or not self._all_seen
            self._hold(seen, f"back has crossed an action, to {self.label}")

    def leave(self, way: Iterable[str]) -> None:
        """Type what leads to an end. Raises RuleBroken when none comes."""
        for text in way:
            if not self.over:
                self.type(text)
        self._hold(self.over, "what should have led to an end has led to none")

    def _press(self, step: Step, *, times: int = 1) -> None:
        session = self.standing()
        self._remember_secret(session, step.text)
        self.line.inputs.append(step.text)
        self._turn(step, unseen=session is None, times=times)

    @property
    def _dialled(self) -> CompiledFlow:
        program = self.rig.program
        return program.flows[program.dial[self.service_code]]

    @property
    def _resumes(self) -> bool:
        return self._dialled.resume != "restart"

    @property
    def label(self) -> str:
        """Of the screen that is shown: flow and state."""
        return self.shown.label if self.shown else ""

    @property
    def over(self) -> bool:
        return self.shown is None or self.shown.end

    # --- one turn

    def _turn(self, step: Step, *, unseen: bool, times: int = 1) -> None:
        """`unseen`: it plays more than one input, so that back may return to screens that were never shown."""
        before = len(self.rig.actions.ran)
        self._all_seen = self._all_seen and not unseen
        self.steps.append(step)
        with capture_logs() as logs:
            answers = self.rig.send(*[self.line.callback()] * times)
            while any(isinstance(answer, Crash) for answer in answers):
                self.rig.restart()
                answers = self.rig.send(self.line.callback())
        screens = [answer for answer in answers if isinstance(answer, Screen)]
        self._ran = ran = self.rig.actions.ran[before:]
        step.screen, step.ends = screens[0].text, screens[0].end
        step.actions = [self._called(one) for one in ran]
        self.turns += times
        self.shown = screens[0]
        self._check_secrets(logs)
        self._hold(len(set(screens)) == 1, "callbacks that came at once got different answers")
        self._check_actions(step, ran, unseen=unseen)
        self._check_screen(self.shown, may_apologise=step.kind == "break")
        if ran:
            self._since_action.clear()
            self._all_seen = not unseen
        self._since_action.add(self.shown.label)

    def _again(self, step: Step, callback: Callback) -> None:
        """A callback that was answered before: the same answer, and nothing moves. Not where the session is gone."""
        before, stored = len(self.rig.actions.ran), self.rig.store.everything()
        session = self.rig.session(self.line.session_id)
        known = session is not None and (session.ended or self.standing() is not None)
        self.steps.append(step)
        with capture_logs() as logs:
            answer = next(one for one in self.rig.send(callback) if isinstance(one, Screen))
        self.turns += 1
        step.screen, step.ends = answer.text, answer.end
        step.actions = [self._called(one) for one in self.rig.actions.ran[before:]]
        if known:
            self._hold(not step.actions, f"a {step.kind} callback has run an action")
            self._hold(answer == self.shown, f"a {step.kind} callback got another answer than before")
            self._hold(self.rig.store.everything() == stored, f"a {step.kind} callback has moved the session")
        else:
            self._all_seen = False  # the session is played anew
        self.shown = answer
        self._check_secrets(logs)

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

    def standing(self) -> Session | None:
        """The session, where it has seen all that was typed and waits for more."""
        session = self._session()
        if session is None or waits_for_action(self.rig.program, session):
            return None
        return session if session.position == len(self.line.callback().transcript) else None

    def resumable_for(self) -> float:
        """Seconds in which a dial goes on with the session; 0 or less where none does."""
        session = self.standing() if self._resumes else None
        return 0.0 if session is None else self._resumable_for(session)

    def _resumable_for(self, session: Session) -> float:
        return self._dialled.resume_within_s - (self.rig.clock.now().timestamp() - session.seen_at)

    # --- what must hold

    def _hold(self, held: bool, rule: str) -> None:
        if not held:
            self.broke(rule)

    def broke(self, rule: str) -> NoReturn:
        """Raises RuleBroken."""
        self.broken = True
        raise RuleBroken(rule, self.transcript(rule))

    def transcript(self, name: str) -> Transcript:
        return Transcript(
            name,
            self.service_code,
            self.network,
            list(self.steps),
            language=self.language,
            clock=self.clock,
        )

    def _check_screen(self, screen: Screen, *, may_apologise: bool) -> None:
        profile = self.rig.profile(self.line.network)
        text = screen.text
        ucs2 = not is_gsm7(text)
        cost, budget = (units if ucs2 else septets)(text), budget_of(profile, ucs2=ucs2)
        self._hold(cost <= budget, f"a page of {screen.label} costs {cost}, and {budget} fit")
        self._hold(bool(text.strip()), f"{screen.label} shows nothing")
        if screen.label == SORRY:
            self._hold(may_apologise, "the engine had to apologise")
            return
        stored = self.rig.session(self.line.session_id)
        if stored is not None:
            spoken = in_its_language(self.rig.program, stored, screen, profile)
            self._hold(spoken, f"{screen.label} is not in the language of its session, {stored.language}")
        session = self._session()
        if not screen.end:
            self._hold(session is not None, f"{screen.label} asks, and there is no session")
        if session is not None:
            self._hold(
                self._leads_on(session), f"{screen.label} is a dead end: nothing that is typed leads on"
            )

    def _check_resumed(self, dropped: Session, label: str) -> None:
        """That a dial goes on with what was dropped, on the screen `label`, or asks.

        Neither when it is too late, nor with what nobody had begun, nor with what a PIN has opened. Not asked of a
        session that has gone on for longer than a network lets it: nobody knows any more whose it was.
        """
        left = self._resumable_for(dropped)
        began = dropped.away or dropped.version > 0
        expected = RESUME_LABEL if self._dialled.resume == "ask" or dropped.asking else label
        if left > 0 and began and not dropped.told_pin:
            self._hold(self.label == expected, f"the dial does not go on with {label}, which was dropped")
        elif left != 0:
            session = self._session()
            anew = session is None or not (session.asking or session.history)
            self._hold(anew, f"the dial goes on with {label}, and should begin anew")

    def _check_language(self, language: str) -> None:
        """That the session is in `language`, but for what the actions of the turn have made of it."""
        session = self.rig.session(self.line.session_id)
        if session is not None:
            spoken = spoken_after(self.rig.program, language, self._ran)
            self._hold(
                session.language in spoken,
                f"the session is in {session.language}, and should be in {' or '.join(sorted(spoken))}",
            )

    def _leads_on(self, session: Session) -> bool:
        """Whether some key does something. Whether that leads to an end is seen where a walk ends."""
        node = self._node(session)
        if isinstance(node, Ask) or session.asking:
            return True
        if not isinstance(node, (Menu, List)):
            return isinstance(node, End)
        back = node.back is not None and bool(session.history)
        home = node.home is not None and session.away
        return bool(self._keys(session)) or back or home

    def _is_back(self, session: Session, text: str) -> bool:
        if session.asking:
            return False
        node = self._node(session)
        back = node.back if isinstance(node, (Menu, Ask, List)) else None
        own = self.rig.profile(self.line.network).back
        key = own if back is not None and own is not None else back
        if isinstance(node, Menu) and key in node.keys:
            return False
        return key is not None and text.strip() == key and (session.page > 0 or bool(session.history))

    def _is_good(self, session: Session, text: str) -> bool:
        """Whether an input is a choice of the screen or an answer to it, and no key between screens."""
        if session.asking:
            return text.strip() in RESUME_KEYS
        flow, node = self.rig.program.flows[session.top.flow], self._node(session)
        profile = self.rig.profile(self.line.network)
        moves = {profile.more or flow.more, profile.back, profile.home}
        if isinstance(node, (Menu, Ask, List)):
            moves |= {node.back, node.home}
        if text.strip() in moves or session.replay > session.position:
            return False
        if isinstance(node, Ask):
            today = self.rig.clock.now().date()
            answer = read_answer(node, text, today, reader(flow, session, today))
            return len(text) <= profile.input_max and answer is not None
        return text.strip() in self._keys(session)

    def _keys(self, session: Session) -> tuple[str, ...]:
        """Of the options or items that the screen shows."""
        node = self._node(session)
        items = session.top.data.get(node.of, ()) if isinstance(node, List) else ()
        value_of = reader(self.rig.program.flows[session.top.flow], session)
        return keys(node, value_of, len(items) if isinstance(items, tuple) else 0)

    def _node(self, session: Session) -> Node:
        return self.rig.program.flows[session.top.flow].nodes[session.top.state]

    def _check_actions(self, step: Step, ran: list[Ran], *, unseen: bool) -> None:
        """An effect belongs to the input that led to it, and runs once for it.

        A later input meets it only where the session was lost (`unseen`), another session only where its dial goes on
        with the first.
        """
        here = (self.line.session_id, "*".join(self.line.inputs))
        effects = {one.workflow_id for one in ran if one.effect}
        session = self.rig.session(self.line.session_id)
        if session is not None and not unseen and self.label != SORRY:
            self._hold(len(effects) <= session.acted, "an action has run more than once for one input")
        for one in ran:
            if one.effect:
                begun = self._begun_by.setdefault(one.workflow_id, here)
                lost = unseen and begun[0] == here[0] and here[1].startswith(begun[1])
                resumed = self._resumes and step.kind == "dial"
                self._hold(
                    begun == here or lost or resumed, f"{one.action} of another input has been taken up again"
                )

    def _remember_secret(self, session: Session | None, text: str) -> None:
        if session is None or session.asking:
            return
        flow = self.rig.program.flows[session.top.flow]
        node = flow.nodes[session.top.state]
        if not isinstance(node, Ask) or not node.save.secret:
            return
        today = self.rig.clock.now().date()
        value = read_answer(node, text, today, reader(flow, session, today))
        if value is not None and len(text.strip()) >= TELLING:
            self._secrets |= {text.strip(), str(value)}

    def _remember_answers(self) -> None:
        """Those to questions for a secret, also of a dial that went deep."""
        session = self.rig.session(self.line.session_id)
        for frame in session.frames if session is not None else ():
            nodes = self.rig.program.flows[frame.flow].nodes.values()
            for asked in (node.save.name for node in nodes if isinstance(node, Ask)):
                value = frame.data.get(asked)
                if isinstance(value, Secret) and len(str(value.reveal)) >= TELLING:
                    self._secrets.add(str(value.reveal))

    def _check_secrets(self, logs: object) -> None:
        self._remember_answers()
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
