"""What happened to the entries of the audit log that do not follow from the one before.

An entry's hash proves where it stood. Most of a log in which an entry was removed or put in, and the numbers closed
up, stands a few places off; that is found by following the hashes, once, and told in one sentence. What is left is
looked for in all places where it may have stood, as long as it is little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Row

MOST_SUSPECTS = 50
"""Up to here, entries that stand alone are looked for in each other's places, which takes the third power of their
number. After as many in a row that stand nowhere near, nothing near is looked at until one does."""
NEAR = 8
"""How many places off an entry is looked for. The head of the chain tells of more."""

Link = Callable[[str, "Row[Any]", int], str | None]
"""The hash that an entry has behind the one with a hash, at a number."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """An entry that does not follow from the one before, whose stored hash is `previous`."""

    row: Row[Any]
    previous: str
    true_hash: str | None

    @property
    def seq(self) -> int:
        return int(self.row.seq)


@dataclass(slots=True)
class Run:
    """Entries one after the other that stand `shift` places before their own; behind it, if it is negative."""

    first: Suspect
    last: Suspect
    shift: int


def explained(suspects: list[Suspect], missing: int, link: Link) -> Iterator[str]:
    """A sentence for each thing that was done. `missing` are the entries that the log lacks by its head."""
    runs, alone = _runs(suspects, missing, link)
    if len(alone) > MOST_SUSPECTS:
        places: dict[int, int | None] = {}
    else:
        places = {suspect.seq: _place(suspect, alone, link) for suspect in alone}
    for run in runs:
        before = next((one for one in alone if one.seq == run.first.seq - 1), None)
        if before and _leads(run, places.get(before.seq), before.seq):
            run.first = before
            alone.remove(before)
    findings = [(run.first.seq, _shifted(run)) for run in runs]
    findings += _changed(alone) if len(alone) > MOST_SUSPECTS else _one_by_one(alone, places)
    yield from (finding for _, finding in sorted(findings))


def _runs(suspects: list[Suspect], missing: int, link: Link) -> tuple[list[Run], list[Suspect]]:
    """Entries that still follow those before them, at other numbers; and those that do not."""
    runs: list[Run] = []
    alone: list[Suspect] = []
    strangers = 0
    for suspect in suspects:
        near = range(1, NEAR + 1) if strangers < MOST_SUSPECTS else range(0)
        usual = runs[-1].shift if runs else missing
        shifts = dict.fromkeys((usual, missing, *near, *(-shift for shift in near)))
        shift = next(
            (
                shift
                for shift in shifts
                if shift and link(suspect.previous, suspect.row, suspect.seq + shift) == suspect.row.hash
            ),
            None,
        )
        if shift is None:
            alone.append(suspect)
            strangers += 1
            continue
        if runs and (runs[-1].last.seq, runs[-1].shift) == (suspect.seq - strangers - 1, shift):
            runs[-1].last = suspect  # the strangers in between were changed, and moved none that follow
        else:
            runs.append(Run(suspect, suspect, shift))
        strangers = 0
    return runs, alone


def _leads(run: Run, place: int | None, seq: int) -> bool:
    """Whether the entry before a run belongs to it. What it followed itself may be gone, if something was removed."""
    return place == seq + run.shift or (place is None and run.shift > 0)


def _place(suspect: Suspect, suspects: list[Suspect], link: Link) -> int | None:
    """Where the entry stood when its hash was made, as far as the hashes of the others can tell. None: nowhere."""
    before = {
        hash_ for other in suspects for hash_ in (other.previous, other.row.hash, other.true_hash) if hash_
    }
    near = (suspect.seq, suspect.seq + 1, suspect.seq - 1)
    return next(
        (
            seq
            for seq in (*near, *(other.seq for other in suspects))
            for previous in before
            if link(previous, suspect.row, seq) == suspect.row.hash
        ),
        None,
    )


def _shifted(run: Run) -> str:
    one, far = abs(run.shift) == 1, abs(run.shift)
    behind = f" and those up to entry {run.last.seq} stand" if run.last != run.first else " stands"
    places = "1 place" if one else f"{far} places"
    entries = "an entry before it was" if one else f"{far} entries before it were"
    way, what = ("early", "removed") if run.shift > 0 else ("late", "put in")
    return f"{told(run.first.row)}{behind} {places} too {way}: {entries} {what}"


def _changed(alone: list[Suspect]) -> list[tuple[int, str]]:
    """Too many to look for: all of them are named, and the first one is told."""
    first, *others = alone
    numbers = ", ".join(_ranges([suspect.seq for suspect in others]))
    return [(first.seq, f"{told(first.row)} and entries {numbers} were changed, or stand in others' places")]


def _ranges(numbers: list[int]) -> Iterator[str]:
    start = end = numbers[0]
    for number in (*numbers[1:], None):
        if number == end + 1:
            end = number
            continue
        yield str(start) if start == end else f"{start} to {end}"
        if number is not None:
            start = end = number


def _one_by_one(alone: list[Suspect], places: dict[int, int | None]) -> list[tuple[int, str]]:
    """Which were changed, and which were moved. Whoever only follows one of those is not named."""
    findings: list[tuple[int, str]] = []
    unproven: int | None = None
    for suspect in alone:
        seq, place = suspect.seq, places[suspect.seq]
        if place is None:
            after = f", or cannot be checked because entry {unproven} was" if unproven == seq - 1 else ""
            findings.append((seq, f"{told(suspect.row)} was changed{after}"))
            unproven = seq
        elif place != seq:
            findings.append((seq, f"{told(suspect.row)} stands in another's place: it was entry {place}"))
    return findings


def told(row: Row[Any]) -> str:
    """An entry by its number and id, and what it tells."""
    time = time_of(row.at)
    at = f"{time:%Y-%m-%d %H:%M:%S}" if time else "at an unreadable time"
    return f"entry {row.seq} (id {row.id}: {at} {row.actor} {row.action} {row.entity} {row.entity_id})"


def time_of(value: Any) -> datetime | None:
    """A time as the database gives it. None for what is none."""
    try:
        parsed = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
