"""The tree of errors: what may be raised, and the codes that logs, answers and documentation rely on."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

from ussd_engine import errors
from ussd_engine.errors import UssdError


def below(kind: type[UssdError]) -> Iterator[type[UssdError]]:
    for child in kind.__subclasses__():
        yield child
        yield from below(child)


def test_tree_names_every_error_with_its_code() -> None:
    """Whoever looks a code up finds it in the one tree, wherever in the engine its error is defined."""
    for module in ("bootstrap", "drawing.visits", "play", "testing.walk"):  # which import all that can raise
        importlib.import_module(f"ussd_engine.{module}")
    drawn = dict(re.findall(r"── (\w+) +([a-z_]+|\(its own\))", str(errors.__doc__)))
    ours = [kind for kind in below(UssdError) if kind.__module__.startswith("ussd_engine.")]
    raised = {kind.__name__: kind.code for kind in ours}
    assert drawn == {**raised, "Refusal": "(its own)"}
