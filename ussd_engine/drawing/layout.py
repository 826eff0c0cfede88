"""A layered drawing, top to bottom, of boxes and of links that have a label.

A label is a node of its own in a layer between its boxes, and a long link holds a lane in every layer that it passes.
So by construction no box and no label lies on another, and a line bends only between layers, where no box stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from ussd_engine.drawing.geometry import Layout, Link, Shape, Spot
from ussd_engine.drawing.layers import ranks, turned
from ussd_engine.drawing.ordering import ordered
from ussd_engine.drawing.places import Pull, Reach, placed, straighten
from ussd_engine.drawing.routing import LABEL_GAP, LOOP, Grid, Router, stacked

BOX_GAP = 18.0
LANE = 9.0
"""Free on either side of a box, and of the line of a link that passes; LABEL_GAP is that of a label."""
GAP = 22.0
GAP_MAX = 60.0
SLOPE = 0.09
"""Free between layers: more where lines go far sideways."""
STRAIGHT = 8.0
"""A line within a lane pulls so much more strongly than one at a box: what is long should be straight."""


def lay_out(boxes: Mapping[str, Shape], links: Sequence[Link]) -> Layout:
    """The first box stands at the top."""
    back = turned(boxes, [(link.source, link.target) for link in links])
    grid = _grid(boxes, links, back)
    grid.layers = ordered(grid.layers, grid.above, grid.below)
    _place(grid, len(boxes))
    _stack(grid)
    width = max(at + reach.right for at, reach in zip(grid.across, grid.reaches, strict=True))
    spots = {name: _spot(grid, node, shape) for node, (name, shape) in enumerate(boxes.items())}
    return Layout(width, grid.bands[-1][1], spots, Router(grid, boxes, links, spots, back).routes())


def _grid(boxes: Mapping[str, Shape], links: Sequence[Link], back: frozenset[int]) -> Grid:
    grid, number = Grid(), {name: index for index, name in enumerate(boxes)}
    ways = {
        index: (link.target, link.source) if index in back else (link.source, link.target)
        for index, link in enumerate(links)
        if link.source != link.target
    }
    rank = ranks(list(boxes), list(ways.values()))
    for name, shape in boxes.items():
        loops = [link for link in links if link.source == link.target == name]
        beside = LOOP + max(link.width for link in loops) + LABEL_GAP if loops else 0
        reach = Reach(shape.width / 2 + BOX_GAP, shape.width / 2 + max(beside, BOX_GAP))
        grid.add(2 * rank[name], reach, max(shape.height, stacked(loops)))
    for index, (upper, lower) in ways.items():
        link, chain = links[index], [number[upper]]
        between = range(2 * rank[upper] + 1, 2 * rank[lower])
        for layer in between:
            if layer == between[-1 if index in back else 0]:  # the label stands near the source
                half = link.width / 2 + LABEL_GAP
                chain.append(grid.add(layer, Reach(half, half), link.height))
            else:
                chain.append(grid.add(layer, Reach(LANE, LANE), 0))
        chain.append(number[lower])
        grid.chains[index] = chain
        for one, other in pairwise(chain):
            grid.below[one].append(other)
            grid.above[other].append(one)
    return grid


def _place(grid: Grid, boxes: int) -> None:
    def pulls(node: int, found: Mapping[int, float]) -> list[Pull]:
        near = (*grid.above[node], *grid.below[node])
        return [(found[other], 1.0 if min(node, other) < boxes else STRAIGHT) for other in near]

    found = placed(grid.layers, grid.reaches, pulls)
    for chain in sorted(grid.chains.values(), key=len, reverse=True):
        straighten(
            found, [grid.layers[grid.layer_of[node]] for node in chain[1:-1]], grid.reaches, chain[1:-1]
        )
    left = min(at - grid.reaches[node].left for node, at in found.items())
    grid.across = [found[node] - left for node in range(len(found))]


def _stack(grid: Grid) -> None:
    top = 0.0
    for layer in grid.layers:
        bottom = top + max(grid.heights[node] for node in layer)
        grid.bands.append((top, bottom))
        steps = (abs(grid.across[node] - grid.across[other]) for node in layer for other in grid.below[node])
        top = bottom + min(GAP + SLOPE * max(steps, default=0), GAP_MAX)


def _spot(grid: Grid, node: int, shape: Shape) -> Spot:
    top, bottom = grid.bands[grid.layer_of[node]]
    left = grid.across[node] - shape.width / 2
    return Spot(left, (top + bottom - shape.height) / 2, shape.width, shape.height)
