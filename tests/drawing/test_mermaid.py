"""The Mermaid text. That it parses was seen with Mermaid itself; here is what makes it so."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.drawing.strategies import flow, visited
from tests.drawing.test_picture import SHOP
from ussd_engine.drawing.labels import said, said_beside
from ussd_engine.drawing.lettering import clean
from ussd_engine.drawing.mermaid import mermaid
from ussd_engine.drawing.picture import picture
from ussd_engine.drawing.visits import Visits
from ussd_engine.flow.model import Flow

GOLDEN = """\
flowchart TD
  subgraph F_shop["shop"]
    direction TB
    F_shop_START(("start")):::K_start --> F_shop_S_ask_age
    F_shop_S_ask_age>"ASK<br/>ask_age<br/>How old?"]:::K_ask
    F_shop_S_menu("MENU<br/>menu<br/>Buy #123;now#125;, #123;name#125;"):::K_menu
    F_shop_S_pay[["CALL<br/>pay<br/>runs the flow till"]]:::K_call
    F_shop_S_branch[/"LIST<br/>branch<br/>items of branches<br/>Where?"\\]:::K_list
    F_shop_S_choose{"ROUTE<br/>choose"}:::K_route
    F_shop_S_bye(["END<br/>bye<br/>returns done"]):::K_end
    F_shop_S_ask_age -->|"answer<br/>when age #60; 18"| F_shop_S_bye
    F_shop_S_ask_age -->|"answer<br/>else"| F_shop_S_menu
    F_shop_S_ask_age -->|"3 wrong answers"| F_shop_S_bye
    F_shop_S_menu -->|"1 Bread<br/>when age #62; 20"| F_shop_S_pay
    F_shop_S_menu -->|"9 Exit"| F_shop_S_bye
    F_shop_S_menu -->|"2 Milk"| F_shop_S_pay
    F_shop_S_pay -->|"paid"| F_shop_S_branch
    F_shop_S_branch -->|"item"| F_shop_S_choose
    F_shop_S_branch -->|"empty"| F_shop_S_bye
    F_shop_S_choose -->|"when age #62; 60"| F_shop_S_menu
    F_shop_S_choose -->|"else"| F_shop_S_bye
  end
"""
TILL = Flow.model_validate(
    {
        "flow": "till",
        "dial": ["*9#"],
        "languages": ["en"],
        "start": "paid",
        "states": {"paid": {"end": "Paid", "outcome": "paid"}},
    }
)
NODE = re.compile(r'^    (F_\w+_S_\w+)\W+"([^"]*)"\W*:::K_(\w+)$')
LINK = re.compile(r'^    (F_\w+_S_\w+) (-->|-\.->)\|"([^"]*)"\| (F_\w+_S_\w+)$')


def unescaped(text: str) -> list[str]:
    return [re.sub(r"#(\d+);", lambda found: chr(int(found[1])), line) for line in text.split("<br/>")]


def test_a_small_flow() -> None:
    """Word for word: the shapes, the arrows and what is said on them."""
    assert mermaid([picture(SHOP)]).startswith(GOLDEN)


def test_a_call_leads_to_the_flow_that_it_runs() -> None:
    """Only where that flow is in the drawing."""
    both = mermaid([picture(SHOP), picture(TILL)])
    assert '  subgraph F_till["till<br/>#42;9#35;"]\n' in both
    assert '  F_shop_S_pay ==>|"runs"| F_till_START\n' in both
    assert "==>" not in mermaid([picture(SHOP)])


def test_what_was_never_visited_is_dashed_and_says_so() -> None:
    """Not by colour alone."""
    drawn = mermaid([picture(SHOP, None, Visits({"shop.menu": 1200}, {"shop.menu option.2": 1}))])
    assert (
        '    F_shop_S_menu("MENU<br/>menu<br/>Buy #123;now#125;, #123;name#125;<br/>1,200 visits"):::K_menu'
        in drawn
    )
    assert '    F_shop_S_choose{"ROUTE<br/>choose<br/>never visited"}:::K_never' in drawn
    assert '    F_shop_S_menu -->|"9 Exit<br/>1 visit"| F_shop_S_bye' in drawn
    assert '    F_shop_S_menu -.->|"2 Milk<br/>never visited"| F_shop_S_pay' in drawn
    assert re.search(r"classDef K_never .*stroke-dasharray", drawn)


@given(st.data())
def test_each_state_and_edge_is_drawn_once(data: st.DataObject) -> None:
    """With all that it says, whatever characters are in it."""
    drawn = data.draw(flow())
    shown = picture(drawn, None, data.draw(visited([drawn])))
    lines = mermaid([shown]).splitlines()
    nodes = [found for line in lines if (found := NODE.match(line))]
    links = [found for line in lines if (found := LINK.match(line))]
    assert [(node[1], unescaped(node[2])) for node in nodes] == [
        (f"F_graph_S_{box.name}", [clean(text) for text, _ in said(box)]) for box in shown.boxes
    ]
    assert [(link[1], unescaped(link[3]), link[4]) for link in links] == [
        (
            f"F_graph_S_{arrow.source}",
            [clean(text) for text, _ in said_beside(arrow)],
            f"F_graph_S_{arrow.target}",
        )
        for arrow in shown.arrows
    ]
    others = [line for line in lines if not NODE.match(line) and not LINK.match(line)]
    assert len(others) == 5 + sum("classDef" in line for line in lines) + sum("==>" in line for line in lines)


@given(flow())
def test_texts_hold_nothing_that_mermaid_reads(drawn: Flow) -> None:
    """Between its quotes a text has letters, digits and marks without a meaning; entities are numbers."""
    for text in re.findall(r'"([^"]*)"', mermaid([picture(drawn)])):
        rest = re.sub(r"#\d+;|<br/>|(?<=[a-z0-9])_+(?=[a-z0-9])", "", text, flags=re.IGNORECASE)
        assert not re.search(r"[^\w .,!?'\x80-\U0010ffff]|_", rest, re.ASCII)


@given(flow())
def test_same_flow_gives_the_same_text(drawn: Flow) -> None:
    assert mermaid([picture(drawn)]) == mermaid([picture(drawn)])
