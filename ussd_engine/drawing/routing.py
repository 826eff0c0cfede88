"""The lines of a layered drawing, from box to box through the lanes that they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ussd_engine.drawing.geometry import Link, Point, Route, Shape, Spot
from ussd_engine.drawing.places import Reach, spaced

LABEL_GAP = 8.0
PORTS = 20.0
"""Between the lines that meet at one side of a box, where it is long enough."""
LOOP = 30.0
"""A link from a box to itself goes out nearly so far, and its label stands beside it."""
LOOP_PORTS = 14.0


@dataclass(slots=True)
class Grid:
    """Nodes by number: first the boxes, then for each link its label and its lanes.

    A chain is the way of a link through the layers, always downwards; `bands` are top and bottom of each layer.
    """

    reaches: list[Reach] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    layers: list[list[int]] = field(default_factory=list)
    layer_of: list[int] = field(default_factory=list)
    above: list[list[int]] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)
    chains: dict[int, list[int]] = field(default_factory=dict)
    across: list[float] = field(default_factory=list)
    bands: list[Point] = field(default_factory=list)

    def add(self, layer: int, reach: Reach, height: float) -> int:
        while len(self.layers) <= layer:
            self.layers.append([])
        node = len(self.reaches)
        self.layers[layer].append(node)
        self.layer_of.append(layer)
        self.reaches.append(reach)
        self.heights.append(height)
        self.above.append([])
        self.below.append([])
        return node


def stacked(links: Sequence[Link]) -> float:
    """The height of labels one below the other."""
    return sum(link.height + LABEL_GAP for link in links)


@dataclass(frozen=True, slots=True)
class Router:
    grid: Grid
    boxes: Mapping[str, Shape]
    links: Sequence[Link]
    spots: Mapping[str, Spot]
    back: frozenset[int]

    def routes(self) -> list[Route]:
        found = dict[int, Route]()
        for name in self.boxes:
            found.update(self._loops(name))
        tops = self._ports(-1, -2)
        bottoms = self._ports(0, 1)
        for index, chain in self.grid.chains.items():
            found[index] = self._route(index, chain, bottoms[index], tops[index])
        return [found[index] for index in range(len(self.links))]

    def _route(self, index: int, chain: list[int], first: float, last: float) -> Route:
        names, across, back = list(self.boxes), self.grid.across, index in self.back
        upper, lower = self.spots[names[chain[0]]], self.spots[names[chain[-1]]]
        points: list[Point] = [(first, upper.y + upper.height), (first, self._band(chain[0])[1])]
        for node in chain[1:-1]:
            points += [(across[node], edge) for edge in self._band(node)]
        points += [(last, self._band(chain[-1])[0]), (last, lower.y)]
        node, link = chain[-2 if back else 1], self.links[index]
        top, bottom = self._band(node)
        label = Spot(
            across[node] - link.width / 2, bottom - link.height if back else top, link.width, link.height
        )
        return Route(tuple(reversed(points) if back else points), label)

    def _band(self, node: int) -> Point:
        return self.grid.bands[self.grid.layer_of[node]]

    def _ports(self, end: int, beside: int) -> dict[int, float]:
        """Where each line meets its box: as near as it can to where it comes from."""
        across, names, lines = self.grid.across, list(self.boxes), dict[int, list[int]]()
        for index, chain in self.grid.chains.items():
            lines.setdefault(chain[end], []).append(index)
        found = dict[int, float]()
        for node, indices in lines.items():
            indices.sort(key=lambda index: (across[self.grid.chains[index][beside]], index))
            wishes = [across[self.grid.chains[index][beside]] for index in indices]
            flat = self.boxes[names[node]].flat
            step = min(PORTS, flat / max(len(indices) - 1, 1))
            low, high = across[node] - flat / 2, across[node] + flat / 2
            found.update(zip(indices, spaced(wishes, step, low, high), strict=True))
        return found

    def _loops(self, name: str) -> dict[int, Route]:
        """Loops leave the right side of their box one below the other, each with its label beside it."""
        own = [index for index, link in enumerate(self.links) if link.source == link.target == name]
        spot, side = self.spots[name], self.boxes[name].side
        right, middle = spot.x + spot.width, spot.middle[1]
        step = min(LOOP_PORTS, side / max(2 * len(own) - 1, 1))
        at = middle - step * (len(own) - 0.5)
        top = middle - stacked([self.links[index] for index in own]) / 2 + LABEL_GAP / 2
        found = dict[int, Route]()
        for index in own:
            link = self.links[index]
            label = Spot(right + LOOP, top, link.width, link.height)
            found[index] = Route(((right, at), (right, at + step)), label, loop=True)
            at, top = at + 2 * step, top + link.height + LABEL_GAP
        return found
