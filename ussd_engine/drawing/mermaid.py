"""Flows as a Mermaid flowchart: a subgraph for each, and thick arrows from calls to the flows that they run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ussd_engine.drawing.labels import said, said_beside
from ussd_engine.drawing.lettering import clean
from ussd_engine.drawing.picture import Arrow, Box, Picture
from ussd_engine.drawing.stylesheet import KINDS

SHAPES: Mapping[str, tuple[str, str]] = {
    "menu": ("(", ")"),
    "ask": (">", "]"),
    "list": ("[/", "\\]"),
    "action": ("{{", "}}"),
    "call": ("[[", "]]"),
    "route": ("{", "}"),
    "end": ("([", "])"),
}
_INK = "color:#1b2430"
CLASSES = (
    *(
        f"classDef K_{kind} fill:{fill},stroke:{line},{'stroke-width:3px,' if kind == 'end' else ''}{_INK}"
        for kind, (fill, line, _, _) in KINDS.items()
    ),
    "classDef K_start fill:#454f5f,stroke:#454f5f,color:#ffffff",
    "classDef K_never fill:#ffffff,stroke:#c2261c,stroke-dasharray:6 4,color:#c2261c",
)
_SPECIAL = re.compile(r"(?<![a-z0-9])_|_(?![a-z0-9])|[^\w .,!?'\x80-\U0010ffff]", re.ASCII | re.IGNORECASE)
"""What Mermaid may give a meaning even within quotes: it is written as its number. A '_' within a name has none."""


def mermaid(pictures: Sequence[Picture]) -> str:
    flows = {picture.flow for picture in pictures}
    lines = ["flowchart TD"]
    for picture in pictures:
        lines += _subgraph(picture)
    for picture in pictures:
        for box in picture.boxes:
            if box.kind == "call" and box.note in flows:
                lines.append(f"  {_id(picture.flow, box.name)} ==>|{_quoted('runs')}| {_start(box.note)}")
    return "\n".join([*lines, *(f"  {each}" for each in CLASSES), ""])


def _subgraph(picture: Picture) -> Iterator[str]:
    title = [picture.flow, *picture.dial]
    yield f"  subgraph F_{picture.flow}[{_quoted(*title)}]"
    yield "    direction TB"
    yield f"    {_start(picture.flow)}(({_quoted('start')})):::K_start --> {_id(picture.flow, picture.start)}"
    for box in picture.boxes:
        yield f"    {_node(picture.flow, box)}"
    for arrow in picture.arrows:
        yield f"    {_link(picture.flow, arrow)}"
    yield "  end"


def _id(flow: str, state: str) -> str:
    """Names are in small letters: so no two ids are alike, and none is a word of Mermaid's own."""
    return f"F_{flow}_S_{state}"


def _start(flow: str) -> str:
    return f"F_{flow}_START"


def _node(flow: str, box: Box) -> str:
    left, right = SHAPES[box.kind]
    style = "never" if box.visits == 0 else box.kind
    text = _quoted(*(part for part, _ in said(box)))
    return f"{_id(flow, box.name)}{left}{text}{right}:::K_{style}"


def _link(flow: str, arrow: Arrow) -> str:
    line = "-.->" if arrow.visits == 0 else "-->"
    text = _quoted(*(part for part, _ in said_beside(arrow)))
    return f"{_id(flow, arrow.source)} {line}|{text}| {_id(flow, arrow.target)}"


def _quoted(*lines: str) -> str:
    return f'"{"<br/>".join(map(_escaped, lines))}"'


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", clean(text))
