"""Where the nodes of ordered layers stand along their layer: near their neighbours, and never on one another.

With the order given, positions that are nearest to the wished ones are an isotonic regression, which the method of
pooled neighbours solves exactly (Ayer and others, 1955). A few rounds on means bring the layers together, a few on
medians then make chains straight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

MEANS = 40
MEDIANS = 12
"""Rounds down and up; positions of flows of some hundred states move by less than a pixel after these."""

Pull = tuple[float, float]
"""Where a neighbour wants a node to be, and how strongly."""
Middle = Callable[[list[Pull]], tuple[float, list[Pull]]]
"""The best place for sorted pulls, and the pulls that stand for them when others come to them."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a node goes to the left and to the right of its own place, with the space that it keeps free."""

    left: float
    right: float


def placed(
    layers: Sequence[Sequence[int]],
    reaches: Sequence[Reach],
    pulls: Callable[[int, Mapping[int, float]], list[Pull]],
) -> dict[int, float]:
    """The place of each node. `pulls` says for a node, given where all stand, where its neighbours want it."""
    found = dict[int, float]()
    for layer in layers:
        found.update(zip(layer, _offsets(layer, reaches), strict=True))
    for middle, rounds in ((_mean, MEANS), (_median, MEDIANS)):
        for round_ in range(rounds):
            for layer in layers if round_ % 2 == 0 else reversed(layers):
                wishes = [pulls(node, found) or [(found[node], 1e-3)] for node in layer]
                found.update(zip(layer, _nearest(wishes, _offsets(layer, reaches), middle), strict=True))
    return found


def straighten(
    found: dict[int, float], layers: Sequence[Sequence[int]], reaches: Sequence[Reach], chain: Sequence[int]
) -> None:
    """Give as many nodes of a chain in a row as can be one place; where others stand it turns aside."""
    room = _room(found, layers, reaches, set(chain))
    rest = list(chain)
    while rest:
        low, high = room[rest[0]]
        run = [rest[0]]
        for node in rest[1:]:
            if max(low, room[node][0]) > min(high, room[node][1]):
                break
            low, high = max(low, room[node][0]), min(high, room[node][1])
            run.append(node)
        wish, _ = _median(sorted((found[node], 1.0) for node in run))
        found.update(dict.fromkeys(run, min(max(wish, low), high)))
        rest = rest[len(run) :]


def _room(
    found: Mapping[int, float], layers: Sequence[Sequence[int]], reaches: Sequence[Reach], nodes: set[int]
) -> dict[int, Pull]:
    """Between which places each node may stand, as its neighbours in the layer are."""
    room = dict[int, Pull]()
    for layer in layers:
        for index, node in enumerate(layer):
            if node in nodes:
                left, right = layer[:index][-1:], layer[index + 1 :][:1]
                room[node] = (
                    max((found[n] + reaches[n].right + reaches[node].left for n in left), default=-inf),
                    min((found[n] - reaches[n].left - reaches[node].right for n in right), default=inf),
                )
    return room


def spaced(wishes: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Places between `low` and `high`, in order and `step` apart, as near to the wished ones as can be."""
    offsets = [index * step for index in range(len(wishes))]
    found = _nearest([[(wish, 1.0)] for wish in wishes], offsets, _mean)
    return [
        min(max(at - offset, low), high - offsets[-1]) + offset
        for at, offset in zip(found, offsets, strict=True)
    ]


def _offsets(layer: Sequence[int], reaches: Sequence[Reach]) -> list[float]:
    """The places of a layer whose nodes stand as close as they may."""
    offsets = [0.0]
    for left, right in pairwise(layer):
        offsets.append(offsets[-1] + reaches[left].right + reaches[right].left)
    return offsets


def _nearest(wishes: Sequence[list[Pull]], offsets: Sequence[float], middle: Middle) -> list[float]:
    pools: list[tuple[float, list[Pull], int]] = []
    for pulls, offset in zip(wishes, offsets, strict=True):
        at, pool = middle(sorted((at - offset, force) for at, force in pulls))
        size = 1
        while pools and pools[-1][0] > at:
            _, before, count = pools.pop()
            at, pool = middle(sorted(before + pool))
            size += count
        pools.append((at, pool, size))
    starts = [at for at, _, size in pools for _ in range(size)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


def _mean(pulls: list[Pull]) -> tuple[float, list[Pull]]:
    force = sum([force for _, force in pulls])
    at = sum([at * force for at, force in pulls]) / force
    return at, [(at, force)]


def _median(pulls: list[Pull]) -> tuple[float, list[Pull]]:
    """The middle of all places between which no side pulls more strongly."""
    half, passed = sum([force for _, force in pulls]) / 2, 0.0
    for index, (at, force) in enumerate(pulls):
        passed += force
        if passed > half:
            return at, pulls
        if passed == half:
            return (at + pulls[index + 1][0]) / 2, pulls
    return pulls[-1][0], pulls
