"""Flows as a Mermaid flowchart: a subgraph for each, and thick arrows from calls to the flows that they run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ussd_engine.drawing.labels import said, said_beside
from ussd_engine.drawing.lettering import clean
from ussd_engine.drawing.picture import Arrow, Box, Picture

SHAPES: Mapping[str, tuple[str, str]] = {
    "menu": ("(", ")"),
    "ask": (">", "]"),
    "list": ("[/", "\\]"),
    "action": ("{{", "}}"),
    "call": ("[[", "]]"),
    "route": ("{", "}"),
    "end": ("([", "])"),
}
CLASSES = (
    "classDef K_menu fill:#e8f0fe,stroke:#2f62c9,color:#1b2430",
    "classDef K_ask fill:#e3f4f0,stroke:#0e7a68,color:#1b2430",
    "classDef K_list fill:#e4f3fb,stroke:#0b6a94,color:#1b2430",
    "classDef K_action fill:#fff1d9,stroke:#a65d00,color:#1b2430",
    "classDef K_call fill:#f0eafc,stroke:#6741b5,color:#1b2430",
    "classDef K_route fill:#fce8f1,stroke:#ad2c72,color:#1b2430",
    "classDef K_end fill:#eceff3,stroke:#454f5f,stroke-width:3px,color:#1b2430",
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
