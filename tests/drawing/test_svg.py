"""The SVG: a file for people, slides and browsers."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drawing.strategies import flow, visited
from tests.drawing.test_layout import overlap
from tests.drawing.test_mermaid import TILL
from tests.drawing.test_picture import SHOP
from ussd_engine.drawing.geometry import Spot
from ussd_engine.drawing.outlines import OUTLINES
from ussd_engine.drawing.picture import picture
from ussd_engine.drawing.svg import svg
from ussd_engine.drawing.visits import Visits
from ussd_engine.flow.graph import edges
from ussd_engine.flow.loader import load
from ussd_engine.services.action_specs import SPECS

NS = "{http://www.w3.org/2000/svg}"
FLOWS = Path(__file__).parents[2] / "flows"


def read(drawing: str) -> ET.Element:
    return ET.fromstring(drawing)


def marked(root: ET.Element, name: str) -> dict[str, ET.Element]:
    found = [element for element in root.iter() if element.get(name)]
    keys = {element.attrib[name]: element for element in found}
    assert len(keys) == len(found), "each is drawn once"
    return keys


def words(element: ET.Element) -> list[str]:
    return [text.text or "" for text in element.iter(f"{NS}text")]


def corners(element: ET.Element) -> Spot:
    """Where the outline of a state reaches."""
    d = next(element.iter(f"{NS}path")).attrib["d"]
    pieces = re.findall(r"([MLHVA])([^MLHVAZ]*)", d)
    xs, ys = [], []
    for letter, rest in pieces:
        numbers = [float(number) for number in rest.split()]
        xs += [numbers[0]] if letter == "H" else [] if letter == "V" else [numbers[-2]]
        ys += [numbers[0]] if letter == "V" else [] if letter == "H" else [numbers[-1]]
    return Spot(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_each_state_and_edge_is_drawn_once_and_apart(data: st.DataObject) -> None:
    """Valid XML whatever the texts are, and no two boxes of a flow overlap."""
    flows = [data.draw(flow("graph", 6)), data.draw(flow("other", 3))]
    visits = data.draw(visited(flows))
    drawing = svg([picture(each, None, visits) for each in flows])
    root = read(drawing)
    states, ways = marked(root, "data-state"), marked(root, "data-edge")
    assert set(states) == {f"{each.flow}.{name}" for each in flows for name in each.states}
    assert set(ways) == {f"{each.flow}.{edge.source} {edge.label}" for each in flows for edge in edges(each)}
    for each in flows:
        spots = [corners(states[f"{each.flow}.{name}"]) for name in each.states]
        assert not [pair for pair in combinations(spots, 2) if overlap(*pair)]
    for element in (*states.values(), *ways.values()):
        counted = visits is not None
        assert words(element)[-1].endswith(("visits", "visit", "visited")) == counted
        assert ("never" in element.attrib["class"]) == (words(element)[-1] == "never visited")
    assert drawing == svg([picture(each, None, visits) for each in flows])


def test_it_is_one_file_without_anything_from_outside() -> None:
    """No scripts, no fonts, no pictures; a title for a screen reader, and rules for the dark."""
    drawing = svg([picture(each) for each in load(FLOWS, SPECS).flows.values()])
    root = read(drawing)
    assert {element.tag.removeprefix(NS) for element in root.iter()} <= {
        *("svg", "title", "desc", "style", "defs", "marker", "g", "a", "rect", "path", "circle", "text")
    }
    assert set(re.findall(r'(?:href|url)[=(]["\']?(.)', drawing)) == {"#"}
    assert root.attrib["aria-labelledby"].split() == [root[0].attrib["id"], root[1].attrib["id"]]
    assert root[0].text == "7 flows"
    assert "@media (prefers-color-scheme: dark)" in drawing


def test_a_call_is_a_link_to_the_flow_that_it_runs() -> None:
    """Only where that flow is in the drawing."""
    root = read(svg([picture(SHOP), picture(TILL)]))
    [link] = root.iter(f"{NS}a")
    [target] = [
        element for element in root.iter() if element.get("id") == link.attrib["href"].removeprefix("#")
    ]
    assert "till" in words(target)
    assert not list(read(svg([picture(SHOP)])).iter(f"{NS}a"))


def test_panels_stand_apart() -> None:
    """However many flows there are, none lies on another."""
    root = read(svg([picture(each) for each in load(FLOWS, SPECS).flows.values()]))
    spots = []
    for group in root.iter(f"{NS}g"):
        if group.get("class") == "flow":
            x, y = map(float, re.findall(r"[\d.]+", group.attrib["transform"]))
            panel = next(group.iter(f"{NS}rect")).attrib
            spots.append(Spot(x, y, float(panel["width"]), float(panel["height"])))
    assert len(spots) == 7
    assert not [pair for pair in combinations(spots, 2) if overlap(*pair)]
    assert max(spot.x + spot.width for spot in spots) < float(root.attrib["width"])


def test_visits_are_counted_in_the_head() -> None:
    """A reader sees at once how much of a flow was visited."""
    root = read(svg([picture(SHOP, None, Visits({"shop.menu": 3}, {"shop.menu option.2": 1}))]))
    assert "1 of 6 states visited · 1 of 11 ways visited" in words(root)
    assert "start" in words(root)


@pytest.mark.parametrize("kind", sorted(OUTLINES))
def test_a_text_has_room_in_its_outline(kind: str) -> None:
    """A box is larger than what is written in it, and lines meet it where its sides are straight."""
    shape = OUTLINES[kind].around(100, 40)
    assert shape.width > 100
    assert shape.height > 40
    assert 0 <= shape.flat < shape.width
    assert 0 <= shape.side <= shape.height
