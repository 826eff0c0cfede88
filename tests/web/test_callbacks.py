"""The routes of a gateway: a screen whatever happens, unless the request is no callback at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.web.conftest import problem
from ussd_engine.runtime.screen import Screen

if TYPE_CHECKING:
    from tests.web.conftest import Front

EVENTS = "/ussd/africastalking/events"


async def test_a_callback_is_answered_with_the_screen(front: Front) -> None:
    """The service's screen goes back in the gateway's own format, with the state's name for its dashboard."""
    reply = await front.dial(text="1*2")
    assert (reply.status, reply.body) == (200, b"CON Welcome")
    assert reply.headers["at-ussd-hop-metadata"] == "onboarding.welcome"
    assert front.callbacks.handled[0].transcript == "1*2"


async def test_an_end_screen_ends(front: Front) -> None:
    """The last screen of a session says that it is the last."""
    front.callbacks.screen = Screen("Bye", end=True, label="onboarding.bye")
    assert (await front.dial()).body == b"END Bye"


@pytest.mark.parametrize("field", ["sessionId", "phoneNumber", "serviceCode", "text"])
async def test_a_request_that_is_no_callback_is_told_what_is_missing(front: Front, field: str) -> None:
    """Somebody who sets up a gateway reads which field is missing; a subscriber never gets there."""
    reply = await front.dial(without=field)
    assert reply.status == 400
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert field.encode() in reply.body
    assert [(entry["event"], entry["field"]) for entry in front.logs] == [("bad_callback", field)]
    assert front.callbacks.handled == []


async def test_a_fault_behind_a_callback_is_an_end_screen(front: Front) -> None:
    """A subscriber never sees an exception, and a gateway never sees a 500."""
    front.callbacks.error = RuntimeError("+254700000009")
    reply = await front.dial()
    assert reply.status == 200
    assert reply.body.startswith(b"END ")
    assert [entry["event"] for entry in front.logs] == ["callback_failed"]


async def test_a_fault_of_an_adapter_is_an_end_screen_too(front: Front) -> None:
    """A bug in reading a callback is ours, so the gateway gets a screen and not a 400."""
    reply = await front.dial("/ussd/broken")
    assert (reply.status, reply.body[:4]) == (200, b"END ")


async def test_a_body_over_the_limit_is_refused(front: Front) -> None:
    """No callback is that long."""
    assert problem(await front.dial(text="1" * 70_000)) == (413, "body_too_large")


async def test_nothing_is_logged_for_a_good_callback(front: Front) -> None:
    """A key press is no news: the hot path writes nothing."""
    await front.dial()
    assert front.logs == []


async def test_an_end_report_is_taken(front: Front) -> None:
    """The report of a session's end reaches the service, and no menu is drawn for it."""
    reply = await front.dial(EVENTS, status="Success", durationInMillis="1200", input="1*4929")
    assert (reply.status, reply.body) == (200, b"OK\n")
    assert front.callbacks.reports[0].duration_ms == 1200


async def test_a_report_that_is_none_is_told_what_is_missing(front: Front) -> None:
    """An event without a session names nothing that we could look up."""
    reply = await front.dial(EVENTS, without="sessionId", status="Success")
    assert (reply.status, b"sessionId" in reply.body) == (400, True)


async def test_a_fault_behind_a_report_is_kept_to_ourselves(front: Front) -> None:
    """A report is news, not a question: the gateway is not asked to send it again."""
    front.callbacks.error = RuntimeError("+254700000009")
    assert (await front.dial(EVENTS, status="Failed")).status == 200
    assert [entry["event"] for entry in front.logs] == ["event_failed"]
