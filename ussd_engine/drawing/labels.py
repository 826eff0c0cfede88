"""What is written in a box and beside an arrow, line by line, in words for a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ussd_engine.drawing.lettering import width, wrap
from ussd_engine.drawing.picture import Arrow, Box

BOX_ROOM = 176.0
LABEL_ROOM = 136.0


@dataclass(frozen=True, slots=True)
class Style:
    """`name` is the class of the text in a drawing."""

    name: str
    size: float
    lines: int
    bold: bool = False


KIND = Style("kind", 10, 1, bold=True)
NAME = Style("name", 14, 2, bold=True)
TEXT = Style("text", 12, 2)
CAPTION = Style("caption", 12, 2)
GUARD = Style("guard", 11, 3)
COUNT = Style("count", 11, 1, bold=True)
LEADING = 1.3


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    style: Style


def said(box: Box) -> Iterator[tuple[str, Style]]:
    """What a box says, whole."""
    yield box.kind.upper(), KIND
    yield box.name, NAME
    if box.note:
        words = {"list": "items of {}", "call": "runs the flow {}", "end": "returns {}"}.get(box.kind, "{}")
        yield words.format(box.note), TEXT
    if box.text:
        yield box.text, TEXT
    if box.visits is not None:
        yield counted(box.visits), COUNT


def said_beside(arrow: Arrow) -> Iterator[tuple[str, Style]]:
    if arrow.caption:
        yield arrow.caption, CAPTION
    for guard in arrow.guards:
        yield guard, GUARD
    if arrow.visits is not None:
        yield counted(arrow.visits), COUNT


def counted(visits: int) -> str:
    return f"{visits:,} visit{'' if visits == 1 else 's'}" if visits else "never visited"


def lines_of(parts: Iterator[tuple[str, Style]], room: float) -> tuple[Line, ...]:
    return tuple(
        Line(line, style)
        for text, style in parts
        for line in wrap(text, style.size, room, style.lines, bold=style.bold)
    )


def extent(lines: tuple[Line, ...]) -> tuple[float, float]:
    """Width and height of the lines, one below the other."""
    wide = max(width(line.text, line.style.size, bold=line.style.bold) for line in lines)
    return wide, sum(line.style.size * LEADING for line in lines)
