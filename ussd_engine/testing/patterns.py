"""Answers made from the patterns that questions ask for: `answer.matches('^[A-Z]{2}[0-9]{6}$')`."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from ussd_engine.runtime.program import Ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import SearchStrategy

    from ussd_engine.runtime.program import Program

EXAMPLES = 20
_PATTERN = re.compile(
    r"""\banswer\.matches\(\s*(?P<literal>r?(?P<quote>['"])(?:\\.|(?!(?P=quote)).)*(?P=quote))\s*\)"""
)
_KEYBOARD = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


def matching(program: Program) -> Iterator[tuple[str, list[str]]]:
    """For each question with a pattern some texts that match it, always the same. It is named "flow.state"."""
    for flow in program.flows.values():
        for node in flow.nodes.values():
            if isinstance(node, Ask) and node.accept.when is not None:
                for found in _PATTERN.finditer(node.accept.when.source):
                    yield f"{flow.name}.{node.name}", _examples(ast.literal_eval(found["literal"]))


def _examples(pattern: str) -> list[str]:
    """None where `re` reads the pattern in another way than RE2, which the conditions use."""
    for alphabet in (_KEYBOARD, None):
        try:
            return _drawn(st.from_regex(pattern, fullmatch=True, alphabet=alphabet))
        except re.error:
            return []
        except InvalidArgument:  # a sign that is on no such keyboard
            continue
    return []


def _drawn(texts: SearchStrategy[str]) -> list[str]:
    found: list[str] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(texts)
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return found
