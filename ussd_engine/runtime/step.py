"""The story of a turn: a session and an input go in, the next session and its screen or action come out.

Pure: no clock, no I/O, no randomness. The states that show nothing (route, call, the end of a called flow) are
passed through until one waits for the subscriber, runs an action, or ends the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from ussd_engine.errors import IllegalMove
from ussd_engine.flow.pager import Profile
from ussd_engine.flow.phrases import RESUME_KEYS
from ussd_engine.runtime import route
from ussd_engine.runtime.happenings import Happening, Input, Outcome, Proceed, Result, Run
from ussd_engine.runtime.program import Action, Ask, Call, End, List, Menu, Program, Route, Value
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.screens import RESUME_LABEL, back_key, home_key, pages_of
from ussd_engine.runtime.session import Frame, Mark, Session
from ussd_engine.runtime.stand import Stand

MAX_SILENT_MOVES = 100
"""States passed through without a screen in one step. Flows that loop silently are cut off here."""
MAX_CALL_DEPTH = 20
"""Flows called within flows. A flow that calls itself without a screen is cut off here."""


def step(
    program: Program, session: Session, happening: Happening, now: datetime, profile: Profile
) -> tuple[Session, Outcome]:
    """One step. Raises IllegalMove when the session cannot take it, such as an unknown outcome of an action."""
    stand = Stand(program, session, now, profile)
    match happening:
        case Proceed():
            pass
        case Input(text, identity):
            stand.identify(identity)
            _take(stand, text)
        case Result(outcome, outputs):
            _conclude(stand, outcome, outputs)
        case _:
            assert_never(happening)
    return _settle(stand)


def waits_for_action(program: Program, session: Session) -> bool:
    """Whether the session stands at an action whose result it does not have yet."""
    if session.ended:
        return False
    flow = program.flows.get(session.top.flow)
    return flow is not None and isinstance(flow.nodes.get(session.top.state), Action)


def _take(stand: Stand, text: str) -> None:
    """An input on the screen that is shown."""
    if stand.asking:
        _resume(stand, text.strip())
        return
    if _navigate(stand, text.strip()):
        return
    match stand.node:
        case Menu() as menu:
            _choose(stand, menu, text.strip())
        case Ask() as ask:
            _answer(stand, ask, text)
        case List() as list_:
            _pick(stand, list_, text.strip())
        case End():
            pass  # a long last text: anything but a key of its pages shows the same page again
        case node:
            raise IllegalMove(f"state '{node.name}' takes no input")


def _navigate(stand: Stand, key: str) -> bool:
    node = stand.node
    if not isinstance(node, (Menu, Ask, List, End)):
        return False
    if key == (stand.profile.more or stand.flow.more) and stand.page + 1 < len(pages_of(stand)):
        stand.page += 1
        return True
    if isinstance(node, End):
        return False
    if key == back_key(stand, node):
        return _go_back(stand)
    if key == home_key(stand, node) and stand.away:
        _go_home(stand)
        return True
    return False


def _go_back(stand: Stand) -> bool:
    """To the page before, else to the screen before, where there is one."""
    if stand.page > 0:
        stand.page -= 1
    elif stand.history:
        mark = stand.history.pop()
        del stand.frames[mark.depth :]
        stand.go(mark.state)
    else:
        return False
    return True


def _go_home(stand: Stand) -> None:
    del stand.frames[1:]
    stand.history.clear()
    stand.away = False
    stand.go(stand.flow_of(stand.top.flow).home)


def _resume(stand: Stand, key: str) -> None:
    """The answer to whether to go on with what was dropped."""
    stand.wrong = key not in RESUME_KEYS
    stand.asking = stand.wrong
    if RESUME_KEYS.get(key) == "resume_restart":
        bottom = stand.flow_of(stand.frames[0].flow)
        stand.frames[:] = [Frame(bottom.name, bottom.start)]
        stand.history.clear()
        stand.away = False
        stand.arrive()
        stand.page, stand.tries = 0, 0


def _choose(stand: Stand, menu: Menu, key: str) -> None:
    options = dict(route.visible(menu, stand.on_screen))
    option = options.get(key)
    if option is None:
        stand.wrong, stand.page = True, 0
        return
    values = {name: value(stand.plain) for name, value in option.sets.items()}
    for name, value in values.items():
        stand.store(name, value)
    stand.leave_screen(option.goto)


def _answer(stand: Stand, ask: Ask, text: str) -> None:
    value = None
    if len(text) <= stand.profile.input_max:
        value = route.read_answer(ask, text, stand.today, stand.plain)
    if value is not None:
        stand.told_pin = stand.told_pin or ask.save.type == "pin"
        stand.keep(ask.save, value)
        stand.leave_screen(ask.goto)
        return
    stand.tries += 1
    if ask.max_tries is not None and stand.tries >= ask.max_tries:
        stand.go(stand.flow.table.move(ask.name, "tries"))
        stand.away = True
        return
    stand.wrong, stand.page = True, 0


def _pick(stand: Stand, list_: List, key: str) -> None:
    """An item by its number. The list is the session's own, so what is chosen is what was shown."""
    items = stand.items(list_)
    number = int(key) if key.isascii() and key.isdigit() else 0
    if key != str(number) or not 1 <= number <= len(items):
        stand.wrong, stand.page = True, 0
        return
    for name, item in list_.save.items():
        stand.store(name, items[number - 1][item])
    stand.leave_screen(list_.goto)


def _conclude(stand: Stand, outcome: str, outputs: Mapping[str, Value]) -> None:
    """An action's result. Back never crosses an action that has run."""
    node = stand.node
    if not isinstance(node, Action):
        raise IllegalMove(f"state '{node.name}' waits for no action")
    if outcome not in node.gotos:
        raise IllegalMove(f"action '{node.action}' has no outcome '{outcome}' in state '{node.name}'")
    stand.history.clear()
    stand.acted += 1
    for name, output in node.save.items():
        if output in outputs:
            stand.store(name, outputs[output])
    stand.follow(node.gotos[outcome])


def _settle(stand: Stand) -> tuple[Session, Outcome]:
    stand.drawn_on = stand.today_iso
    if stand.asking:
        return _show(stand)
    for _ in range(MAX_SILENT_MOVES):
        match stand.node:
            case Menu() | Ask():
                return _show(stand)
            case List() as list_ if stand.items(list_):
                return _show(stand)
            case List():
                stand.go(stand.flow.table.move(stand.top.state, "empty"))
            case End(outcome=str(outcome)) if len(stand.frames) > 1:
                _return(stand, outcome)
            case End():
                return _show(stand)
            case Action() as action:
                inputs = {name: value(stand.plain) for name, value in action.inputs.items()}
                return stand.session_with(None), Run(action.action, action.effect, inputs)
            case Route(goto=goto):
                stand.follow(goto)
            case Call() as call:
                _call(stand, call)
    raise IllegalMove(f"flow '{stand.flow.name}' moves on without ever showing a screen")


def _call(stand: Stand, call: Call) -> None:
    if len(stand.frames) >= MAX_CALL_DEPTH:
        raise IllegalMove(f"flow '{stand.flow.name}' calls too deeply")
    callee = stand.flow_of(call.flow)
    values = {name: value(stand.plain) for name, value in call.inputs.items()}
    stand.frames.append(Frame(callee.name, callee.start))
    stand.arrive()
    for name, value in values.items():
        stand.store(name, value)


def _return(stand: Stand, outcome: str) -> None:
    done = stand.flow
    given = {name: stand.plain(name) for name in done.data}
    stand.frames.pop()
    stand.arrive()
    stand.history = [mark for mark in stand.history if mark.depth <= len(stand.frames)]
    call = stand.node
    if not isinstance(call, Call) or outcome not in call.gotos:
        raise IllegalMove(f"flow '{done.name}' ends with '{outcome}', which its caller does not know")
    for name, output in call.save.items():
        stand.store(name, given[output])
    stand.follow(call.gotos[outcome])


def _show(stand: Stand) -> tuple[Session, Outcome]:
    here = Mark(len(stand.frames), stand.top.state)
    if stand.history and stand.history[-1] == here:  # a screen does not lead back to itself
        stand.history.pop()
    pages = pages_of(stand)
    stand.page = min(stand.page, len(pages) - 1)
    last = stand.page == len(pages) - 1
    end = isinstance(stand.node, End) and last and not stand.asking
    label = RESUME_LABEL if stand.asking else f"{stand.flow.name}.{stand.top.state}"
    screen = Screen(pages[stand.page], end, label)
    return stand.session_with(screen), screen


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
