"""The values of a layered drawing. Lengths are in pixels, and `y` grows downwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a box, and how much of its top and bottom, and of its sides, is straight: lines end there."""

    width: float
    height: float
    flat: float
    side: float


@dataclass(frozen=True, slots=True)
class Link:
    """`width` and `height` are those of its label."""

    source: str
    target: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Spot:
    """A rectangle; `x` and `y` are its left upper corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Route:
    """A line from box to box, upright at each of its points: it swings over to the next one in between.

    The line of a `loop` leaves its box to the right at the first point and comes back at the last.
    """

    points: tuple[Point, ...]
    label: Spot
    loop: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """`routes` are in the order of the links."""

    width: float
    height: float
    boxes: Mapping[str, Spot]
    routes: Sequence[Route]
