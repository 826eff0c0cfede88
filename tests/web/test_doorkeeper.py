"""Who is let in: real keys in a real database, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import structlog
from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler

from tests.web.conftest import Reply, problem
from tests.web.parts import FixedClock
from ussd_engine.access import Role, Scope
from ussd_engine.platform import staff
from ussd_engine.platform.database import Database
from ussd_engine.platform.migrate import migrate
from ussd_engine.platform.staff import Act
from ussd_engine.sealing import KeyRing
from ussd_engine.services.callers import Callers
from ussd_engine.web.answers import answer
from ussd_engine.web.app import runner
from ussd_engine.web.doorkeeper import admit
from ussd_engine.web.problems import guarded

KEYS = KeyRing.of(b"i" * 32, {"k1": b"s" * 32})
CONFIGURED = "the-configured-sample-key"
NOW = FixedClock().now()
ACT = Act("console:sample", "request-1", NOW - timedelta(days=2))


@dataclass
class Door:
    """An application with a route for every scope, which answers with the name of who called."""

    database: Database
    client: ClientSession
    port: int

    async def knock(self, scope: Scope, authorization: str | None) -> Reply:
        headers = {} if authorization is None else {"Authorization": authorization}
        url = f"http://127.0.0.1:{self.port}/{scope}"
        async with self.client.get(url, headers=headers) as response:
            return Reply(response.status, response.headers, await response.read())

    async def opens(self, key: str) -> set[Scope]:
        return {scope for scope in Scope if (await self.knock(scope, f"Bearer {key}")).status == 200}

    async def operator(self, name: str, role: Role) -> str:
        return await self.database.write(lambda c: staff.add_operator(c, KEYS, ACT, name, role))

    async def program(self, name: str, *scopes: Scope, expires_at: datetime | None = None) -> str:
        return await self.database.write(
            lambda c: staff.add_program_key(c, KEYS, ACT, name, scopes, expires_at)
        )


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    url = f"sqlite+aiosqlite:///{tmp_path}/platform.db"
    await migrate(url, KEYS)
    database = Database(url)
    callers = Callers(database, FixedClock(), CONFIGURED)
    app = web.Application()
    for scope in Scope:
        app.router.add_get(f"/{scope}", guarded(route(callers, scope)))
    running = runner(app)
    await running.setup()
    await web.TCPSite(running, "127.0.0.1", 0).start()
    async with ClientSession() as client:
        yield Door(database, client, running.addresses[0][1])
    await running.cleanup()
    await database.close()


async def test_an_operator_is_let_in_by_role(door: Door) -> None:
    """A checker looks and checks; the route learns who it was."""
    key = await door.operator("ann", Role.CHECKER)
    assert await door.opens(key) == {Scope.VIEW, Scope.CHECK}
    assert (await door.knock(Scope.CHECK, f"Bearer {key}")).body == b"operator:ann"


async def test_a_program_is_let_in_by_the_scopes_of_its_key(door: Door) -> None:
    """And known by the name of the key."""
    key = await door.program("core", Scope.ACCOUNT)
    assert await door.opens(key) == {Scope.ACCOUNT}
    assert (await door.knock(Scope.ACCOUNT, f"bearer  {key}")).body == b"key:core"


async def test_the_configured_key_makes_and_checks_nothing(door: Door) -> None:
    """Nobody knows who holds it: it opens the JSON routes, and may look."""
    assert await door.opens(CONFIGURED) == {
        Scope.SUBSCRIPTION,
        Scope.ACCOUNT,
        Scope.TRANSLATIONS,
        Scope.VIEW,
    }
    assert (await door.knock(Scope.VIEW, f"Bearer {CONFIGURED}")).body == b"api"


async def test_a_valid_key_without_the_scope_is_forbidden(door: Door) -> None:
    """403 names the scope that is missing, for a person and for a program (RFC 6750, 3.1)."""
    key = await door.operator("ann", Role.VIEWER)
    reply = await door.knock(Scope.CHECK, f"Bearer {key}")
    assert problem(reply) == (403, "forbidden")
    assert "'check'" in reply.json["detail"]
    assert reply.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="check"'


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer  ",
        CONFIGURED,
        f"Basic {CONFIGURED}",
        f"Bearer {CONFIGURED}x",
        f"Bearer {CONFIGURED[:-1]}",
        f"Bearer {CONFIGURED} ,",
        "Bearer ussd_" + "A" * 43,
        "Bearer cl\u00e9",
    ],
)
async def test_without_a_key_nobody_is_let_in(door: Door, authorization: str | None) -> None:
    """Neither a part of a key nor more than a key is a key; the answer says how one is sent."""
    reply = await door.knock(Scope.VIEW, authorization)
    assert problem(reply) == (401, "unauthorized")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_a_key_that_is_over_is_answered_like_one_that_never_was(door: Door) -> None:
    """Revoked, expired, of a disabled operator, unknown: a caller cannot tell which."""
    revoked = await door.program("one", Scope.VIEW)
    expired = await door.program("two", Scope.VIEW, expires_at=NOW - timedelta(seconds=1))
    disabled = await door.operator("ann", Role.ADMIN)
    assert await door.opens(revoked) == {Scope.VIEW}
    await door.database.write(lambda c: staff.revoke_key(c, KEYS, ACT, "one"))
    await door.database.write(lambda c: staff.disable_operator(c, KEYS, ACT, "ann"))
    keys = [revoked, expired, disabled, "ussd_" + "A" * 43]
    replies = [await door.knock(Scope.VIEW, f"Bearer {key}") for key in keys]
    assert [problem(reply) for reply in replies] == [(401, "unauthorized")] * 4
    assert len({reply.json["detail"] for reply in replies}) == 1


async def test_no_key_stands_in_a_log_or_an_answer(door: Door) -> None:
    """Neither one that is refused nor one that is let in."""
    key = await door.operator("ann", Role.VIEWER)
    with structlog.testing.capture_logs() as logs:
        replies = [await door.knock(scope, f"Bearer {key}") for scope in Scope]
        replies += [await door.knock(Scope.VIEW, f"Bearer {key}x")]
    written = repr([logs, [(reply.headers, reply.body) for reply in replies]])
    assert key[5:] not in written


def route(callers: Callers, scope: Scope) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        principal = await admit(request, callers, scope)
        return answer(request, 200, principal.name.encode(), content_type="text/plain")

    return handler
