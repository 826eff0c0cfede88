"""Flows as one SVG: a panel for each, readable in light and dark, without scripts, fonts or anything else from outside.

Colours are given as plain rules of CSS and not as variables, which the programs that slides are made with do not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from ussd_engine.drawing.geometry import Layout, Link, Route, Spot
from ussd_engine.drawing.labels import (
    BOX_ROOM,
    LABEL_ROOM,
    LEADING,
    Line,
    extent,
    lines_of,
    said,
    said_beside,
)
from ussd_engine.drawing.layout import lay_out
from ussd_engine.drawing.lettering import clean, width
from ussd_engine.drawing.outlines import OUTLINES, number
from ussd_engine.drawing.picture import Arrow, Box, Picture
from ussd_engine.drawing.stylesheet import STYLE
from ussd_engine.flow.graph import edge_key, state_key

MARGIN = 24.0
PANEL = 20.0
"""Around the drawing within its panel."""
HEAD = 62.0
START = 44.0
"""Above the first state, for the mark of the start."""
DOT = 7.0
TITLE = 18.0
SUBTITLE = 12.0
LOOP_SWING = 34.0
LABEL_PAD = 3.0
ROW = 12
"""At most so many flows beside each other."""
SHAPE_OF_PAGE = 1.6
"""Width to height that the panels together should have: that of a slide."""


@dataclass(frozen=True, slots=True)
class _Panel:
    picture: Picture
    layout: Layout
    boxes: dict[str, tuple[Line, ...]]
    labels: tuple[tuple[Line, ...], ...]
    subtitle: str
    width: float
    height: float


def svg(pictures: Sequence[Picture]) -> str:
    panels = [_panel(picture) for picture in pictures]
    spots = _arranged(panels)
    wide = max(spot.x + spot.width for spot in spots) + MARGIN
    high = max(spot.y + spot.height for spot in spots) + MARGIN
    names = ", ".join(picture.flow for picture in pictures)
    flows = {picture.flow for picture in pictures}
    size = f'width="{number(wide)}" height="{number(high)}" viewBox="0 0 {number(wide)} {number(high)}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="graphics-document" aria-labelledby="title desc">',
        f'<title id="title">{_text(_title(pictures))}</title>',
        f'<desc id="desc">{_text(f"States and the ways between them: {names}")}</desc>',
        f"<style>{STYLE}</style>",
        "<defs>",
        *(_head(name) for name in ("head", "head-never")),
        "</defs>",
        '<rect class="page" width="100%" height="100%"/>',
    ]
    for panel, spot in zip(panels, spots, strict=True):
        lines += _drawn(panel, spot, flows)
    return "\n".join([*lines, "</svg>", ""])


def _title(pictures: Sequence[Picture]) -> str:
    return f"Flow {pictures[0].flow}" if len(pictures) == 1 else f"{len(pictures)} flows"


def _head(name: str) -> str:
    return (
        f'<marker id="{name}" class="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="10" markerHeight="10"'
        ' orient="auto-start-reverse" markerUnits="userSpaceOnUse"><path d="M0 0.8 L9.5 5 L0 9.2 Z"/></marker>'
    )


def _panel(picture: Picture) -> _Panel:
    boxes = {box.name: lines_of(said(box), BOX_ROOM) for box in _start_first(picture)}
    labels = tuple(lines_of(said_beside(arrow), LABEL_ROOM) for arrow in picture.arrows)
    kinds = {box.name: box.kind for box in picture.boxes}
    shapes = {name: OUTLINES[kinds[name]].around(*extent(lines)) for name, lines in boxes.items()}
    links = [
        Link(arrow.source, arrow.target, wide + 2 * LABEL_PAD, high)
        for arrow, (wide, high) in zip(picture.arrows, map(extent, labels), strict=True)
    ]
    layout = lay_out(shapes, links)
    subtitle = _subtitle(picture)
    head = max(width(picture.flow, TITLE, bold=True), width(subtitle, SUBTITLE))
    return _Panel(
        picture,
        layout,
        boxes,
        labels,
        subtitle,
        max(layout.width, head) + 2 * PANEL,
        layout.height + HEAD + START + PANEL,
    )


def _start_first(picture: Picture) -> list[Box]:
    return sorted(picture.boxes, key=lambda box: box.name != picture.start)


def _subtitle(picture: Picture) -> str:
    parts = [f"dialled as {', '.join(picture.dial)}"] if picture.dial else []
    if picture.boxes[0].visits is not None:
        for noun, counts in (
            ("states", [box.visits for box in picture.boxes]),
            ("ways", [arrow.visits for arrow in picture.arrows]),
        ):
            parts.append(f"{sum(map(bool, counts))} of {len(counts)} {noun} visited")
    else:
        parts.append(f"{len(picture.boxes)} states")
    return " · ".join(parts)


def _arranged(panels: Sequence[_Panel]) -> list[Spot]:
    """In rows, as text is, of the width that makes the page fit best on a slide."""
    rooms = [
        sum(panel.width + MARGIN for panel in panels[i:j])
        for i in range(len(panels))
        for j in range(i + 1, min(i + ROW, len(panels)) + 1)
    ]

    def worth(room: float) -> float:
        spots = _rows(panels, room)
        wide = max(spot.x + spot.width for spot in spots)
        return max(wide, SHAPE_OF_PAGE * max(spot.y + spot.height for spot in spots))

    return _rows(panels, min(sorted(rooms), key=worth))


def _rows(panels: Sequence[_Panel], room: float) -> list[Spot]:
    spots = list[Spot]()
    x, y, high = MARGIN, MARGIN, 0.0
    for panel in panels:
        if x > MARGIN and x + panel.width > room + MARGIN:
            x, y, high = MARGIN, y + high + MARGIN, 0.0
        spots.append(Spot(x, y, panel.width, panel.height))
        x, high = x + panel.width + MARGIN, max(high, panel.height)
    return spots


def _drawn(panel: _Panel, spot: Spot, flows: set[str]) -> Iterator[str]:
    picture, layout = panel.picture, panel.layout
    yield (
        f'<g class="flow" id="flow-{picture.flow}" role="graphics-object" transform="translate({number(spot.x)}'
        f' {number(spot.y)})">'
    )
    yield f"<title>{_text(f'Flow {picture.flow}, {panel.subtitle}')}</title>"
    yield f'<rect class="panel" width="{number(spot.width)}" height="{number(spot.height)}" rx="14"/>'
    yield f'<text class="title" x="{number(PANEL)}" y="36">{_text(picture.flow)}</text>'
    yield f'<text class="subtitle" x="{number(PANEL)}" y="56">{_text(panel.subtitle)}</text>'
    left = (spot.width - layout.width) / 2
    yield f'<g transform="translate({number(left)} {number(HEAD + START)})">'
    yield from _start(layout.boxes[picture.start])
    for arrow, route, lines in zip(picture.arrows, layout.routes, panel.labels, strict=True):
        yield from _arrow(picture, arrow, route, lines)
    for box in picture.boxes:
        yield from _box(picture, box, layout.boxes[box.name], panel.boxes[box.name], flows)
    yield "</g></g>"


def _start(spot: Spot) -> Iterator[str]:
    x, top = spot.middle[0], -START + DOT + 4
    yield f'<g class="start"><title>start</title><circle cx="{number(x)}" cy="{number(top)}" r="{number(DOT)}"/>'
    yield f'<text x="{number(x + 14)}" y="{number(top + 4)}">start</text>'
    yield f'<path class="line" marker-end="url(#head)" d="M{number(x)} {number(top + DOT)} V{number(spot.y)}"/></g>'


def _arrow(picture: Picture, arrow: Arrow, route: Route, lines: tuple[Line, ...]) -> Iterator[str]:
    never = " never" if arrow.visits == 0 else ""
    key = edge_key(picture.flow, arrow.source, arrow.label)
    said_whole = ", ".join(text for text, _ in said_beside(arrow))
    yield f'<g class="edge{never}" data-edge={quoteattr(key)} role="graphics-symbol">'
    yield f"<title>{_text(f'{arrow.source} to {arrow.target}: {said_whole}')}</title>"
    yield f'<path class="line" marker-end="url(#head{"-never" if never else ""})" d="{_path(route)}"/>'
    spot = route.label
    yield (
        f'<rect class="under" x="{number(spot.x)}" y="{number(spot.y)}" width="{number(spot.width)}"'
        f' height="{number(spot.height)}"/>'
    )
    yield from _lines(lines, spot)
    yield "</g>"


def _path(route: Route) -> str:
    (x, y), *others = route.points
    parts = [f"M{number(x)} {number(y)}"]
    for to_x, to_y in others:
        if route.loop:
            out = number(x + LOOP_SWING)
            parts.append(f"C{out} {number(y - 6)} {out} {number(to_y + 6)} {number(to_x)} {number(to_y)}")
        elif (number(to_x), number(to_y)) == (number(x), number(y)):
            continue  # a piece without length has no direction, and the head of the arrow would have none
        elif number(to_x) == number(x):
            parts.append(f"V{number(to_y)}")
        else:
            half = number((y + to_y) / 2)
            parts.append(f"C{number(x)} {half} {number(to_x)} {half} {number(to_x)} {number(to_y)}")
        x, y = to_x, to_y
    return " ".join(parts)


def _box(picture: Picture, box: Box, spot: Spot, lines: tuple[Line, ...], flows: set[str]) -> Iterator[str]:
    never = " never" if box.visits == 0 else ""
    key = state_key(picture.flow, box.name)
    linked = box.kind == "call" and box.note in flows
    if linked:
        yield f'<a href="#flow-{box.note}">'
    yield f'<g class="state {box.kind}{never}" data-state="{key}" role="graphics-symbol">'
    yield f"<title>{_text(', '.join(text for text, _ in said(box)))}</title>"
    yield f'<path class="shape" d="{OUTLINES[box.kind].path(spot)}"/>'
    yield from _lines(lines, spot)
    yield "</g></a>" if linked else "</g>"


def _lines(lines: tuple[Line, ...], spot: Spot) -> Iterator[str]:
    x, middle = spot.middle
    y = middle - extent(lines)[1] / 2
    for line in lines:
        high = line.style.size * LEADING
        baseline = y + high / 2 + line.style.size * 0.35  # capitals are about 0.7 of the size
        yield (
            f'<text class="{line.style.name}" x="{number(x)}" y="{number(baseline)}">{_text(line.text)}</text>'
        )
        y += high


def _text(text: str) -> str:
    return escape(clean(text))
