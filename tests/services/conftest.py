"""One set of running services per test module: each test has a phone number of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.database_fixtures import KINDS, urls_of
from tests.services.parts import Parts, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def parts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Parts]:
    folder = tmp_path_factory.mktemp("services")
    async with running(folder, urls=urls_of(request.param, folder, request)) as running_parts:
        yield running_parts
