"""The routes for the bank's staff, over the real services on a real database: who may decide, and on what."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jsonschema_rs
import pytest
import pytest_asyncio
import schemathesis
import structlog
from aiohttp import ClientSession, web

from tests.database_fixtures import KEYS, KINDS, urls_of
from tests.services.parts import Parts, Script, WallClock, eventually, running
from tests.services.test_translations import over
from tests.web.conftest import Reply, problem
from ussd_engine.access import Role, Scope
from ussd_engine.flow.loader import load
from ussd_engine.platform import staff
from ussd_engine.platform.staff import Act
from ussd_engine.ports import NotFound, Opened, Unknown
from ussd_engine.services import admission, pin_reset, profile
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.approvals import Approvals
from ussd_engine.services.callers import Callers
from ussd_engine.services.deliveries import Deliveries
from ussd_engine.services.pin_reset import PinResets
from ussd_engine.services.translations import kinds as overridden
from ussd_engine.web.feed import PATH as FEED
from ussd_engine.web.openapi import route, staff_document
from ussd_engine.web.problems import guarded
from ussd_engine.web.staff_api import PREFIX, StaffApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection

    from ussd_engine.services.translations import Translations

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = staff_document()
FLOWS = Path(__file__).parents[2] / "flows"
PERSONAL = ("2547110", "Zebulon", "Sample", "1991-02-03", "NATIONAL")


@dataclass
class Desk:
    """The running routes, and a key for each name."""

    parts: Parts
    texts: Translations
    client: ClientSession
    port: int
    keys: dict[str, str]

    async def call(self, who: str, method: str, path: str, body: object = None, **headers: str) -> Reply:
        sent = {"Authorization": f"Bearer {self.keys[who]}"} if who else {}
        if body is not None:
            sent["Content-Type"] = "application/json"
        url = f"http://127.0.0.1:{self.port}{PREFIX}{path}"
        data = None if body is None else json.dumps(body).encode()
        async with self.client.request(method, url, data=data, headers=sent | headers) as response:
            reply = Reply(response.status, response.headers, await response.read())
        documented(method, path, reply)
        return reply

    async def staged(self, phone: str, name: str = "Zebulon") -> str:
        done = await self.parts.open(
            f"open-{phone}", phone, first_name=name, national_id=f"NATIONAL{phone[-3:]}"
        )
        return str(done.change_id)


def documented(method: str, path: str, reply: Reply) -> None:
    """Hold an answer to the schema that the document gives for its route and status."""
    steps = path.partition("?")[0].split("/")[1:]
    for route_, operations in DOCUMENT["paths"].items():
        wanted = route_.split("/")[1:]
        fits = len(steps) == len(wanted) and all(
            one in {"{id}", other} for one, other in zip(wanted, steps, strict=True)
        )
        if not fits or method.lower() not in operations:
            continue
        answer = operations[method.lower()]["responses"][str(reply.status)]
        media_type = reply.headers["Content-Type"].partition(";")[0]
        schema = {**answer["content"][media_type]["schema"], "components": DOCUMENT["components"]}
        jsonschema_rs.validator_for(schema).validate(reply.json)
        return


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def desk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Desk]:
    folder = tmp_path_factory.mktemp("staff")
    urls = urls_of(request.param, folder, request)
    async with running(folder, automatic=frozenset(), urls=urls) as parts:
        made = await parts.database.write(add_staff)
        texts = await over(load(FLOWS, SPECS), parts.database)
        approvals = Approvals(
            parts.database,
            KEYS,
            WallClock(),
            parts.workflows,
            parts.notifications,
            frozenset(),
            {
                **admission.kinds(KEYS, parts.directory),
                **profile.kinds(),
                **pin_reset.kinds(),
                **overridden(texts._live.announce),
            },
            timedelta(days=30),
        )
        api = StaffApi(
            callers=Callers(parts.database, WallClock(), "sample-key-for-tests-only"),
            approvals=approvals,
            translations=texts,
            pin_resets=PinResets(parts.database, KEYS, parts.directory, approvals),
            recovery=parts.recovery,
            deliveries=Deliveries(parts.database, KEYS, WallClock(), parts.notifications.tell_failures),
            region="KE",
            clock=WallClock(),
            max_body_bytes=65536,
        )
        app = web.Application()
        for method, path, handler in api.routes():
            app.router.add_route(method, path, guarded(handler))
        app.router.add_get(f"{PREFIX}/openapi.json", guarded(route(staff_document())))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with ClientSession() as client:
            keys = made | {"api": "sample-key-for-tests-only"}
            yield Desk(parts, texts, client, runner.addresses[0][1], keys)
        await runner.cleanup()


def add_staff(connection: Connection) -> dict[str, str]:
    act = Act("console:sample", "request-0", WallClock().now())
    roles = {
        "vera": Role.VIEWER,
        "max": Role.MAKER,
        "carl": Role.CHECKER,
        "cleo": Role.CHECKER,
        "ada": Role.ADMIN,
    }
    made = {name: staff.add_operator(connection, KEYS, act, name, role) for name, role in roles.items()}
    made["core"] = staff.add_program_key(connection, KEYS, act, "core", [Scope.ACCOUNT])
    return made


# --- the document ---------------------------------------------------------------------------------------


async def test_the_document_is_public_and_names_every_route(desk: Desk) -> None:
    """A test generator reads it, and finds each route that there is."""
    reply = await desk.call("", "GET", "/openapi.json")
    assert (reply.status, reply.json) == (200, DOCUMENT)
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    described = {
        (method.upper(), PREFIX + path) for path, item in DOCUMENT["paths"].items() for method in item
    }
    assert len(list(schema.get_all_operations())) == len(described)
    api = StaffApi(*[cast("Any", None)] * 9)
    assert described == {(method, path) for method, path, _ in api.routes()} | {("GET", FEED)}


# --- decisions ------------------------------------------------------------------------------------------


async def test_a_checker_reads_the_difference_and_approves(desk: Desk) -> None:
    """Who asked, for what, against what; then it is applied, under the checker's name and the request's id."""
    id_ = await desk.staged("+254711000401")
    listed = (await desk.call("carl", "GET", "/approvals")).json["approvals"]
    assert id_ in [one["id"] for one in listed]
    shown = (await desk.call("carl", "GET", f"/approvals/{id_}")).json
    fields = {one["field"]: (one["before"], one["after"]) for one in shown["difference"]}
    assert fields["person.first_name"] == (None, "Zebulon")
    assert fields["user.status"] == (None, "active")
    assert (shown["maker"], shown["version"], shown["hidden"]) == ("ussd", 1, False)
    reply = await desk.call(
        "carl", "POST", f"/approvals/{id_}/approve", {"version": 1}, **{"X-Request-Id": "request-approve-1"}
    )
    assert (reply.status, reply.json["state"], reply.json["checker"]) == (200, "approved", "operator:carl")
    assert (await desk.parts.subscriptions.check("+254711000401")).subscribed
    entry = await desk.parts.one("SELECT * FROM audit_log WHERE request_id = 'request-approve-1'")
    assert (entry.actor, entry.action) == ("operator:carl", "change.approved")
    assert id_ not in [one["id"] for one in (await desk.call("carl", "GET", "/approvals")).json["approvals"]]


async def test_a_checker_sees_which_identity_moves(desk: Desk) -> None:
    """Its type and a masked value stand beside who has it and who is to have it."""
    owner = str((await desk.parts.approvals.get(await desk.staged("+254711000451"))).entity_id)
    await desk.call("carl", "POST", f"/approvals/{await waiting(desk)}/approve", {"version": 1})
    claims = Script(search=[NotFound()], open=[Opened("REF-452", "ACC-452")])
    desk.parts.bank.scripts["+254711000452"] = claims
    done: Any = await desk.parts.open("same-document", "+254711000452", national_id="NATIONAL451")
    listed = (await desk.call("carl", "GET", "/approvals")).json["approvals"]
    (move,) = [one for one in listed if one["kind"] == "identity.move"]
    shown = (await desk.call("vera", "GET", f"/approvals/{move['id']}")).json
    assert {one["field"]: (one["before"], one["after"]) for one in shown["difference"]} == {
        "type": ("national_id", "national_id"),
        "value": ("*********51", "*********51"),
        "customer_id": (owner, done.customer_id),
    }
    assert shown["hidden"] is False


async def test_a_forgotten_pin_is_taken_away_by_two(desk: Desk) -> None:
    """A maker asks by the phone number and says why; a checker sees whose it is, who asked and why."""
    phone = "+254711000461"
    await desk.call("carl", "POST", f"/approvals/{await desk.staged(phone)}/approve", {"version": 1})
    assert await desk.parts.choose_pin("pin-461", phone, "835917") == "set"
    body = {"phone_number": "0711 000 461", "reason": "came with the passport"}
    asked = await desk.call("max", "POST", "/pins/reset", body)
    assert asked.status == 202
    assert problem(await desk.call("max", "POST", "/pins/reset", body)) == (409, "change_conflict")
    id_ = asked.json["change_id"]
    shown = (await desk.call("carl", "GET", f"/approvals/{id_}")).json
    assert (shown["kind"], shown["maker"], shown["maker_reason"]) == (
        "pin.reset",
        "operator:max",
        body["reason"],
    )
    fields = {one["field"]: (one["before"], one["after"]) for one in shown["difference"]}
    assert fields["phone_number"] == ("+254*******61", "+254*******61")
    assert fields["set_at"][1] is None
    reply = await desk.call("carl", "POST", f"/approvals/{id_}/approve", {"version": 1})
    assert (reply.status, reply.json["state"]) == (200, "approved")
    assert await desk.parts.pins.verify("door-461", phone, "835917", wait_s=5) == "not_set"
    assert problem(await desk.call("max", "POST", "/pins/reset", body)) == (404, "pin_not_found")


@pytest.mark.parametrize(
    ("who", "status", "code"),
    [
        ("", 401, "unauthorized"),
        ("vera", 403, "forbidden"),
        ("carl", 403, "forbidden"),
        ("api", 403, "forbidden"),
    ],
)
async def test_who_is_no_maker_asks_for_no_reset(desk: Desk, who: str, status: int, code: str) -> None:
    """Neither who looks nor who decides nor a program."""
    body = {"phone_number": "+254711000462", "reason": "x"}
    assert problem(await desk.call(who, "POST", "/pins/reset", body)) == (status, code)


async def test_a_reset_says_whose_pin_and_why(desk: Desk) -> None:
    """Both are wanted, and the number is one."""
    wrong = await desk.call("max", "POST", "/pins/reset", {"phone_number": "12"})
    assert problem(wrong) == (422, "invalid_request")
    assert {error["field"] for error in wrong.json["errors"]} == {"phone_number", "reason"}


async def waiting(desk: Desk) -> str:
    """The id of the change that waits the shortest."""
    return str((await desk.call("carl", "GET", "/approvals")).json["approvals"][-1]["id"])


async def test_a_checker_rejects_with_a_reason(desk: Desk) -> None:
    """The change is kept with the reason; a rejection without one is none."""
    id_ = await desk.staged("+254711000402")
    missing = await desk.call("carl", "POST", f"/approvals/{id_}/reject", {"version": 1})
    assert problem(missing) == (422, "invalid_request")
    assert [error["field"] for error in missing.json["errors"]] == ["reason"]
    body = {"version": 1, "reason": "  the document is somebody else's "}
    reply = await desk.call("carl", "POST", f"/approvals/{id_}/reject", body)
    assert (reply.status, reply.json["reason"]) == (200, "the document is somebody else's")
    found = (await desk.call("vera", "GET", "/approvals?state=rejected")).json["approvals"]
    assert id_ in [one["id"] for one in found]


async def test_nobody_approves_what_they_asked_for(desk: Desk) -> None:
    """Whichever of their keys and routes they came by: an admin may make and check, and not the same change."""
    done: Any = await desk.parts.open("by-ada", "+254711000403", maker="operator:ada", channel="api")
    refused = await desk.call("ada", "POST", f"/approvals/{done.change_id}/approve", {"version": 1})
    assert problem(refused) == (403, "self_approval")
    assert (await desk.call("ada", "GET", f"/approvals/{done.change_id}")).json["state"] == "pending"
    allowed = await desk.call("cleo", "POST", f"/approvals/{done.change_id}/approve", {"version": 1})
    assert allowed.status == 200


async def test_a_stale_version_is_refused(desk: Desk) -> None:
    """Who read another version decides on nothing, and is told which one there is."""
    id_ = await desk.staged("+254711000404")
    refused = await desk.call("carl", "POST", f"/approvals/{id_}/approve", {"version": 2})
    assert problem(refused) == (409, "change_stale")
    assert "version 1" in refused.json["detail"]
    assert (await desk.call("carl", "GET", f"/approvals/{id_}")).json["state"] == "pending"


async def test_of_two_checkers_at_the_same_moment_one_is_told_that_it_was_taken(desk: Desk) -> None:
    """One decision is applied, and stands once in the audit log; the other checker hears who was faster."""
    id_ = await desk.staged("+254711000405")
    replies = await asyncio.gather(
        *(desk.call(who, "POST", f"/approvals/{id_}/approve", {"version": 1}) for who in ("carl", "cleo"))
    )
    winner, loser = sorted(replies, key=lambda reply: reply.status)
    assert winner.status == 200
    assert problem(loser) == (409, "change_decided")
    assert winner.json["checker"] in loser.json["detail"]
    audited = await desk.parts.rows(
        "SELECT 1 FROM audit_log WHERE action = 'change.approved' AND reason LIKE :r", r=f"%{id_}"
    )
    assert len(audited) == 1


@pytest.mark.parametrize(
    ("who", "status", "code"),
    [
        ("", 401, "unauthorized"),
        ("vera", 403, "forbidden"),
        ("max", 403, "forbidden"),
        ("core", 403, "forbidden"),
    ],
)
async def test_who_is_no_checker_decides_on_nothing(desk: Desk, who: str, status: int, code: str) -> None:
    """Neither a viewer nor a maker nor a program, and nobody without a key."""
    for decision in ("approve", "reject"):
        refused = await desk.call(who, "POST", f"/approvals/any/{decision}", {"version": 1, "reason": "x"})
        assert problem(refused) == (status, code)


async def test_who_only_looks_sees_no_personal_fields(desk: Desk) -> None:
    """A viewer and the configured key see that there is a change, and not of whom."""
    id_ = await desk.staged("+254711000406")
    for who in ("vera", "api"):
        shown = await desk.call(who, "GET", f"/approvals/{id_}")
        assert shown.json["hidden"] is True
        assert not [word for word in PERSONAL if word in shown.body.decode()]


async def test_what_is_not_there_and_what_is_no_id(desk: Desk) -> None:
    """404, whatever stands in the address."""
    for odd in ("no-such-change", "%00", "a%2Fb", "x" * 300, "'"):
        for method, path, body in (
            ("GET", f"/approvals/{odd}", None),
            ("POST", f"/approvals/{odd}/approve", {"version": 1}),
            ("GET", f"/operations/{odd}", None),
        ):
            assert (await desk.call("ada", method, path, body)).status == 404


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/approvals?state=lost", "state"),
        ("/approvals?limit=0", "limit"),
        ("/approvals?limit=many", "limit"),
        ("/operations?state=pending", "state"),
        ("/notifications?before=" + "a" * 65, "before"),
        ("/notifications?page=2", "page"),
        ("/notifications?state=sent&state=failed", "state"),
    ],
)
async def test_a_wrong_question_is_answered_with_the_field(desk: Desk, path: str, field: str) -> None:
    """A misspelt filter would show what nobody asked for, so it is refused."""
    refused = await desk.call("vera", "GET", path)
    assert problem(refused) == (422, "invalid_request")
    assert [error["field"] for error in refused.json["errors"]] == [field]


async def test_changes_come_page_by_page(desk: Desk) -> None:
    """The oldest first; `after` goes on behind the last one that was seen."""
    for number in range(3):
        await desk.staged(f"+25471100041{number}")
    whole = [one["id"] for one in (await desk.call("vera", "GET", "/approvals?limit=200")).json["approvals"]]
    seen: list[str] = []
    while True:
        after = f"&after={seen[-1]}" if seen else ""
        page = (await desk.call("vera", "GET", f"/approvals?limit=2{after}")).json["approvals"]
        if not page:
            break
        seen += [one["id"] for one in page]
    assert seen == whole


# --- operations and messages ----------------------------------------------------------------------------


async def test_an_opening_in_doubt_is_listed_and_tried_again(desk: Desk) -> None:
    """Staff see what is in doubt, with a masked number; a maker has it taken up, and the bank's word ends it."""
    phone = "+254711000420"
    desk.parts.bank.scripts[phone] = Script(open=[Unknown("timeout")], find=[Unknown("timeout")])
    await desk.parts.open("in-doubt", phone, wait_s=0.05)
    (operation,) = await desk.parts.rows("SELECT id FROM operations WHERE phone_number = :p", p=phone)
    await desk.parts.do("UPDATE operations SET state = 'in_doubt' WHERE id = :id", id=operation.id)
    listed = await desk.call("vera", "GET", "/operations")
    (shown,) = [one for one in listed.json["operations"] if one["id"] == operation.id]
    assert (shown["phone_masked"], shown["state"], shown["retries"]) == ("+254*******20", "in_doubt", 0)
    assert phone not in listed.body.decode()
    refused = await desk.call("carl", "POST", f"/operations/{operation.id}/retry", {})
    assert problem(refused) == (403, "forbidden")
    reply = await desk.call("max", "POST", f"/operations/{operation.id}/retry", {})
    assert (reply.status, reply.json["retries"]) == (202, 1)
    desk.parts.bank.scripts.clear()

    async def done() -> bool:
        found = await desk.call("max", "GET", f"/operations/{operation.id}")
        return bool(found.json["state"] == "done")

    await eventually(done)
    again = await desk.call("max", "POST", f"/operations/{operation.id}/retry", {})
    assert problem(again) == (409, "operation_finished")


async def test_failed_messages_are_listed(desk: Desk) -> None:
    """Which message failed, and why; neither its text nor the whole number."""
    phone = "+254711000430"
    desk.parts.sms.rejected.add(phone)
    await desk.parts.open("mute", phone)

    async def failed() -> list[Any]:
        listed = await desk.call("vera", "GET", "/notifications?state=failed")
        assert phone not in listed.body.decode()
        return [one for one in listed.json["notifications"] if one["phone_masked"].endswith("30")]

    await eventually(lambda: _any(failed))
    (message,) = await failed()
    assert (message["event"], message["state"]) == ("account_opened", "failed")
    assert message["failure"]


async def test_nothing_personal_is_logged(desk: Desk) -> None:
    """Of what staff do, the log has ids."""
    with structlog.testing.capture_logs() as logs:
        id_ = await desk.staged("+254711000440")
        await desk.call("carl", "GET", f"/approvals/{id_}")
        await desk.call("carl", "POST", f"/approvals/{id_}/approve", {"version": 1})
    assert not [word for word in PERSONAL if word in str(logs)]


async def _any(found: Any) -> bool:
    return bool(await found())


# --- texts ----------------------------------------------------------------------------------------------

WORDS = {"key": "onboarding.welcome.menu", "language": "en", "text": "Good day from Acme Bank"}


async def shown(desk: Desk) -> str:
    found = await desk.texts.fetch("en", "onboarding", [WORDS["key"]], None)
    assert found.translations is not None
    return found.translations[WORDS["key"]]


async def test_other_words_are_shown_once_somebody_else_approved_them(desk: Desk) -> None:
    """The maker asks, the checker sees both texts, and what is approved is what is fetched; null takes it back."""
    own = await shown(desk)
    for text, before in ((WORDS["text"], own), (None, WORDS["text"])):
        asked = await desk.call("max", "POST", "/translations/overrides", {**WORDS, "text": text})
        assert (asked.status, asked.json["status"]) == (202, "staged")
        assert await shown(desk) == before
        path = f"/approvals/{asked.json['change_id']}"
        fields = (await desk.call("carl", "GET", path)).json["difference"]
        assert fields == [{"field": "text", "before": before, "after": text}]
        assert (await desk.call("carl", "POST", f"{path}/approve", {"version": 1})).status == 200
        assert await shown(desk) == (text or own)


async def test_two_wishes_for_one_text_wait_for_a_decision_on_the_first(desk: Desk) -> None:
    """A second one would be decided on against words that are about to change."""
    wish = {**WORDS, "key": "onboarding.welcome.options.1"}
    first = await desk.call("max", "POST", "/translations/overrides", wish)
    assert problem(await desk.call("max", "POST", "/translations/overrides", wish)) == (
        409,
        "change_conflict",
    )
    rejected = await desk.call(
        "carl", "POST", f"/approvals/{first.json['change_id']}/reject", {"version": 1, "reason": "no"}
    )
    assert rejected.status == 200


async def test_text_that_no_screen_could_show_is_not_staged(desk: Desk) -> None:
    """The maker is told what stands against it."""
    refused = await desk.call("max", "POST", "/translations/overrides", {**WORDS, "text": "Hello {nobody}"})
    assert problem(refused) == (422, "text_refused")
    assert "{nobody}" in refused.json["errors"][0]["message"]


async def test_override_of_a_text_that_is_gone_can_be_taken_away(desk: Desk) -> None:
    """The flow files may have lost the text since; the record of it goes as any other does."""
    await desk.parts.do(
        "INSERT INTO translation_overrides VALUES ('onboarding.gone.menu', 'en', 'Hi', '2030-01-01 00:00:00')"
    )
    asked = await desk.call(
        "max", "POST", "/translations/overrides", {**WORDS, "key": "onboarding.gone.menu", "text": None}
    )
    assert asked.status == 202
    path = f"/approvals/{asked.json['change_id']}"
    fields = (await desk.call("carl", "GET", path)).json["difference"]
    assert fields == [{"field": "text", "before": "Hi", "after": None}]
    assert (await desk.call("carl", "POST", f"{path}/approve", {"version": 1})).status == 200
    assert await desk.parts.rows("SELECT * FROM translation_overrides") == []


async def test_example_of_a_wish_can_be_sent_as_it_stands(desk: Desk) -> None:
    """It names a text of the shipped flows."""
    operation = DOCUMENT["paths"]["/translations/overrides"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert desk.texts.check(example["key"], example["language"], example["text"]) == []
