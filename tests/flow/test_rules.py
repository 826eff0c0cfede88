"""The table of rules: every code is explained, once, for people and for tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from ussd_engine.flow.rules import EXPLANATIONS, GROUPS, as_markdown

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"


@pytest.mark.parametrize("code", EXPLANATIONS)
def test_entry_says_what_and_how_to_mend_it(code: str) -> None:
    """A title for lists, a sentence on what it means, and one on what to do."""
    entry = EXPLANATIONS[code]

    assert entry.title[0].isupper()
    assert not entry.title.endswith(".")
    assert entry.meaning.endswith(".")
    assert entry.mending.endswith(".")
    assert entry.text(code).startswith(f"{code} {entry.title}\n")


def test_codes_stand_in_order_and_in_a_group() -> None:
    """Who looks for a code on the page finds it where its number says."""
    assert list(EXPLANATIONS) == sorted(EXPLANATIONS)
    assert {code[:2] for code in EXPLANATIONS} <= GROUPS.keys()


def test_page_of_rules_is_up_to_date() -> None:
    """The page is written from the table: after a change of it, run `make docs`."""
    assert PAGE.read_text() == as_markdown()
