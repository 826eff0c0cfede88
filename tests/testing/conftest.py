"""The shipped flows, read once for a file of tests."""

from __future__ import annotations

import pytest

from tests.testing.flows import SHIPPED
from ussd_engine.flow.loader import Library, load
from ussd_engine.services.action_specs import SPECS
from ussd_engine.testing.flow_tests import FlowTests


@pytest.fixture(scope="module")
def shipped() -> Library:
    return load(SHIPPED, SPECS)


@pytest.fixture
def tests(shipped: Library) -> FlowTests:
    """Where nothing has been visited yet."""
    return FlowTests(shipped, SPECS, "KE")
