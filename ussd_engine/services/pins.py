"""The PIN of a subscriber: chosen once, asked for before what only its owner may see or do.

A PIN goes no further than this module: what is stored is a slow salted hash, and what a workflow is given is that
hash, or whether the PIN was right. Whether it was is told only with the count of wrong ones, in one transaction: so a
thousand guesses at once get no further than the few that the limit allows, whichever worker or channel they come by.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
from typing import TYPE_CHECKING, TypeVar

from ussd_engine.platform import audit, pins
from ussd_engine.platform.audit import AuditEntry
from ussd_engine.platform.gate import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from ussd_engine.platform.customers import Directory
    from ussd_engine.platform.database import Database
    from ussd_engine.platform.gate import Limit
    from ussd_engine.ports import Clock
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.policies import Policy
    from ussd_engine.services.workflows import Json, Workflows

T = TypeVar("T")

VERIFY = "pin.verify"
SET = "pin.set"
"""The actions, and their workflows."""

LOG2_N, R, P = 14, 8, 1
"""Cost of scrypt (RFC 7914): 16 MiB and about 40 ms. It is stored with each hash, so it may be raised."""
SALT_BYTES = 16
AT_ONCE = 2
"""Hashes computed at the same time in one process: each takes a core and its memory."""


def hashed(pin: str) -> str:
    """A new salted hash, with all that it takes to compare."""
    salt = os.urandom(SALT_BYTES)
    body = _scrypt(pin, salt, LOG2_N, R, P)
    return f"scrypt.{LOG2_N}.{R}.{P}.{base64.b64encode(salt).decode()}.{base64.b64encode(body).decode()}"


def matches(pin: str, hash_: str) -> bool:
    """In constant time."""
    _, log2_n, r, p, salt, body = hash_.split(".")
    given = _scrypt(pin, base64.b64decode(salt), int(log2_n), int(r), int(p))
    return hmac.compare_digest(given, base64.b64decode(body))


def _scrypt(pin: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    n = 2**log2_n
    return hashlib.scrypt(pin.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


class Pins:
    """For active users only."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        directory: Directory,
        policy: Policy,
        limit: Limit,
        workflows: Workflows,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._directory = directory
        self._policy = policy
        self._limit = limit
        self._workflows = workflows
        self._room = asyncio.Semaphore(AT_ONCE)

    async def verify(
        self, workflow_id: str, phone_number: str, pin: str, *, wait_s: float
    ) -> Verdict | str | None:
        """The verdict, or `not_set`; None when not known within `wait_s`. Raises NotAllowed, DatabaseUnavailable."""
        self._policy.require(VERIFY)
        deadline = self._clock.monotonic() + wait_s

        def stored(connection: Connection) -> tuple[str | None, str | None]:
            user_id = self._user_id(connection, phone_number)
            return user_id, pins.hash_of(connection, self._keys, user_id) if user_id else None

        user_id, hash_ = await self._database.read(stored)
        if user_id is None or hash_ is None:
            return "not_set"
        right = await self._computed(lambda: matches(pin, hash_), wait_s)
        if right is None:
            return None
        payload = {"workflow_id": workflow_id, "user_id": user_id, "right": right}
        left = max(deadline - self._clock.monotonic(), 0.0)
        done = await self._workflows.run(VERIFY, workflow_id, payload, wait_s=left)
        return None if done is None else Verdict(done["outcome"], done["attempts_left"])

    async def set(self, workflow_id: str, phone_number: str, pin: str, *, wait_s: float) -> str | None:
        """`set`, `already_set`, or `not_found`; None when not known within `wait_s`. Raises as `verify`."""
        self._policy.require(SET)
        deadline = self._clock.monotonic() + wait_s
        user_id = await self._database.read(lambda c: self._user_id(c, phone_number))
        if user_id is None:
            return "not_found"
        hash_ = await self._computed(lambda: hashed(pin), wait_s)
        if hash_ is None:
            return None
        payload = {"workflow_id": workflow_id, "user_id": user_id, "hash": hash_}
        left = max(deadline - self._clock.monotonic(), 0.0)
        done = await self._workflows.run(SET, workflow_id, payload, wait_s=left)
        return None if done is None else str(done["kind"])

    async def verify_workflow(self, payload: Json) -> Json:
        """The durable body, registered under `VERIFY`."""
        return await self._workflows.insist(
            lambda: self._database.write(lambda connection: self._verify(connection, payload))
        )

    async def set_workflow(self, payload: Json) -> Json:
        """The durable body, registered under `SET`."""
        return await self._workflows.insist(
            lambda: self._database.write(lambda connection: self._set(connection, payload))
        )

    async def _computed(self, work: Callable[[], T], wait_s: float) -> T | None:
        """None where so many hashes are asked for at once that this one has no turn in time."""
        try:
            async with asyncio.timeout(wait_s), self._room:
                return await asyncio.to_thread(work)
        except TimeoutError:
            return None

    def _user_id(self, connection: Connection, phone_number: str) -> str | None:
        known = self._directory.by_phone_number(connection, phone_number)
        return known.user_id if known is not None and known.user_status == "active" else None

    def _verify(self, connection: Connection, payload: Json) -> Json:
        user_id, workflow_id = payload["user_id"], payload["workflow_id"]
        verdict = pins.attempt(
            connection,
            self._keys,
            user_id,
            workflow_id,
            self._limit,
            self._clock.now(),
            right=payload["right"],
        )
        if verdict.locks:
            self._note(connection, "pin.locked", user_id, workflow_id)
        return {"outcome": verdict.outcome, "attempts_left": verdict.attempts_left}

    def _set(self, connection: Connection, payload: Json) -> Json:
        user_id, workflow_id = payload["user_id"], payload["workflow_id"]
        before = pins.hash_of(connection, self._keys, user_id)
        kept = pins.keep(connection, self._keys, user_id, payload["hash"], workflow_id, self._clock.now())
        if kept and before is None:
            self._note(connection, SET, user_id, workflow_id)
        return {"kind": "set" if kept else "already_set"}

    def _note(self, connection: Connection, action: str, user_id: str, workflow_id: str) -> None:
        entry = AuditEntry("ussd", action, "users", user_id, workflow_id)
        audit.append(connection, self._keys, [entry], self._clock.now())
