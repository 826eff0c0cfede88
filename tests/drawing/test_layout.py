"""The layout: what must hold for every graph, whatever it looks like."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from ussd_engine.drawing.geometry import Layout, Link, Point, Route, Shape, Spot
from ussd_engine.drawing.layers import ranks, turned
from ussd_engine.drawing.layout import lay_out
from ussd_engine.drawing.ordering import crossings, ordered

NEARLY = 1e-6
sizes = st.integers(10, 200)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, Shape], list[Link]]:
    names = [f"s{number}" for number in range(draw(st.integers(1, 9)))]
    shapes = {name: Shape(w := draw(sizes), h := draw(sizes), w * 0.8, h * 0.5) for name in names}
    ends = st.sampled_from(names)
    links = st.lists(st.builds(Link, ends, ends, sizes, sizes), max_size=14)
    return shapes, draw(links)


def overlap(one: Spot, other: Spot) -> bool:
    return (
        min(one.x + one.width, other.x + other.width) - max(one.x, other.x) > NEARLY
        and min(one.y + one.height, other.y + other.height) - max(one.y, other.y) > NEARLY
    )


def holds(spot: Spot, point: Point) -> bool:
    x, y = point
    return (
        spot.x + NEARLY < x < spot.x + spot.width - NEARLY
        and spot.y + NEARLY < y < spot.y + spot.height - NEARLY
    )


def on_the_way(route: Route) -> Iterator[Point]:
    """Points of a line, close together: each piece swings over as its cubic curve does."""
    for (x, y), (to_x, to_y) in pairwise(route.points):
        for part in (step / 12 for step in range(13)):
            swing = 3 * part**2 - 2 * part**3
            yield x + (to_x - x) * swing, y + (to_y - y) * (1.5 * part - 1.5 * part**2 + part**3)


def edge_of(spot: Spot, point: Point) -> bool:
    x, y = point
    return spot.x - NEARLY <= x <= spot.x + spot.width + NEARLY and (
        abs(y - spot.y) < NEARLY
        or abs(y - spot.y - spot.height) < NEARLY
        or abs(x - spot.x - spot.width) < NEARLY
    )


def laid(graph: tuple[dict[str, Shape], list[Link]]) -> Layout:
    return lay_out(*graph)


@given(graphs())
def test_nothing_lies_on_anything(graph: tuple[dict[str, Shape], list[Link]]) -> None:
    """No box and no label overlaps another one."""
    layout = laid(graph)
    spots = [*layout.boxes.values(), *(route.label for route in layout.routes)]
    assert not [pair for pair in combinations(spots, 2) if overlap(*pair)]


@given(graphs())
def test_lines_cross_no_box_and_no_label_but_their_own(graph: tuple[dict[str, Shape], list[Link]]) -> None:
    """A line may cross another line, and nothing that is read."""
    layout = laid(graph)
    for route in layout.routes:
        others = [*layout.boxes.values(), *(other.label for other in layout.routes if other is not route)]
        if not route.loop:
            assert not [point for point in on_the_way(route) for spot in others if holds(spot, point)]


@given(graphs())
def test_lines_go_from_source_to_target(graph: tuple[dict[str, Shape], list[Link]]) -> None:
    """Each line begins at the edge of its source and ends at that of its target, also where it leads upwards."""
    layout = laid(graph)
    for link, route in zip(graph[1], layout.routes, strict=True):
        assert edge_of(layout.boxes[link.source], route.points[0])
        assert edge_of(layout.boxes[link.target], route.points[-1])


@given(graphs())
def test_everything_is_within_the_picture(graph: tuple[dict[str, Shape], list[Link]]) -> None:
    """Nothing is cut off at the rim, and the first box stands in the first layer."""
    layout = laid(graph)
    for spot in (*layout.boxes.values(), *(route.label for route in layout.routes)):
        assert spot.x >= -NEARLY
        assert spot.y >= -NEARLY
        assert spot.x + spot.width <= layout.width + NEARLY
        assert spot.y + spot.height <= layout.height + NEARLY
    first = next(iter(layout.boxes.values()))
    assert first.middle[1] <= min(spot.middle[1] for spot in layout.boxes.values()) + NEARLY


@given(graphs())
def test_same_graph_is_laid_out_alike(graph: tuple[dict[str, Shape], list[Link]]) -> None:
    assert laid(graph) == laid(graph)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=25))
def test_every_link_leads_down_when_those_back_are_turned(numbers: list[tuple[int, int]]) -> None:
    """Links that lead back are turned round: then there is no cycle, and each goes to a lower layer."""
    boxes = [str(number) for number in range(8)]
    pairs = [(str(one), str(other)) for one, other in numbers if one != other]
    back = turned(boxes, pairs)
    ways = [(b, a) if index in back else (a, b) for index, (a, b) in enumerate(pairs)]
    rank = ranks(boxes, ways)
    assert all(rank[upper] < rank[lower] for upper, lower in ways)
    assert rank["0"] == 0


def test_a_graph_without_cycles_has_no_link_turned() -> None:
    pairs = [("a", "b"), ("b", "c"), ("a", "c")]
    assert turned(list("abc"), pairs) == frozenset()
    assert ranks(list("abc"), pairs) == {"a": 0, "b": 1, "c": 2}


def test_lines_that_need_not_cross_do_not() -> None:
    """Two pairs in the wrong order are put right."""
    layers, above, below = [[0, 1], [2, 3]], [[], [], [1], [0]], [[3], [2], [], []]
    assert crossings(layers, below) == 1
    assert crossings(ordered(layers, above, below), below) == 0


def test_a_long_line_is_straight_where_it_can_be() -> None:
    """A link that passes beside a chain of boxes does not wind about."""
    shapes = {name: Shape(120, 50, 100, 30) for name in "abcde"}
    chain = [Link(one, other, 40, 16) for one, other in pairwise("abcde")]
    layout = lay_out(shapes, [*chain, Link("a", "e", 40, 16)])
    passing = layout.routes[-1].points[2:-2]
    assert len({round(x, 3) for x, _ in passing}) == 1
    assert len({round(layout.boxes[name].middle[0], 1) for name in "bcd"}) == 1
