"""The story of a turn: a session and an input go in, the next session and its screen or action come out.

Pure: no clock, no I/O, no randomness. The states that show nothing (route, call, the end of a called flow) are
passed through until one waits for the subscriber, runs an action, or ends the session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import assert_never, cast

from msgspec.structs import replace

from ussd_engine.errors import IllegalMove
from ussd_engine.flow.formats import written
from ussd_engine.flow.pager import Navigation, Profile, paginate
from ussd_engine.flow.text import Slot, fill
from ussd_engine.runtime import route
from ussd_engine.runtime.program import (
    Action,
    Ask,
    Call,
    CompiledFlow,
    Declared,
    End,
    Goto,
    Items,
    List,
    Menu,
    Node,
    Program,
    Route,
    Scalar,
    Template,
    Texts,
    Value,
)
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.session import Frame, Mark, Secret, Session

MAX_SILENT_MOVES = 100
"""States passed through without a screen in one step. Flows that loop silently are cut off here."""
MAX_CALL_DEPTH = 20
"""Flows called within flows. A flow that calls itself without a screen is cut off here."""
RESUME_KEYS = ("1", "2")
"""To go on with a session that was dropped, and to start again."""
RESUME_LABEL = "resume"
MAX_HISTORY = 30
"""Screens that back can return to; nobody presses it more often, and it bounds what is stored."""


@dataclass(frozen=True, slots=True)
class Proceed:
    """No input: the session begins, or takes up the action that it waits for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which input it is: where it ends in the transcript, and the keyed digest of the transcript up to there."""

    position: int
    digest: str


@dataclass(frozen=True, slots=True)
class Input:
    """What the subscriber typed on the screen shown."""

    text: str = field(repr=False)
    identity: Identity


@dataclass(frozen=True, slots=True)
class Result:
    """An action has come back with one of its outcomes and the outputs that go with it."""

    outcome: str
    outputs: Mapping[str, Value] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Run:
    """The session waits for an action. An `effect` changes something outside: save the session first."""

    action: str
    effect: bool
    inputs: Mapping[str, Value] = field(repr=False)


Happening = Proceed | Input | Result
Outcome = Screen | Run


def step(
    program: Program, session: Session, happening: Happening, now: datetime, profile: Profile
) -> tuple[Session, Outcome]:
    """One step. Raises IllegalMove when the session cannot take it, such as an unknown outcome of an action."""
    turn = _Turn(program, session, now, profile)
    match happening:
        case Proceed():
            pass
        case Input(text, identity):
            turn.identify(identity)
            turn.take(text)
        case Result(outcome, outputs):
            turn.conclude(outcome, outputs)
        case _:
            assert_never(happening)
    return turn.settle()


def waits_for_action(program: Program, session: Session) -> bool:
    """Whether the session stands at an action whose result it does not have yet."""
    if session.ended:
        return False
    flow = program.flows.get(session.top.flow)
    return flow is not None and isinstance(flow.nodes.get(session.top.state), Action)


class _Turn:
    """The session as it changes during one step. `flow` and `node` are where it stands."""

    flow: CompiledFlow
    node: Node

    def __init__(self, program: Program, session: Session, now: datetime, profile: Profile) -> None:
        self.program = program
        self.session = session
        self.today = now.date()
        self.today_iso = self.today.isoformat()
        self.drawn_on = session.shown_on or self.today_iso
        self.profile = profile
        self.frames = list(session.frames)
        self.history = list(session.history)
        self.language = session.language
        self.page = session.page
        self.tries = session.tries
        self.wrong = session.wrong
        self.away = session.away
        self.acted = session.acted
        self.asking = session.asking
        self.told_pin = session.told_pin
        self.seen_at = now.timestamp()
        self.version = session.version
        self.position = session.position
        self.digest = session.digest
        self.arrive()

    # --- where the session stands

    @property
    def top(self) -> Frame:
        return self.frames[-1]

    def arrive(self) -> None:
        """Look up where the top frame stands now."""
        top = self.frames[-1]
        self.flow = self._flow(top.flow)
        try:
            self.node = self.flow.nodes[top.state]
        except KeyError:
            raise IllegalMove(f"flow '{top.flow}' has no state '{top.state}'") from None

    def _flow(self, name: str) -> CompiledFlow:
        try:
            return self.program.flows[name]
        except KeyError:
            raise IllegalMove(f"there is no flow '{name}' in revision {self.program.revision}") from None

    def value(self, name: str) -> Value | Secret:
        match name:
            case "language":
                return self.language
            case "today":
                return self.today_iso
            case "session.phone":
                return self.session.phone_number
            case "session.network":
                return self.session.network
            case "session.service_code":
                return self.session.service_code
        declared = self.flow.data[name]
        return self.top.data.get(name, declared.default)

    def plain(self, name: str) -> Value:
        """The value for a condition or an action: secrets are revealed to these alone."""
        value = self.value(name)
        return value.reveal if isinstance(value, Secret) else value

    def on_screen(self, name: str) -> Value:
        """As `plain`, on the day when the screen was drawn: options are what they were on it."""
        return self.drawn_on if name == "today" else self.plain(name)

    def items(self, list_: List) -> Items:
        value = self.value(list_.of)
        return value if isinstance(value, tuple) else ()

    def shown(self, slot: Slot) -> str:
        value = self.value(slot.name)
        if isinstance(value, Secret):
            return "***"
        return written(
            cast("Scalar", value), slot.form, self.language
        )  # the checker lets no list into a text

    def text(self, texts: Texts) -> str:
        template = texts.get(self.language) or texts[self.flow.languages[0]]
        return fill(template, self.shown)

    def phrase(self, key: str) -> str:
        return self.text(self.flow.phrases[key])

    # --- moving

    def go(self, state: str) -> None:
        top = self.frames[-1]
        self.frames[-1] = Frame(top.flow, state, top.data)
        self.arrive()
        self.page, self.tries, self.wrong = 0, 0, False

    def follow(self, goto: Goto) -> None:
        self.go(self.flow.table.move(self.top.state, route.choose(goto, self.plain)))

    def leave_screen(self, goto: Goto) -> None:
        """Follow a choice of the subscriber; the screen that is left behind can be returned to."""
        mark = Mark(len(self.frames), self.top.state)
        self.follow(goto)
        if self.top.state != mark.state:
            self.history = [*self.history, mark][-MAX_HISTORY:]
            self.away = True

    def store(self, name: str, value: object) -> None:
        if name == "language":
            self._speak(value)
        else:
            declared = self.flow.data[name]
            self._keep(declared, route.fit(declared, value))

    def _speak(self, language: object) -> None:
        if isinstance(language, str) and language in self.flow.languages:  # else the texts stay as they are
            self.language = language

    def _keep(self, declared: Declared, value: Value) -> None:
        if declared.name == "language":
            self._speak(value)
            return
        kept = Secret(value) if declared.secret else value
        top = self.frames[-1]
        self.frames[-1] = Frame(top.flow, top.state, {**top.data, declared.name: kept})

    # --- what happens

    def identify(self, identity: Identity) -> None:
        self.position, self.digest = identity.position, identity.digest
        self.version += 1
        self.acted = 0

    def take(self, text: str) -> None:
        """An input on the screen that is shown."""
        if self.asking:
            self._resume(text.strip())
            return
        if self._navigate(text.strip()):
            return
        match self.node:
            case Menu() as menu:
                self._choose(menu, text.strip())
            case Ask() as ask:
                self._answer(ask, text)
            case List() as list_:
                self._pick(list_, text.strip())
            case End():
                pass  # a long last text: anything but a key of its pages shows the same page again
            case node:
                raise IllegalMove(f"state '{node.name}' takes no input")

    def _navigate(self, key: str) -> bool:
        node = self.node
        if not isinstance(node, (Menu, Ask, List, End)):
            return False
        if key == (self.profile.more or self.flow.more) and self.page + 1 < len(self.pages()):
            self.page += 1
            return True
        if isinstance(node, End):
            return False
        if key == self._back_key(node):
            return self._go_back()
        if key == self._home_key(node) and self.away:
            self._go_home()
            return True
        return False

    def _back_key(self, node: Menu | Ask | List) -> str | None:
        own = self.profile.back
        if own is None or node.back is None:
            return node.back
        return None if isinstance(node, Menu) and own in node.keys else own

    def _home_key(self, node: Menu | Ask | List) -> str | None:
        return node.home and (self.profile.home or node.home)

    def _go_back(self) -> bool:
        """To the page before, else to the screen before, where there is one."""
        if self.page > 0:
            self.page -= 1
        elif self.history:
            mark = self.history.pop()
            del self.frames[mark.depth :]
            self.go(mark.state)
        else:
            return False
        return True

    def _go_home(self) -> None:
        del self.frames[1:]
        self.history.clear()
        self.away = False
        self.go(self._flow(self.top.flow).home)

    def _resume(self, key: str) -> None:
        """The answer to whether to go on with what was dropped."""
        self.wrong = key not in RESUME_KEYS
        self.asking = self.wrong
        if key == RESUME_KEYS[1]:
            bottom = self._flow(self.frames[0].flow)
            self.frames[:] = [Frame(bottom.name, bottom.start)]
            self.history.clear()
            self.away = False
            self.arrive()
            self.page, self.tries = 0, 0

    def _choose(self, menu: Menu, key: str) -> None:
        options = dict(route.visible(menu, self.on_screen))
        option = options.get(key)
        if option is None:
            self.wrong, self.page = True, 0
            return
        values = {name: value(self.plain) for name, value in option.sets.items()}
        for name, value in values.items():
            self.store(name, value)
        self.leave_screen(option.goto)

    def _answer(self, ask: Ask, text: str) -> None:
        value = None
        if len(text) <= self.profile.input_max:
            value = route.read_answer(ask, text, self.today, self.plain)
        if value is not None:
            self.told_pin = self.told_pin or ask.save.type == "pin"
            self._keep(ask.save, value)
            self.leave_screen(ask.goto)
            return
        self.tries += 1
        if ask.max_tries is not None and self.tries >= ask.max_tries:
            self.go(self.flow.table.move(ask.name, "tries"))
            self.away = True
            return
        self.wrong, self.page = True, 0

    def _pick(self, list_: List, key: str) -> None:
        """An item by its number. The list is the session's own, so what is chosen is what was shown."""
        items = self.items(list_)
        number = int(key) if key.isascii() and key.isdigit() else 0
        if key != str(number) or not 1 <= number <= len(items):
            self.wrong, self.page = True, 0
            return
        for name, item in list_.save.items():
            self.store(name, items[number - 1][item])
        self.leave_screen(list_.goto)

    def conclude(self, outcome: str, outputs: Mapping[str, Value]) -> None:
        """An action's result. Back never crosses an action that has run."""
        node = self.node
        if not isinstance(node, Action):
            raise IllegalMove(f"state '{node.name}' waits for no action")
        if outcome not in node.gotos:
            raise IllegalMove(f"action '{node.action}' has no outcome '{outcome}' in state '{node.name}'")
        self.history.clear()
        self.acted += 1
        for name, output in node.save.items():
            if output in outputs:
                self.store(name, outputs[output])
        self.follow(node.gotos[outcome])

    # --- until something is to be shown or run

    def settle(self) -> tuple[Session, Outcome]:
        self.drawn_on = self.today_iso
        if self.asking:
            return self._show()
        for _ in range(MAX_SILENT_MOVES):
            match self.node:
                case Menu() | Ask():
                    return self._show()
                case List() as list_ if self.items(list_):
                    return self._show()
                case List():
                    self.go(self.flow.table.move(self.top.state, "empty"))
                case End(outcome=str(outcome)) if len(self.frames) > 1:
                    self._return(outcome)
                case End():
                    return self._show()
                case Action() as action:
                    inputs = {name: value(self.plain) for name, value in action.inputs.items()}
                    return self._session(None), Run(action.action, action.effect, inputs)
                case Route(goto=goto):
                    self.follow(goto)
                case Call() as call:
                    self._call(call)
        raise IllegalMove(f"flow '{self.flow.name}' moves on without ever showing a screen")

    def _call(self, call: Call) -> None:
        if len(self.frames) >= MAX_CALL_DEPTH:
            raise IllegalMove(f"flow '{self.flow.name}' calls too deeply")
        callee = self._flow(call.flow)
        values = {name: value(self.plain) for name, value in call.inputs.items()}
        self.frames.append(Frame(callee.name, callee.start))
        self.arrive()
        for name, value in values.items():
            self.store(name, value)

    def _return(self, outcome: str) -> None:
        done = self.flow
        given = {name: self.plain(name) for name in done.data}
        self.frames.pop()
        self.arrive()
        self.history = [mark for mark in self.history if mark.depth <= len(self.frames)]
        call = self.node
        if not isinstance(call, Call) or outcome not in call.gotos:
            raise IllegalMove(f"flow '{done.name}' ends with '{outcome}', which its caller does not know")
        for name, output in call.save.items():
            self.store(name, given[output])
        self.follow(call.gotos[outcome])

    def _show(self) -> tuple[Session, Outcome]:
        here = Mark(len(self.frames), self.top.state)
        if self.history and self.history[-1] == here:  # a screen does not lead back to itself
            self.history.pop()
        pages = self.pages()
        self.page = min(self.page, len(pages) - 1)
        last = self.page == len(pages) - 1
        end = isinstance(self.node, End) and last and not self.asking
        label = RESUME_LABEL if self.asking else f"{self.flow.name}.{self.top.state}"
        screen = Screen(pages[self.page], end, label)
        return self._session(screen), screen

    def pages(self) -> tuple[str, ...]:
        """Drawn once for all sessions where nothing on them is a session's own."""
        node = self.node
        if self.asking:
            return self._resume_pages()
        if not isinstance(node, (Menu, Ask, End)) or not node.static:
            return self._drawn(node)
        back, home = bool(self.history), self.away
        key = (self.flow.name, node.name, self.language, self.profile, back, home, self.wrong)
        pages = self.program.pages.get(key)
        if pages is None:
            pages = self.program.pages[key] = self._drawn(node)
        return pages

    def _resume_pages(self) -> tuple[str, ...]:
        words = ("resume_continue", "resume_restart")
        choices = [
            f"{key}. {self._dialled_phrase(word)}" for key, word in zip(RESUME_KEYS, words, strict=True)
        ]
        said = [self._dialled_phrase("wrong_choice")] if self.wrong else []
        alone = Navigation(None, None, "", None)
        return paginate([*said, self._dialled_phrase("resume_question"), *choices], alone, self.profile)[:1]

    def _dialled_phrase(self, key: str) -> str:
        """The question is the dialled flow's, wherever in the flows that it calls the line dropped."""
        texts = self._flow(self.frames[0].flow).phrases[key]
        return fill(texts.get(self.language) or next(iter(texts.values())), self._of_nobody)

    def _of_nobody(self, _slot: Slot) -> str:
        return ""

    def _drawn(self, node: Node) -> tuple[str, ...]:
        match node:
            case Menu():
                options = route.visible(node, self.on_screen)
                lines = [self.text(node.text), *(f"{key}. {self.text(o.text)}" for key, o in options)]
                if self.wrong:
                    lines.insert(0, self.phrase("wrong_choice"))
            case Ask():
                lines = [self.text(node.wrong)] if self.wrong else []
                lines.append(self.text(node.text))
            case List():
                template = node.item.get(self.language) or node.item[self.flow.languages[0]]
                lines = [self.phrase("wrong_choice")] if self.wrong else []
                lines += [self.text(node.text), *self._numbered(template, self.items(node))]
            case End(text=texts) if texts is not None:
                lines = [self.text(texts)]
            case _:
                raise IllegalMove(f"state '{node.name}' has nothing to show")
        return paginate(lines, self._navigation(node), self.profile)

    def _numbered(self, template: Template, items: Items) -> Iterator[str]:
        for number, item in enumerate(items, 1):
            yield f"{number}. {fill(template, partial(self._of_item, item))}"

    def _of_item(self, item: Mapping[str, Scalar], slot: Slot) -> str:
        return written(item[slot.name], slot.form, self.language)

    def _navigation(self, node: Node) -> Navigation:
        more = f"{self.profile.more or self.flow.more}.{self.phrase('more')}"
        if not isinstance(node, (Menu, Ask, List)):
            return Navigation(None, None, more, None)
        back_key, home_key = self._back_key(node), self._home_key(node)
        back = f"{back_key}.{self.phrase('back')}" if back_key is not None else None
        home = f"{home_key}.{self.phrase('home')}" if home_key is not None and self.away else None
        return Navigation(back if self.history else None, home, more, back)

    def _session(self, screen: Screen | None) -> Session:
        ended = screen is not None and screen.end
        return replace(
            self.session,
            version=self.version,
            position=self.position,
            digest=self.digest,
            language=self.language,
            frames=() if ended else tuple(self.frames),
            history=() if ended else tuple(self.history),
            page=self.page,
            tries=self.tries,
            wrong=self.wrong,
            away=self.away,
            shown_on=self.drawn_on,
            acted=self.acted,
            asking=self.asking and not ended,
            told_pin=self.told_pin,
            seen_at=self.seen_at,
            receipt=screen,
            ended=ended,
        )


def resumed(dropped: Session, session: Session, *, ask: bool) -> Session:
    """The blank `session` of a new dial, standing where `dropped` stood. Nothing is unwound, and nothing runs again."""
    return replace(
        session,
        revision=dropped.revision,
        language=dropped.language,
        frames=dropped.frames,
        history=dropped.history,
        page=dropped.page,
        tries=dropped.tries,
        away=dropped.away,
        asking=ask,
    )


def begin(program: Program, flow: str, session: Session) -> Session:
    """A new session at the start of a flow, in the flow's default language."""
    compiled = program.flows[flow]
    return replace(
        session,
        revision=program.revision,
        language=compiled.languages[0],
        frames=(Frame(compiled.name, compiled.start),),
    )
