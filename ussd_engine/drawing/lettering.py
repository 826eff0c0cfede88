"""Text that has to stay inside a box: how wide it is at the most, and where its lines break."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"
JOINERS = "\u200c\u200d"
"""Scripts need them; every other character without a shape becomes a blank."""

_NARROW = frozenset("iIjl.,:;'|![]()ftr/\\ \"-`")
_WIDE = frozenset("mwMW@%—")
_BOLD = 1.12


def clean(text: str) -> str:
    """One line that every drawing may hold: no control characters, and blanks do not pile up."""
    seen = (c if c.isprintable() or c in JOINERS else " " for c in text)
    return " ".join("".join(seen).split())


def width(text: str, size: float, *, bold: bool = False) -> float:
    """An upper bound, in the unit of `size`: the widest of the usual sans-serif faces, character by character."""
    return sum(map(_em, text)) * size * (_BOLD if bold else 1)


def _em(character: str) -> float:
    if unicodedata.combining(character) or character in JOINERS:
        return 0
    if character in _NARROW:
        return 0.43
    if character in _WIDE:
        return 1.02
    if character.isascii():
        return 0.77 if character.isupper() else 0.65
    return 1.05 if unicodedata.east_asian_width(character) in "WF" else 0.85


def wrap(text: str, size: float, room: float, lines: int, *, bold: bool = False) -> tuple[str, ...]:
    """At most so many lines, each no wider than `room`; what does not fit ends in an ellipsis."""
    found, rest = list[str](), clean(text)
    while rest and len(found) < lines:
        line = rest[: _fitting(rest, size, room, bold=bold)]
        if len(line) < len(rest):
            if len(found) == lines - 1:
                found.append(_shortened(rest, size, room, bold=bold))
                break
            line = _broken(line, rest)
        found.append(line.strip())
        rest = rest[len(line) :].strip()
    return tuple(found)


def _broken(line: str, rest: str) -> str:
    """Up to the last blank, or else behind a '_' or '.', so that a long name breaks where its parts do."""
    if rest[len(line)] == " " or " " in line.strip():
        return line if rest[len(line)] == " " else line[: line.rindex(" ") + 1]
    part = max(line.rfind("_"), line.rfind("."))
    return line[: part + 1] if part > 0 else line


def _fitting(text: str, size: float, room: float, *, bold: bool) -> int:
    """How many characters fit; one at the least."""
    count = 1
    while count < len(text) and width(text[: count + 1], size, bold=bold) <= room:
        count += 1
    return count


def _shortened(text: str, size: float, room: float, *, bold: bool) -> str:
    left = room - width(ELLIPSIS, size, bold=bold)
    return text[: _fitting(text, size, left, bold=bold)].rstrip(" .,") + ELLIPSIS
