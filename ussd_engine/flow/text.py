"""Placeholders in texts, and no logic.

`{first_name}` stands for a value, `{balance:money}` for one in a form of its own, `{{` and `}}` for a brace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ussd_engine.flow.source import Path_

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_SLOT = re.compile(r"(?P<name>[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?)(?::(?P<form>[a-z_]+))?")
_SHOWN = frozenset("\n\u00a0\u202f\u200c\u200d\u200e\u200f")
"""Line breaks, spaces that keep a line together, joiners of letters and marks of direction: scripts need them."""


TEXTS_AT_MOST = 50_000
"""Kept in pieces: each text is asked for by several rules and by the compiler."""


class BadPlaceholder(ValueError):
    """The message says what is wrong with the braces."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A placeholder: the value that stands there, and the form that it is written in (see `formats`)."""

    name: str
    form: str | None = None


@lru_cache(TEXTS_AT_MOST)
def pieces(text: str) -> tuple[str | Slot, ...]:
    """A text as literals and slots. Raises BadPlaceholder for a lone brace or a name that is none."""
    found: list[str | Slot] = []
    for match in _PIECE.finditer(text):
        piece, name = match.group(0), match.group(1)
        if name is not None:
            slot = _SLOT.fullmatch(name)
            if slot is None:
                raise BadPlaceholder(
                    f"'{{{name}}}' is no placeholder; write {{name}} with the name of a value, or {{name:form}}"
                )
            found.append(Slot(slot["name"], slot["form"]))
        elif piece in {"{", "}"}:
            raise BadPlaceholder(f"a lone '{piece}'; write '{piece}{piece}' for the character itself")
        else:
            found.append({"{{": "{", "}}": "}"}.get(piece, piece))
    return tuple(_joined(found))


def fill(template: Iterable[str | Slot], shown: Callable[[Slot], str]) -> str:
    """A text with what is `shown` in place of each slot."""
    return "".join(piece if isinstance(piece, str) else shown(piece) for piece in template)


def _joined(found: list[str | Slot]) -> Iterator[str | Slot]:
    run = ""
    for piece in found:
        if isinstance(piece, str):
            run += piece
            continue
        if run:
            yield run
        run = ""
        yield piece
    if run:
        yield run


def unprintable(text: str) -> str:
    """The first character that no screen shows, such as a control character, as "U+001B"; "" for none."""
    if text.isprintable():
        return ""
    return next((f"U+{ord(c):04X}" for c in text if not c.isprintable() and c not in _SHOWN), "")


def singles(text: str | Mapping[str, str], path: Path_) -> Iterator[tuple[Path_, str]]:
    """The text of each language, or the one text for all of them, each with its place in the file."""
    if isinstance(text, str):
        yield path, text
    else:
        yield from (((*path, language), single) for language, single in text.items())


def per_language(text: str | Mapping[str, str], languages: list[str]) -> dict[str, str]:
    """A text by language; one that stands alone serves every language."""
    return dict.fromkeys(languages, text) if isinstance(text, str) else dict(text)
