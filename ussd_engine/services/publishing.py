"""From a folder of flows to the revision that new sessions begin on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from ussd_engine.errors import FlowError
from ussd_engine.flow import stored
from ussd_engine.flow.loader import load
from ussd_engine.platform import revisions
from ussd_engine.platform.revisions import Revision
from ussd_engine.platform.staff import Act
from ussd_engine.runtime.compiler import compile_library
from ussd_engine.services.action_specs import SPECS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from ussd_engine.flow.loader import Library
    from ussd_engine.flow.pager import Profile
    from ussd_engine.platform.database import Database
    from ussd_engine.platform.revisions import How
    from ussd_engine.ports import Clock
    from ussd_engine.runtime.program import Program
    from ussd_engine.sealing import KeyRing
    from ussd_engine.services.live import Live

log = structlog.get_logger(__name__)

ACTOR = "service"
"""Who publishes where a running service was told to, and not who told it: a signal has no sender."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A folder of flows in which there is no error."""

    library: Library
    program: Program

    @property
    def revision(self) -> Revision:
        states = sum(len(flow.states) for flow in self.library.flows.values())
        content = stored.dumps(self.library).decode()
        return Revision(self.program.revision, content, len(self.library.flows), states)


def shown(path: Path) -> str:
    """As a person in the present folder types it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def check(folder: Path, region: str, networks: Mapping[str, Profile], *, sms: bool = True) -> Checked:
    """Raises InvalidFlows with every finding, and FlowError for no folder, or one without `sms` texts."""
    library = load(folder, SPECS, shown(folder), networks)
    if sms and not library.sms.texts:
        raise FlowError(
            f"{shown(folder)}: no SMS texts in this folder; they are a .yaml file with an 'sms:' key"
        )
    return Checked(library, compile_library(library, SPECS, region))


def take_up(
    connection: Connection, keys: KeyRing, revision: Revision, act: Act, *, over_a_decision: bool
) -> bool:
    """Publish what a service finds in its folder; not where a person has said which revision is served."""
    if revisions.decided(connection) and not over_a_decision:
        return False
    return revisions.publish(connection, keys, revision, "folder", act)


class Folder:
    """The folder of a running service, which publishes it when it is told to. `check` reads it."""

    def __init__(
        self, check: Callable[[], Checked], database: Database, keys: KeyRing, clock: Clock, live: Live
    ) -> None:
        self._check = check
        self._database = database
        self._keys = keys
        self._clock = clock
        self._live = live

    async def publish(self, how: How) -> tuple[str, bool]:
        """The revision that it holds, and whether it was another one that was current until then.

        Raises as `check` does: then nothing changes.
        """
        checked = await asyncio.to_thread(self._check)  # turns go on meanwhile
        act = Act(ACTOR, f"service-{uuid4().hex}", self._clock.now())
        revision = checked.revision
        if not await self._database.write(lambda c: revisions.publish(c, self._keys, revision, how, act)):
            return revision.id, False
        await self._live.announce()
        log.info("flows_published", revision=revision.id, how=how, warnings=len(checked.library.warnings))
        return revision.id, True
