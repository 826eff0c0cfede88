"""Revisions of the flows, each as it was checked, and which one new sessions begin on.

Nothing is changed or deleted: to go back is to make an earlier revision current once more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sqlalchemy import select

from ussd_engine.errors import Refusal
from ussd_engine.platform.audit import AuditEntry, append
from ussd_engine.platform.rows import insert_if_absent
from ussd_engine.platform.staff import Act, UnknownName
from ussd_engine.platform.tables import flow_publications, flow_revisions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.sealing import KeyRing

How = Literal["folder", "published", "rolled_back"]
"""`folder`: a service took up its folder by itself. The others are what a person did."""

_ACTIONS = {"folder": "flows.taken_up", "published": "flows.published", "rolled_back": "flows.rolled_back"}


class NothingToRollBack(Refusal):
    code = "nothing_to_roll_back"


class RevisionChanged(Refusal):
    code = "revision_changed"


@dataclass(frozen=True, slots=True)
class Revision:
    """`id` is a digest of the content; `content` is JSON of `flow.stored`."""

    id: str
    content: str = field(repr=False)
    flows: int
    states: int


@dataclass(frozen=True, slots=True)
class Publication:
    """One time that a revision was made current."""

    seq: int
    revision: str
    how: How
    at: datetime
    actor: str
    note: str | None
    flows: int
    states: int


_PUBLICATIONS = select(
    flow_publications.c.seq,
    flow_publications.c.revision,
    flow_publications.c.how,
    flow_publications.c.at,
    flow_publications.c.actor,
    flow_publications.c.note,
    flow_revisions.c.flows,
    flow_revisions.c.states,
).join(flow_revisions, flow_revisions.c.id == flow_publications.c.revision)
_LATEST = _PUBLICATIONS.order_by(flow_publications.c.seq.desc()).limit(1)


def current(connection: Connection) -> Publication | None:
    """The last publication: new sessions begin on its revision. None before the first one."""
    row = connection.execute(_LATEST).first()
    return Publication(*row) if row else None


def all_of(connection: Connection) -> list[Publication]:
    """In the order in which they were made."""
    rows = connection.execute(_PUBLICATIONS.order_by(flow_publications.c.seq))
    return [Publication(*row) for row in rows]


def decided(connection: Connection) -> bool:
    """Whether a person has ever said which revision is served: then no folder is taken up by itself any more."""
    by_a_person = flow_publications.c.how != "folder"
    return connection.execute(select(flow_publications.c.seq).where(by_a_person).limit(1)).first() is not None


def content_of(connection: Connection, revision: str) -> str | None:
    wanted = select(flow_revisions.c.content).where(flow_revisions.c.id == revision)
    return connection.execute(wanted).scalar()


def publish(
    connection: Connection, keys: KeyRing, revision: Revision, how: How, act: Act, note: str | None = None
) -> bool:
    """Store the revision, and make it current. False when it was current already."""
    stored = {"id": revision.id, "content": revision.content}
    counts = {"flows": revision.flows, "states": revision.states}
    insert_if_absent(connection, flow_revisions, **stored, **counts, created_at=act.at)
    return _make_current(connection, keys, revision.id, how, act, note)


def roll_back(
    connection: Connection,
    keys: KeyRing,
    revision: str | None,
    act: Act,
    note: str | None = None,
    *,
    asked_at: datetime,
) -> tuple[str, str]:
    """Make an earlier revision current again, by default the one before the current one.

    From which one, and to which. Raises UnknownName, NothingToRollBack when it is current already or there is none
    before, and RevisionChanged when something was made current after `asked_at`: whoever asked did not know of it.
    """
    made = all_of(connection)
    if made and made[-1].at > asked_at:
        raise _changed(made[-1])
    known = tuple({each.revision: None for each in made})
    target = revision or former(made)
    if target is None:
        raise NothingToRollBack("there is no earlier revision; `ussd revisions` lists those that there are")
    if target not in known:
        raise UnknownName("revision", target, known)
    if not _make_current(connection, keys, target, "rolled_back", act, note, over=made[-1]):
        raise NothingToRollBack(f"revision {target} is current already")
    return made[-1].revision, target


def _changed(last: Publication) -> RevisionChanged:
    return RevisionChanged(
        f"{last.actor} has just made revision {last.revision} current ({last.how}): nothing was changed here;"
        " look at `ussd revisions`, and ask again if you still want to"
    )


def former(made: Sequence[Publication]) -> str | None:
    """The revision before the current one. What was rolled back is as if it had never been.

    So to roll back again and again goes further and further back.
    """
    line: list[str] = []
    for each in made:
        if each.how == "rolled_back" and each.revision in line:
            while line[-1] != each.revision:
                line.pop()
        elif not line or line[-1] != each.revision:
            line.append(each.revision)
    return line[-2] if len(line) > 1 else None


def _make_current(
    connection: Connection,
    keys: KeyRing,
    revision: str,
    how: How,
    act: Act,
    note: str | None,
    over: Publication | None = None,
) -> bool:
    """Over that publication alone, if one is given: raises RevisionChanged when another one is current."""
    added = False
    while not added:  # another process may take the next number at the same moment
        last = current(connection)
        if over is not None and last is not None and last.seq != over.seq:
            raise _changed(last)
        # what a service took up by itself may still be published: from then on it is served whatever a folder holds
        if last is not None and last.revision == revision and (how, last.how) != ("published", "folder"):
            return False
        added = insert_if_absent(
            connection,
            flow_publications,
            seq=last.seq + 1 if last else 1,
            revision=revision,
            how=how,
            at=act.at,
            actor=act.actor,
            note=note,
        )
    before = {"revision": last.revision} if last else None
    after = {"revision": revision, "note": note}
    entry = AuditEntry(
        act.actor, _ACTIONS[how], flow_revisions.name, revision, act.request_id, before=before, after=after
    )
    append(connection, keys, [entry], act.at)
    return True
