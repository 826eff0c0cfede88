"""In which language a session must be after a turn, and whether a page is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ussd_engine.flow.guards import GuardError
from ussd_engine.runtime import route
from ussd_engine.runtime.program import Action, Ask, Call, End, List, Menu, Program
from ussd_engine.runtime.screens import RESUME_LABEL
from ussd_engine.testing.explore import languages_of, reader

if TYPE_CHECKING:
    from ussd_engine.flow.pager import Profile
    from ussd_engine.runtime.program import Template
    from ussd_engine.runtime.screen import Screen
    from ussd_engine.runtime.session import Session
    from ussd_engine.testing.rig import Ran

BEGINNING = 12
"""Characters of a text that stand on the first of its pages, whatever the network."""


def set_by(program: Program, session: Session, text: str) -> str | None:
    """The language that an input sets on the screen where a session stands; None where it sets none."""
    if session.asking:
        return None
    flow = program.flows[session.top.flow]
    node = flow.nodes[session.top.state]
    if not isinstance(node, Menu):
        return None
    value_of = reader(flow, session)
    option = dict(route.visible(node, value_of)).get(text.strip())
    expression = option.sets.get("language") if option is not None else None
    try:
        value = expression(value_of) if expression is not None else None
    except GuardError:  # the turn is one that the engine apologises for
        return None
    return value if isinstance(value, str) and value in flow.languages else None


def spoken_after(program: Program, language: str, ran: Iterable[Ran]) -> frozenset[str]:
    """What a session in `language` may be in when these actions have come back, one after the other."""
    if _set_elsewhere(program):
        return frozenset(languages_of(program))
    spoken = frozenset([language])
    for one in ran:
        spoken = frozenset(after for before in spoken for after in _given(program, before, one))
    return spoken


def _given(program: Program, language: str, ran: Ran) -> Iterator[str]:
    """One for each state where the action can have run: it is not known which it was."""
    for flow in program.flows.values():
        for node in flow.nodes.values():
            if isinstance(node, Action) and node.action == ran.action:
                given = ran.result.outputs.get(node.save.get("language", ""))
                yield given if isinstance(given, str) and given in flow.languages else language


def _set_elsewhere(program: Program) -> bool:
    """Whether an item of a list or a called flow sets the language: what to is not followed here."""
    return any(
        (isinstance(node, List | Call) and "language" in node.save)
        or (isinstance(node, Call) and "language" in node.inputs)
        for flow in program.flows.values()
        for node in flow.nodes.values()
    )


def in_its_language(program: Program, session: Session, screen: Screen, profile: Profile) -> bool:
    """Whether the words of a first page stand in the text of the session's language."""
    if session.page > 0:
        return True
    said = _squeezed(screen.text)
    flow = program.flows[program.dial[session.service_code]]
    if screen.label != RESUME_LABEL:
        flow = program.flows[screen.label.partition(".")[0]]
    more = profile.more or flow.more
    whole = not screen.text.rpartition("\n")[2].split(" ")[-1].startswith(more)
    for template in _shown(program, session, screen):
        literals = [_squeezed(piece) for piece in template if isinstance(piece, str)]
        if not whole:  # what comes first is on the first page, however many there are
            return not isinstance(template[0], str) or literals[0][:BEGINNING] in said
        if not all(literal in said for literal in literals):
            return False
    return True


def _shown(program: Program, session: Session, screen: Screen) -> Iterator[Template]:
    """What the page is made of, in order, but for the items of a list and the keys below."""
    if screen.label == RESUME_LABEL:
        flow = program.flows[program.dial[session.service_code]]
        texts = [flow.phrases["resume_question"]]
    else:
        name, _, state = screen.label.partition(".")
        flow = program.flows[name]
        node = flow.nodes[state]
        texts = []
        if session.wrong and isinstance(node, Menu | List | Ask):
            texts.append(node.wrong if isinstance(node, Ask) else flow.phrases["wrong_choice"])
        if isinstance(node, Menu | List | Ask | End) and node.text is not None:
            texts.append(node.text)
        if isinstance(node, Menu):
            texts += [option.text for _, option in route.visible(node, reader(flow, session))]
    for text in texts:
        yield text.get(session.language) or text[flow.languages[0]]


def _squeezed(text: str) -> str:
    """Without spaces and line breaks: pages break where they must."""
    return "".join(text.split())
