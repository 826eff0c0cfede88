"""The first half of a layered drawing: which link is turned round, and the layer of each box.

After Sugiyama, Tagawa and Toda (1981). Everything is in the order in which it is given, so that the same graph is
always drawn alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Pair = tuple[str, str]


def turned(boxes: Iterable[str], pairs: Sequence[Pair]) -> frozenset[int]:
    """The links, by number, that lead back to a box on the way to their source; without them there is no cycle.

    Those to the first box are among them, wherever they come from: nothing stands above it.
    """
    after: dict[str, list[tuple[int, str]]] = {box: [] for box in boxes}
    for number, (source, target) in enumerate(pairs):
        after[source].append((number, target))
    top = next(iter(after))
    back, done = set[int](), set[str]()
    for root, first in after.items():
        if root in done:
            continue
        way, on_way = [(root, iter(first))], {root}
        while way:
            box, links = way[-1]
            for number, target in links:
                if target in on_way or target == top:
                    back.add(number)
                elif target not in done:
                    way.append((target, iter(after[target])))
                    on_way.add(target)
                    break
            else:
                way.pop()
                on_way.remove(box)
                done.add(box)
    return frozenset(back)


def ranks(boxes: Sequence[str], pairs: Sequence[Pair]) -> dict[str, int]:
    """For links without a cycle: each box stands one layer below the lowest of those that lead to it."""
    waiting = dict.fromkeys(boxes, 0)
    after: dict[str, list[str]] = {box: [] for box in boxes}
    for source, target in pairs:
        waiting[target] += 1
        after[source].append(target)
    found = dict.fromkeys(boxes, 0)
    ready = [box for box in boxes if not waiting[box]]
    for box in ready:
        for target in after[box]:
            found[target] = max(found[target], found[box] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return found
