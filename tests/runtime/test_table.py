"""Rules of the table of legal moves."""

from __future__ import annotations

import pytest

from ussd_engine.errors import IllegalMove
from ussd_engine.runtime.table import Table

TABLE = Table(
    "sample",
    ["hello", "enter_pin", "bye"],
    "hello",
    [("option.1", "hello", "enter_pin"), ("option.2", "hello", "hello"), ("answer", "enter_pin", "bye")],
)


def test_move_follows_an_edge() -> None:
    """An edge leads from its state to its target, which may be the same state."""
    assert TABLE.move("hello", "option.1") == "enter_pin"
    assert TABLE.move("hello", "option.2") == "hello"
    assert TABLE.move("enter_pin", "answer") == "bye"


@pytest.mark.parametrize(
    ("state", "label"),
    [
        ("hello", "answer"),
        ("bye", "option.1"),
        ("hello", "option.9"),
        ("nowhere", "option.1"),
        ("hello", "to_bye"),
        ("hello", "initial"),
        ("hello", ""),
    ],
)
def test_other_moves_are_illegal(state: str, label: str) -> None:
    """Whatever is not an edge is one and the same error: a wrong label, a wrong state, both."""
    with pytest.raises(IllegalMove, match=rf"^flow 'sample': state '{state}' has no edge '{label}'$"):
        TABLE.move(state, label)


def test_move_leaves_nothing_behind() -> None:
    """Moves of many sessions never meet: a table has no state of its own."""
    for _ in range(3):
        assert TABLE.move("hello", "option.1") == "enter_pin"
    with pytest.raises(IllegalMove):
        TABLE.move("bye", "answer")
    assert TABLE.move("hello", "option.1") == "enter_pin"


@pytest.mark.parametrize(
    ("start", "moves", "message"),
    [
        ("hello", [("go", "hello", "by")], "'go' leads from 'hello' to 'by': no such state"),
        ("hello", [("go", "hallo", "bye")], "'go' leads from 'hallo' to 'bye': no such state"),
        ("hallo", [], "starts at 'hallo': no such state"),
    ],
)
def test_table_of_unknown_states_is_not_built(
    start: str, moves: list[tuple[str, str, str]], message: str
) -> None:
    """Targets, sources and the start are proven before there is a table."""
    with pytest.raises(IllegalMove, match=message):
        Table("sample", ["hello", "bye"], start, moves)
