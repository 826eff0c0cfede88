"""From the lines of a screen to pages that fit the network. The runtime and the checker page with the same code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ussd_engine.charset import MAX_SEPTETS, MAX_UNITS, is_gsm7, septets, septets_of, units, units_of


@dataclass(frozen=True, slots=True)
class Profile:
    """What a network shows and takes.

    A page holds `page_septets` of GSM-7, or `page_units` of UCS-2; each at least 20, so that three keys and a
    word have room. `input_max` is in characters. `back`, `home` and `more` are the keys where the network has
    its own, such as one whose gateway pages with 98 itself.
    """

    page_septets: int = 160
    page_units: int = 70
    input_max: int = 80
    back: str | None = None
    home: str | None = None
    more: str | None = None


DEFAULT_NETWORKS: Mapping[str, Profile] = {"default": Profile()}


@dataclass(frozen=True, slots=True)
class Navigation:
    """The keys that work on a screen, each with its word; None where it does not. `more` is always there."""

    back: str | None
    home: str | None
    more: str
    page_back: str | None
    """What back says from the second page on, where it leads to the page before."""

    def line(self, *, first: bool, last: bool) -> str:
        parts = (self.back if first else self.page_back, self.home, None if last else self.more)
        return " ".join(part for part in parts if part is not None)

    def keys_alone(self) -> Navigation:
        """For a page that has no room for the words: "0 00 98"."""
        back, home, more, page_back = (
            None if part is None else part.partition(".")[0]
            for part in (self.back, self.home, self.more, self.page_back)
        )
        return Navigation(back, home, more or "", page_back)


def budget_of(profile: Profile, *, ucs2: bool) -> int:
    """What a page may cost: units in UCS-2, else septets.

    Of a screen in UCS-2 some pages may hold characters of GSM-7 alone. They go out in septets, of which one unit
    costs two at the most.
    """
    if ucs2:
        return min(profile.page_units, profile.page_septets // 2, MAX_UNITS)
    return min(profile.page_septets, MAX_SEPTETS)


def paginate(lines: Sequence[str], navigation: Navigation, profile: Profile) -> tuple[str, ...]:
    """Whole pages, each with its navigation line. One character outside GSM-7 makes every page UCS-2.

    A line that fits a page is never split; a longer one breaks between words, or inside a word that is longer
    than a page. Where the words of the navigation take more than half of a page, its keys stand alone.
    """
    gsm7 = is_gsm7("".join(lines)) and is_gsm7(
        navigation.line(first=False, last=False) + (navigation.back or "")
    )
    cost = septets if gsm7 else units
    limit = budget_of(profile, ucs2=not gsm7)
    pages: list[str] = []
    rest = [part for line in lines for part in line.split("\n")]
    whole = _page(rest, navigation.line(first=True, last=True))
    if cost(whole) <= limit:
        return (whole,)
    if cost(navigation.line(first=False, last=False)) > limit // 2:
        navigation = navigation.keys_alone()
    while True:
        page = _page(rest, navigation.line(first=not pages, last=True))
        if cost(page) <= limit:
            return (*pages, page)
        more = navigation.line(first=not pages, last=False)
        taken, rest = _take(rest, limit - cost(more) - 1, cost, septets_of if gsm7 else units_of)
        pages.append(_page(taken, more))


def _page(lines: Sequence[str], navigation: str) -> str:
    body = "\n".join(lines)
    return f"{body}\n{navigation}" if navigation and body else body or navigation


def _take(
    lines: list[str], room: int, cost: Callable[[str], int], width: Callable[[str], int]
) -> tuple[list[str], list[str]]:
    """As many lines as `room` holds, at least a part of one, and what is left."""
    taken: list[str] = []
    left = room
    for index, line in enumerate(lines):
        needed = cost(line) + (1 if taken else 0)
        if needed <= left:
            taken.append(line)
            left -= needed
            continue
        head, tail = _split(line, left - (1 if taken else 0), width, whole_words=bool(taken))
        if (cost(line) <= room and taken) or not head:  # it fits a page of its own
            return taken, lines[index:]
        return [*taken, head], [tail, *lines[index + 1 :]]
    return taken, []


def _split(line: str, room: int, width: Callable[[str], int], *, whole_words: bool) -> tuple[str, str]:
    """The longest head of `line` within `room`, cut between words where there is a gap, and the tail."""
    end, spent = 0, 0
    for end, character in enumerate(line):  # noqa: B007 - `end` is where the head ends
        spent += width(character)
        if spent > room:
            break
    gap = line.rfind(" ", 0, end + 1)
    if gap > 0:
        return line[:gap], line[gap + 1 :]
    return ("", line) if whole_words else (line[:end], line[end:])
