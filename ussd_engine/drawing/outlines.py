"""The outline of each kind of state, around a text of a given size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ussd_engine.drawing.geometry import Point, Shape, Spot

MARGIN = 12.0
CORNER = 10.0


@dataclass(frozen=True, slots=True)
class Outline:
    """`around` gives the shape for a text's width and height; `path` draws it."""

    around: Callable[[float, float], Shape]
    path: Callable[[Spot], str]


def number(value: float) -> str:
    """As short as it can be to a tenth of a pixel."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _closed(*points: Point) -> str:
    return "M" + " L".join(f"{number(x)} {number(y)}" for x, y in points) + " Z"


def _plain(width: float, height: float) -> Shape:
    return _shape(width, height, CORNER, CORNER)


def _shape(width: float, height: float, inset: float, cut: float) -> Shape:
    """`inset` is what the outline takes at each end of a line of the text, `cut` what is not straight of its sides."""
    outer, high = width + 2 * max(inset, MARGIN), height + 2 * MARGIN
    return Shape(outer, high, outer - 2 * max(inset, CORNER), high - 2 * cut)


def _rounded(radius: float) -> Callable[[Spot], str]:
    def path(spot: Spot) -> str:
        r = min(radius, spot.height / 2)
        left, top, right, bottom = spot.x, spot.y, spot.x + spot.width, spot.y + spot.height
        arc = f"A{number(r)} {number(r)} 0 0 1"
        return (
            f"M{number(left + r)} {number(top)} H{number(right - r)} {arc} {number(right)} {number(top + r)}"
            f" V{number(bottom - r)} {arc} {number(right - r)} {number(bottom)} H{number(left + r)}"
            f" {arc} {number(left)} {number(bottom - r)} V{number(top + r)} {arc} {number(left + r)} {number(top)} Z"
        )

    return path


def _flag(spot: Spot) -> str:
    left, top, right, bottom = spot.x, spot.y, spot.x + spot.width, spot.y + spot.height
    return _closed(
        (left, top), (right, top), (right, bottom), (left, bottom), (left + CORNER, (top + bottom) / 2)
    )


def _cut(spot: Spot) -> str:
    left, top, right, bottom = spot.x, spot.y, spot.x + spot.width, spot.y + spot.height
    c = CORNER
    return _closed(
        *((left + c, top), (right - c, top), (right, top + c), (right, bottom - c)),
        *((right - c, bottom), (left + c, bottom), (left, bottom - c), (left, top + c)),
    )


def _paged(spot: Spot) -> str:
    """With the rim of a page beneath it."""
    line = number(spot.y + spot.height - CORNER / 2)
    return (
        f"{_rounded(CORNER)(spot)} M{number(spot.x + CORNER)} {line} H{number(spot.x + spot.width - CORNER)}"
    )


def _barred(spot: Spot) -> str:
    """With a second line inside of each side, as a part that is described elsewhere."""
    left, top, right, bottom = spot.x, spot.y, spot.x + spot.width, spot.y + spot.height
    bars = "".join(f" M{number(x)} {number(top)} V{number(bottom)}" for x in (left + 6, right - 6))
    return _closed((left, top), (right, top), (right, bottom), (left, bottom)) + bars


def _diamond(spot: Spot) -> str:
    x, y = spot.middle
    return _closed((x, spot.y), (spot.x + spot.width, y), (x, spot.y + spot.height), (spot.x, y))


OUTLINES: Mapping[str, Outline] = {
    "menu": Outline(_plain, _rounded(CORNER)),
    "ask": Outline(lambda width, height: _shape(width, height, 2 * CORNER, 0), _flag),
    "list": Outline(_plain, _paged),
    "action": Outline(_plain, _cut),
    "call": Outline(lambda width, height: _shape(width, height, 2 * CORNER, 0), _barred),
    "route": Outline(lambda width, height: Shape(2 * width + 40, 2 * height + 24, 0, 0), _diamond),
    "end": Outline(
        lambda width, height: _shape(width, height, height / 2 + MARGIN / 2, height / 2), _rounded(60)
    ),
}
"""Sides are straight where a link to the box itself leaves and comes back; at a diamond both meet its corner."""
