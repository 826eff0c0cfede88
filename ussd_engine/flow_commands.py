"""`ussd publish`, `ussd revisions`, `ussd rollback`: which flows new sessions begin on, also while the service runs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ussd_engine.console import FINDINGS, Config, Console, fail, printable, read_settings, table, with_console
from ussd_engine.errors import FlowError, StoreUnavailable, UssdError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ussd_engine.flow.difference import Difference
    from ussd_engine.flow.loader import Library
    from ussd_engine.platform.revisions import Publication
    from ussd_engine.platform.staff import Act
    from ussd_engine.ports import SessionStore
    from ussd_engine.services.census import Census
    from ussd_engine.services.publishing import Checked
    from ussd_engine.settings import Settings

HEAD = ("", "REVISION", "WHEN", "HOW", "WHO", "FLOWS", "STATES", "NOTE")
MOST_PLACES = 20
"""Of the states that a dry run lists with the sessions that stand there: beyond this they are too many to read."""

Note = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Why: it is kept with the revision.", show_default=False)
]


def publish(
    path: Annotated[
        Path | None, typer.Argument(help="The folder of flows, instead of flows.dir.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Change nothing: tell what would change, and for how many sessions."),
    ] = False,
    note: Note = None,
    config: Config = None,
) -> None:
    """Check a folder of flows and make it the one that new sessions begin on, in all workers and machines.

    Sessions that are under way go on with the flows that they began on. A folder with errors changes nothing.
    From the first time on, a service serves what was published, whatever its own folder holds.

    Exit status: 0 published, or there already; 1 errors found; 2 could not run.
    """
    settings = _settings("publish", config)
    checked = _check(path or settings.flows.dir, settings)
    if dry_run:
        typer.echo(with_console("publish", config, lambda console: _preview(console, settings, checked)))
        return
    typer.echo(with_console("publish", config, lambda console: _publish(console, settings, checked, note)))


def revisions(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 20,
    config: Config = None,
) -> None:
    """List which revision of the flows was made current, when and by whom, the newest first.

    The one with the star is current. `folder` is what a service took up by itself.
    """
    from ussd_engine.platform import revisions  # noqa: PLC0415 - see cli.py

    found = with_console("revisions", config, lambda console: console.database.read(revisions.all_of))
    if not found:
        typer.echo("No revision yet: a service takes its folder up at its start, or ussd publish FOLDER")
        return
    newest = found[::-1][:limit]
    typer.echo(table(HEAD, [_row(each, current=each is newest[0]) for each in newest]))


def rollback(
    revision: Annotated[
        str | None,
        typer.Argument(help="An earlier one; without it, the one before the current.", show_default=False),
    ] = None,
    note: Note = None,
    config: Config = None,
) -> None:
    """Make an earlier revision of the flows current again, for new sessions.

    Sessions that are under way go on with theirs, also with the one that is left. It is refused when another revision
    became current while it began: of two who roll back at the same moment, one goes back.
    """
    asked_at = datetime.now(UTC)
    settings = _settings("rollback", config)

    async def work(console: Console) -> str:
        from ussd_engine.platform import revisions  # noqa: PLC0415 - see cli.py

        act = _act(console)
        left, target = await console.database.write(
            lambda c: revisions.roll_back(c, console.keys, revision, act, note, asked_at=asked_at)
        )
        return f"Back from revision {left}: revision {target} is current again. {await _told(settings)}"

    typer.echo(with_console("rollback", config, work))


def _settings(command: str, config: Path | None) -> Settings:
    try:
        return read_settings(config)
    except UssdError as error:
        fail(command, error)


def _check(folder: Path, settings: Settings) -> Checked:
    """What is wrong with it is printed, warnings too; an error ends the command."""
    from ussd_engine.flow.diagnostic import InvalidFlows, as_text  # noqa: PLC0415 - see cli.py
    from ussd_engine.services.publishing import check, shown  # noqa: PLC0415 - see cli.py

    try:
        checked = check(folder, settings.phone.default_region, settings.screens)
    except InvalidFlows as error:
        typer.echo(f"{error}\n{shown(folder)}: not published, nothing was changed")
        raise typer.Exit(FINDINGS) from None
    except FlowError as error:
        fail("publish", error)
    if checked.library.warnings:
        typer.echo(as_text(checked.library.warnings))
    return checked


async def _publish(console: Console, settings: Settings, checked: Checked, note: str | None) -> str:
    from ussd_engine.platform import revisions  # noqa: PLC0415 - see cli.py

    revision, act = checked.revision, _act(console)
    if not await console.database.write(
        lambda c: revisions.publish(c, console.keys, revision, "published", act, note)
    ):
        return f"Revision {revision.id} is current already: nothing was changed."
    return (
        f"Revision {revision.id} is current; flows: {revision.flows}, states: {revision.states}.\n"
        f"{await _told(settings)}"
    )


def _act(console: Console) -> Act:
    from ussd_engine.platform.staff import Act  # noqa: PLC0415 - see cli.py

    return Act(console.actor, console.request_id, datetime.now(UTC))


async def _told(settings: Settings) -> str:
    """Have every worker look at once; what became of that."""
    from ussd_engine.services.live import LOOK_EVERY_S, announce  # noqa: PLC0415 - see cli.py

    async with _sessions(settings) as store:
        if store is None:
            return "No service runs here: the next one serves it from its start."
        if await announce(store):
            return "New sessions begin on it from now on; those under way end on theirs."
    return f"Redis does not answer: a service that runs looks by itself, each {LOOK_EVERY_S:.0f} s."


@asynccontextmanager
async def _sessions(settings: Settings) -> AsyncIterator[SessionStore | None]:
    """The store of the service. None: it is an embedded one, and no service runs.

    What goes wrong with it is told in the words of the command: the log keeps silent.
    """
    from adapters.sessions.embedded import running_at  # noqa: PLC0415 - see cli.py
    from adapters.sessions.redis import RedisSessionStore  # noqa: PLC0415
    from ussd_engine import logs  # noqa: PLC0415 - see cli.py
    from ussd_engine.settings_model import EMBEDDED  # noqa: PLC0415

    logs.configure("error", settings.logging.format)
    url = settings.redis.url.get_secret_value()
    where = await running_at(settings.data_dir) if url == EMBEDDED else url
    if where is None:
        yield None
        return
    store = RedisSessionStore(where, timeout_s=settings.redis.timeout_s)
    try:
        yield store
    finally:
        await store.close()


async def _preview(console: Console, settings: Settings, checked: Checked) -> str:
    from ussd_engine.flow import stored  # noqa: PLC0415 - see cli.py
    from ussd_engine.platform import overrides, revisions  # noqa: PLC0415
    from ussd_engine.services.census import census  # noqa: PLC0415
    from ussd_engine.services.editions import fitting_of  # noqa: PLC0415

    new = checked.revision
    lines = [f"Revision {new.id}; flows: {new.flows}, states: {new.states}."]
    last = await console.database.read(revisions.current)
    if last is None:
        lines.append("Nothing is published yet.")
    elif last.revision == new.id:
        lines.append("It is current already.")
    else:
        content = await console.database.read(lambda c: revisions.content_of(c, last.revision))
        lines += _compared(last.revision, stored.loads(content or ""), checked.library)
    found = await console.database.read(overrides.all_of)
    left_out = sorted(found.keys() - fitting_of(checked.library, found).keys())
    lines += [
        f"A text of staff does not fit and is left out: {key} ({language})" for key, language in left_out
    ]
    async with _sessions(settings) as store:
        if store is None:
            lines.append("No service runs here: there are no live sessions.")
        else:
            try:
                lines += _counted(await census(store, checked.library))
            except StoreUnavailable as error:
                lines.append(f"Live sessions were not counted: {error}.")
    return "\n".join([*lines, "Nothing was changed: this is a dry run."])


def _compared(revision: str, old: Library, new: Library) -> Iterator[str]:
    from ussd_engine.flow import difference  # noqa: PLC0415 - see cli.py

    yield f"Beside revision {revision}, which is current:"
    for each in difference.differences(old, new):
        yield f"  flow {each.flow}{_comes_or_goes(each, old, new)}"
        yield from (f"    + {state}" for state in each.added)
        yield from (f"    - {state}" for state in each.removed)
        yield from (f"    ~ {state}" for state in each.changed)
        if each.keys:
            yield f"    ~ {', '.join(each.keys)} of the flow"
    yield from (f"  SMS {event}" for event in difference.sms_events(old, new))
    yield from (f"  no longer dialled: {code}" for code in difference.no_longer_dialled(old, new))


def _comes_or_goes(each: Difference, old: Library, new: Library) -> str:
    if each.flow not in old.flows:
        return ", new"
    return "" if each.flow in new.flows else ", gone"


def _counted(found: Census) -> Iterator[str]:
    yield f"Live sessions: {found.live}; in states that this revision does not have: {found.nowhere}."
    yield from (f"  {place}  {count}" for place, count in found.places.most_common(MOST_PLACES))
    if found.live:
        yield "All of them end on the revision that they began on."


def _row(each: Publication, *, current: bool) -> tuple[str, ...]:
    return (
        "*" if current else "",
        each.revision,
        f"{each.at:%Y-%m-%dT%H:%M:%SZ}",
        each.how,
        printable(each.actor),
        str(each.flows),
        str(each.states),
        printable(each.note or ""),
    )
