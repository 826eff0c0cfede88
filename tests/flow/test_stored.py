"""A library that was checked once is loaded anywhere, and is the same."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from ussd_engine.errors import FlowError
from ussd_engine.flow import stored
from ussd_engine.flow.catalogue import faults
from ussd_engine.flow.loader import load
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.services.action_specs import SPECS

FLOWS = Path(__file__).parents[2] / "flows"


def test_the_shipped_flows_come_back_as_they_were() -> None:
    """Flow for flow, in their order, with the SMS texts; so the program has the same revision."""
    before = load(FLOWS, SPECS)
    after = stored.loads(stored.dumps(before))
    assert dict(after.flows) == dict(before.flows)
    assert list(after.flows) == list(before.flows)
    assert after.sms == before.sms
    assert compile_library(after, SPECS, "KE").revision == compile_library(before, SPECS, "KE").revision
    assert faults(after, SPECS) == []


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"schema": 1, "flows": {"a": {}}, "sms": {}}', b'{"schema": 99}']
)
def test_what_is_not_of_the_form_is_refused(raw: bytes) -> None:
    """In words, whatever it is."""
    with pytest.raises(FlowError, match="stored flows"):
        stored.loads(raw)


def test_a_key_that_the_language_has_got_since_stays_at_its_default() -> None:
    """What an author did not write is not stored, so a newer engine reads what an older one wrote."""
    flows = orjson.loads(stored.dumps(load(FLOWS, SPECS)))["flows"]
    assert "texts" not in flows["onboarding"]
