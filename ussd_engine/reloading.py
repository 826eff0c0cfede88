"""A running service publishes its folder of flows: when SIGHUP asks for it, or as soon as something is saved there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from ussd_engine.errors import UssdError
from ussd_engine.flow.folder import files_of
from ussd_engine.logs import describe

if TYPE_CHECKING:
    from ussd_engine.bootstrap import Engine
    from ussd_engine.platform.revisions import How

log = structlog.get_logger(__name__)

POLL_S = 0.3
"""How often the folder is looked at. To ask works on every file system, and to be told of changes does not."""

Files = frozenset[tuple[Path, int, int, int]]
"""Every file of a folder, with its inode, the time of its last change and its length.

The inode tells a file from one that was put in its place with the same time and length.
"""


@asynccontextmanager
async def reloading(engine: Engine, asked: asyncio.Event, *, watch: bool) -> AsyncIterator[None]:
    """Publish the folder whenever `asked` is set, while the block lasts; with `watch`, whenever it changes."""
    tasks = [asyncio.create_task(_when_asked(engine, asked))]
    if watch:
        tasks.append(asyncio.create_task(_when_saved(engine)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _when_asked(engine: Engine, asked: asyncio.Event) -> None:
    while True:
        await asked.wait()
        asked.clear()
        await _publish(engine, "published")


async def _when_saved(engine: Engine) -> None:
    """What is there at first is looked at too: it may have changed while nobody watched."""
    folder = engine.settings.flows.dir
    seen: Files | None = None
    while True:
        found = await asyncio.to_thread(_files, folder)
        if found != seen:
            await asyncio.sleep(POLL_S)  # an editor, or a copy of many files, takes a moment
            seen, before = await asyncio.to_thread(_files, folder), found
            if seen == before:
                await _publish(engine, "folder")
            else:
                seen = None
        await asyncio.sleep(POLL_S)


def _files(folder: Path) -> Files:
    found = set()
    for file in files_of(folder):
        try:
            status = file.stat()
        except OSError:  # an editor has put another one in its place
            continue
        found.add((file, status.st_ino, status.st_mtime_ns, status.st_size))
    return frozenset(found)


async def _publish(engine: Engine, how: How) -> None:
    """Whatever is wrong is told, and the service goes on with what it has."""
    try:
        revision = await engine.folder.publish(how)
    except UssdError as error:
        log.warning("flows_not_published", **describe(error))
        _tell(f"{error}\nThe flows stay at revision {engine.live.program.revision}.")
    except Exception as error:  # noqa: BLE001 - the next change tries again
        log.error("flows_not_published", **describe(error))  # noqa: TRY400 - wordless
        _tell(f"The flows stay at revision {engine.live.program.revision}; the log says why.")
    else:
        if revision is not None:
            _tell(f"The flows are at revision {revision} now, for every session that begins.")
        elif how != "folder":
            _tell(f"The folder holds revision {engine.live.program.revision}, which is served already.")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - for the person who saved a file or sent the signal
