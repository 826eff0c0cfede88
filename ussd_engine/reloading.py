"""A running service publishes its folder of flows: when SIGHUP asks for it, or as soon as something is saved there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from ussd_engine.errors import FlowError, UssdError
from ussd_engine.flow.folder import files_of
from ussd_engine.logs import describe

if TYPE_CHECKING:
    from ussd_engine.bootstrap import Engine
    from ussd_engine.signals import Asked, Wish

log = structlog.get_logger(__name__)

POLL_S = 0.3
"""How often the folder is looked at. To ask works on every file system, and to be told of changes does not."""
TRY_AGAIN_S = 5.0
"""After what has nothing to do with the flows, such as a database that is away."""

Files = frozenset[tuple[Path, int, int, int]]
"""Every file of a folder, with its inode, the time of its last change and its length.

The inode tells a file from one that was put in its place with the same time and length.
"""


@asynccontextmanager
async def watching(folder: Path, asked: Asked) -> AsyncIterator[None]:
    """Ask for it to be published whenever something is saved there, while the block lasts."""
    async with _meanwhile(_watch(folder, _files(folder), asked)):
        yield


@asynccontextmanager
async def reloading(engine: Engine, asked: Asked) -> AsyncIterator[None]:
    """Publish the folder whenever that is asked for, while the block lasts."""
    async with _meanwhile(_when_asked(engine, asked)):
        yield


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(folder: Path, seen: Files, asked: Asked) -> None:
    while True:
        await asyncio.sleep(POLL_S)
        found = await asyncio.to_thread(_files, folder)
        if found == seen:
            continue
        await asyncio.sleep(POLL_S)  # an editor, or a copy of many files, takes a moment
        if await asyncio.to_thread(_files, folder) == found:
            seen = found
            if asked.empty():  # who is still to be heard will find this too
                asked.put_nowait("folder")


def _files(folder: Path) -> Files:
    found = set()
    try:
        files = files_of(folder)
    except OSError:  # whoever publishes it says what is wrong
        return frozenset()
    for file in files:
        try:
            status = file.stat()
        except OSError:  # an editor has put another one in its place
            continue
        found.add((file, status.st_ino, status.st_mtime_ns, status.st_size))
    return frozenset(found)


async def _when_asked(engine: Engine, asked: Asked) -> None:
    while True:
        wish = await asked.get()
        await _publish(engine, wish)
        asked.task_done()


async def _publish(engine: Engine, wish: Wish) -> None:
    """Until it is done or refused. Whatever is wrong is told, and the service goes on with what it has."""
    told = False
    while True:
        try:
            revision, new = await engine.folder.publish(wish)
        except FlowError as error:
            await engine.live.look()
            tell_refused(error, engine.live.program.revision)
            return
        except Exception as error:  # noqa: BLE001 - the next try reads the folder anew
            log.error("flows_not_published", **describe(error))  # noqa: TRY400 - a traceback holds values
            reason = str(error) if isinstance(error, UssdError) else "the log says why"
            if not told:
                _tell(f"The folder is not published yet: {reason}. It is tried again until it can be done.")
            told = True
            await asyncio.sleep(TRY_AGAIN_S)
        else:
            _tell(
                f"The flows are at revision {revision} now, for every session that begins."
                if new
                else f"The folder holds revision {revision}, which is served already."
            )
            return


def tell_refused(error: FlowError, revision: str) -> None:
    """A folder that cannot be served; `revision` is what is served instead."""
    log.warning("flows_not_published", **describe(error))
    _tell(f"{error}\nThe flows stay at revision {revision}.")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - for the person who saved a file or sent the signal
