"""What a subscriber sees where a session stands: the pages, and the keys on them. Nothing here moves the session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from ussd_engine.errors import IllegalMove
from ussd_engine.flow.formats import written
from ussd_engine.flow.pager import Navigation, paginate
from ussd_engine.flow.phrases import RESUME_KEYS
from ussd_engine.flow.text import Slot, fill
from ussd_engine.runtime import route
from ussd_engine.runtime.program import Ask, End, Items, List, Menu, Node, Scalar, Template
from ussd_engine.runtime.stand import Stand

RESUME_LABEL = "resume"
"""Of the screen that asks whether to go on with a session that was dropped."""


def pages_of(stand: Stand) -> tuple[str, ...]:
    """The pages of the screen. Drawn once for all sessions where nothing on them is a session's own."""
    node = stand.node
    if stand.asking:
        return _resume_pages(stand)
    if not isinstance(node, (Menu, Ask, End)) or not node.static:
        return _drawn(stand, node)
    back, home = bool(stand.history), stand.away
    key = (stand.flow.name, node.name, stand.language, stand.profile, back, home, stand.wrong)
    pages = stand.program.pages.get(key)
    if pages is None:
        pages = stand.program.pages[key] = _drawn(stand, node)
    return pages


def _resume_pages(stand: Stand) -> tuple[str, ...]:
    choices = [f"{key}. {_dialled_phrase(stand, word)}" for key, word in RESUME_KEYS.items()]
    said = [_dialled_phrase(stand, "wrong_choice")] if stand.wrong else []
    alone = Navigation(None, None, "", None)
    return paginate([*said, _dialled_phrase(stand, "resume_question"), *choices], alone, stand.profile)[:1]


def _dialled_phrase(stand: Stand, key: str) -> str:
    """The question is the dialled flow's, wherever in the flows that it calls the line dropped."""
    texts = stand.flow_of(stand.frames[0].flow).phrases[key]
    return fill(texts.get(stand.language) or next(iter(texts.values())), _of_nobody)


def _of_nobody(_slot: Slot) -> str:
    return ""


def _drawn(stand: Stand, node: Node) -> tuple[str, ...]:
    match node:
        case Menu():
            options = route.visible(node, stand.on_screen)
            lines = [stand.text(node.text), *(f"{key}. {stand.text(o.text)}" for key, o in options)]
            if stand.wrong:
                lines.insert(0, stand.phrase("wrong_choice"))
        case Ask():
            lines = [stand.text(node.wrong)] if stand.wrong else []
            lines.append(stand.text(node.text))
        case List():
            template = node.item.get(stand.language) or node.item[stand.flow.languages[0]]
            lines = [stand.phrase("wrong_choice")] if stand.wrong else []
            lines += [stand.text(node.text), *_numbered(stand, template, stand.items(node))]
        case End(text=texts) if texts is not None:
            lines = [stand.text(texts)]
        case _:
            raise IllegalMove(f"state '{node.name}' has nothing to show")
    return paginate(lines, _navigation(stand, node), stand.profile)


def _numbered(stand: Stand, template: Template, items: Items) -> Iterator[str]:
    for number, item in enumerate(items, 1):
        yield f"{number}. {fill(template, partial(_of_item, stand.language, item))}"


def _of_item(language: str, item: Mapping[str, Scalar], slot: Slot) -> str:
    return written(item[slot.name], slot.form, language)


def _navigation(stand: Stand, node: Node) -> Navigation:
    more = f"{stand.profile.more or stand.flow.more}.{stand.phrase('more')}"
    if not isinstance(node, (Menu, Ask, List)):
        return Navigation(None, None, more, None)
    back_on, home_on = back_key(stand, node), home_key(stand, node)
    back = f"{back_on}.{stand.phrase('back')}" if back_on is not None else None
    home = f"{home_on}.{stand.phrase('home')}" if home_on is not None and stand.away else None
    return Navigation(back if stand.history else None, home, more, back)


def back_key(stand: Stand, node: Menu | Ask | List) -> str | None:
    """The key on this network; None where the screen has none."""
    own = stand.profile.back
    if own is None or node.back is None:
        return node.back
    return None if isinstance(node, Menu) and own in node.keys else own


def home_key(stand: Stand, node: Menu | Ask | List) -> str | None:
    """As `back_key`."""
    return node.home and (stand.profile.home or node.home)
