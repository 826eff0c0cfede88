"""The published document is one that tools can read, and it is the truth.

Every answer that the other tests of the JSON routes get is held to it by the client in conftest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsonschema_rs
import pytest
import schemathesis

from tests.web.conftest import DOCUMENT
from ussd_engine.web.api_v1 import PREFIX

if TYPE_CHECKING:
    from tests.web.conftest import Front

OPERATIONS = {path: item["post"] for path, item in DOCUMENT["paths"].items()}


async def test_the_document_is_public(front: Front) -> None:
    """The description of the door is not behind the door."""
    reply = await front.call("GET", f"{PREFIX}/openapi.json")
    assert (reply.status, reply.json) == (200, DOCUMENT)


def test_tools_can_read_the_document() -> None:
    """A test generator finds all four operations in it."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    assert {schema[path]["POST"].path for path in OPERATIONS} == set(OPERATIONS)
    assert len(list(schema.get_all_operations())) == len(OPERATIONS)


@pytest.mark.parametrize("path", OPERATIONS)
async def test_the_examples_work(front: Front, path: str) -> None:
    """An example that is sent as it stands is taken."""
    content = OPERATIONS[path]["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    jsonschema_rs.validator_for(schema).validate(content["example"])
    assert (await front.api(path, content["example"])).status in {200, 201}


def test_unknown_fields_are_documented_as_refused() -> None:
    """A client generated from the document does not send what is refused."""
    for operation in OPERATIONS.values():
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        assert DOCUMENT["components"]["schemas"][name]["additionalProperties"] is False
