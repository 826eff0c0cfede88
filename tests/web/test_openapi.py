"""The published document is one that tools can read, and it is the truth.

Every answer that the other tests of the JSON routes get is held to it by the client in conftest.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import jsonschema_rs
import pytest
import schemathesis

from tests.web.conftest import DOCUMENT, KEY, problem
from ussd_engine.ports import Event
from ussd_engine.web.api_v1 import PREFIX
from ussd_engine.web.feed import PATH
from ussd_engine.web.openapi import staff_document

if TYPE_CHECKING:
    from tests.web.conftest import Front

OPERATIONS = {path: item["post"] for path, item in DOCUMENT["paths"].items()}
STAFF = staff_document()


async def test_the_feed_speaks_as_documented(front: Front) -> None:
    """Each frame is one of those in the document; what is no WebSocket or has no key gets a documented problem."""
    operation = STAFF["paths"]["/events"]["get"]
    answer = operation["responses"]["101"]["content"]["application/json"]
    frames = jsonschema_rs.validator_for({**answer["schema"], "components": STAFF["components"]})
    key = {"Authorization": f"Bearer {KEY}"}
    url = f"http://127.0.0.1:{front.port}{PATH}"
    for after, kinds in ((None, ["start", "opened"]), ("9-9", ["gap", "opened"])):
        params = {"after": after} if after else {}
        async with front.client.ws_connect(url, headers=key, params=params) as socket:
            found = [await socket.receive_json()]
            await front.events.publish(
                Event(f"e-{after}", "opened", datetime(2026, 7, 1, tzinfo=UTC), "+254*******09", {"a": "b"})
            )
            found.append(await socket.receive_json())
        assert [frame["kind"] for frame in found] == kinds
        for frame in found:
            frames.validate(frame)
    assert problem(await front.call("GET", PATH, headers=key)) == (426, "upgrade_required")
    assert problem(await front.call("GET", PATH)) == (401, "unauthorized")


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
