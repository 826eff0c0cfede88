"""Who stands beside whom in a layer, so that few links cross: barycentres, then swaps of neighbours."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence

SWEEPS = 24
SWAPS = 6
"""Rounds; more were of no use to flows of up to some hundred states."""

Layers = list[list[int]]
Neighbours = Sequence[Sequence[int]]


def ordered(layers: Layers, above: Neighbours, below: Neighbours) -> Layers:
    """The layers in the best order met; `above` and `below` are the neighbours of each node, by its number."""
    best, fewest = layers, crossings(layers, below)
    current = [list(layer) for layer in layers]
    for sweep in range(SWEEPS):
        if not fewest:
            break
        _sweep(current, above, below, downwards=sweep % 2 == 0)
        _swap(current, above, below)
        count = crossings(current, below)
        if count < fewest:
            best, fewest = [list(layer) for layer in current], count
    return best


def crossings(layers: Layers, below: Neighbours) -> int:
    total = 0
    place = places(layers)
    for layer in layers:
        passed: list[int] = []
        for node in layer:
            ends = sorted(place[other] for other in below[node])
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


def places(layers: Layers) -> dict[int, int]:
    return {node: index for layer in layers for index, node in enumerate(layer)}


def _sweep(layers: Layers, above: Neighbours, below: Neighbours, *, downwards: bool) -> None:
    place = places(layers)
    near = above if downwards else below
    for layer in layers if downwards else reversed(layers):
        wanted = {
            node: sum(place[other] for other in near[node]) / len(near[node]) if near[node] else place[node]
            for node in layer
        }
        layer.sort(key=wanted.__getitem__)
        place.update((node, index) for index, node in enumerate(layer))


def _swap(layers: Layers, above: Neighbours, below: Neighbours) -> None:
    place = places(layers)
    for _ in range(SWAPS):
        better = False
        for layer in layers:
            for index in range(len(layer) - 1):
                left, right = layer[index : index + 2]
                if _gain(left, right, above, below, place) > 0:
                    layer[index], layer[index + 1] = right, left
                    place[left], place[right] = index + 1, index
                    better = True
        if not better:
            return


def _gain(left: int, right: int, above: Neighbours, below: Neighbours, place: dict[int, int]) -> int:
    """How many crossings less there are when the two change places."""
    gain = 0
    for near in (above, below):
        for a in near[left]:
            for b in near[right]:
                gain += (place[a] > place[b]) - (place[a] < place[b])
    return gain
