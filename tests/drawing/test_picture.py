"""What a drawing shows of a flow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawing.strategies import flow
from ussd_engine.drawing.labels import lines_of, said, said_beside
from ussd_engine.drawing.lettering import clean, width, wrap
from ussd_engine.drawing.mermaid import SHAPES
from ussd_engine.drawing.outlines import OUTLINES
from ussd_engine.drawing.picture import picture
from ussd_engine.drawing.visits import BadVisits, Visits, read_visits
from ussd_engine.flow.graph import edges
from ussd_engine.flow.model import STATE_KINDS, Flow

SHOP = Flow.model_validate(
    {
        "flow": "shop",
        "languages": ["en", "sw"],
        "start": "ask_age",
        "states": {
            "ask_age": {
                "ask": {"en": "\nHow old?\nIn years", "sw": "Umri?"},
                "save": "age",
                "tries": {"max": 3, "then": "bye"},
                "goto": [{"when": "age < 18", "goto": "bye"}, {"else": "menu"}],
            },
            "menu": {
                "menu": {"en": "Buy {{now}}, {name}", "sw": "Nunua"},
                "options": [
                    {"text": {"en": "Bread", "sw": "Mkate"}, "goto": "pay", "when": "age > 20"},
                    {"key": "9", "text": {"en": "Exit", "sw": "Toka"}, "goto": "bye"},
                    {"text": {"en": "Milk", "sw": "Maziwa"}, "goto": "pay"},
                ],
            },
            "pay": {"call": "till", "outcomes": {"paid": "branch"}},
            "branch": {
                "list": {"en": "Where?", "sw": "Wapi?"},
                "of": "branches",
                "item": "{name}",
                "save": {"code": "code"},
                "empty": "bye",
                "goto": "choose",
            },
            "choose": {"route": [{"when": "age > 60", "goto": "menu"}, {"else": "bye"}]},
            "bye": {"end": None, "outcome": "done"},
        },
    }
)


def test_arrows_say_what_leads_on() -> None:
    """Keys and texts of options, outcomes, and the conditions: of the option first, then of its case."""
    assert [(arrow.source, arrow.label, arrow.caption, arrow.guards) for arrow in picture(SHOP).arrows] == [
        ("ask_age", "answer.1", "answer", ("when age < 18",)),
        ("ask_age", "answer.2", "answer", ("else",)),
        ("ask_age", "tries", "3 wrong answers", ()),
        ("menu", "option.1", "1 Bread", ("when age > 20",)),
        ("menu", "option.2", "9 Exit", ()),
        ("menu", "option.3", "2 Milk", ()),
        ("pay", "on.paid", "paid", ()),
        ("branch", "item", "item", ()),
        ("branch", "empty", "empty", ()),
        ("choose", "case.1", "", ("when age > 60",)),
        ("choose", "case.2", "", ("else",)),
    ]


def test_boxes_say_the_first_line_of_the_text() -> None:
    """In the flow's first language; braces that stand for themselves are shown as a phone shows them."""
    assert [(box.kind, box.name, box.note, box.text) for box in picture(SHOP).boxes] == [
        ("ask", "ask_age", "", "How old?"),
        ("menu", "menu", "", "Buy {now}, {name}"),
        ("call", "pay", "till", ""),
        ("list", "branch", "branches", "Where?"),
        ("route", "choose", "", ""),
        ("end", "bye", "done", ""),
    ]


def test_another_language_may_be_chosen() -> None:
    """A flow that lacks it is drawn in its first."""
    assert picture(SHOP, "sw").boxes[0].text == "Umri?"
    assert picture(SHOP, "sw").arrows[4].caption == "9 Toka"
    assert picture(SHOP, "fr") == picture(SHOP)


@given(flow())
def test_arrows_are_the_edges_of_the_graph(drawn: Flow) -> None:
    """The drawing has no other notion of an edge than the checker and the runtime."""
    arrows = [(arrow.source, arrow.label, arrow.target) for arrow in picture(drawn).arrows]
    assert arrows == [(edge.source, edge.label, edge.target) for edge in edges(drawn)]


@given(flow())
def test_everything_has_a_line_to_read(drawn: Flow) -> None:
    """A box or an arrow without a word would say nothing."""
    shown = picture(drawn)
    assert all(lines_of(said(box), 100) for box in shown.boxes)
    assert all(lines_of(said_beside(arrow), 100) for arrow in shown.arrows)


def test_each_kind_has_a_shape_of_its_own() -> None:
    assert set(OUTLINES) == set(SHAPES) == set(STATE_KINDS)
    assert len(set(SHAPES.values())) == len(STATE_KINDS)


@given(st.text(max_size=80), st.floats(20, 200), st.integers(1, 3))
def test_lines_stay_within_their_room(text: str, room: float, lines: int) -> None:
    """Whatever the text: no more lines than asked for, none wider, and all is there unless it ends in '…'."""
    found = wrap(text, 12, room, lines)
    assert len(found) <= lines
    assert all(width(line, 12) <= room or len(line) <= 2 for line in found)
    if not any(line.endswith("…") for line in found):
        assert "".join(found).replace(" ", "") == clean(text).replace(" ", "")


def test_what_has_no_count_was_never_visited() -> None:
    shown = picture(SHOP, None, Visits({"shop.menu": 3}, {"shop.menu option.2": 1}))
    assert [box.visits for box in shown.boxes] == [0, 3, 0, 0, 0, 0]
    assert [arrow.visits for arrow in shown.arrows] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert {box.visits for box in picture(SHOP).boxes} == {None}


def test_counts_of_what_is_not_there_are_found() -> None:
    counts = Visits({"shop.menu": 1, "shop.nope": 1}, {"shop.menu option.7": 1, "shop.menu option.1": 1})
    assert counts.unknown_in([SHOP]) == ["shop.nope", "shop.menu option.7"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "this is no JSON"),
        ("[]", "under 'states' and 'edges' alone"),
        ('{"state": {}}', "under 'states' and 'edges' alone"),
        ('{"states": []}', "'states' is not a mapping"),
        ('{"edges": {"a.b answer": -1}}', "the count of 'a.b answer' in 'edges' is not a whole number"),
        ('{"states": {"a.b": true}}', "the count of 'a.b' in 'states' is not a whole number"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "visits.json"
    file.write_text(content)
    with pytest.raises(BadVisits, match=message):
        read_visits(file)


def test_counts_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "visits.json"
    file.write_text(json.dumps({"states": {"shop.menu": 2}}))
    assert read_visits(file) == Visits({"shop.menu": 2}, {})
    with pytest.raises(BadVisits, match="No such file"):
        read_visits(tmp_path / "none.json")
