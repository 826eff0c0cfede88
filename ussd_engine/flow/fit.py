"""The proof that every page fits: each screen at its widest, through the pager that the runtime uses.

What is proven of a screen in one language on one network: where its widest lines fit one page with every key
beside them, every session sees one page, as costs add up. Where they do not, the screen is paged, and a page may fill
the budget but not exceed it; how many there are is said for the widest values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ussd_engine.charset import is_gsm7, septets, units
from ussd_engine.flow.model import AskState, EndState, Flow, ItemField, ListState, MenuState, keys_of
from ussd_engine.flow.pager import Navigation, Profile, budget_of, paginate
from ussd_engine.flow.phrases import PHRASES, RESUME_KEYS
from ussd_engine.flow.text import Slot, per_language, pieces
from ussd_engine.flow.values import limits
from ussd_engine.flow.widest import GIVEN, Widest, given, widest

Screen = MenuState | AskState | ListState | EndState
RESUME = "(resume)"
"""Stands for the question whether to go on with a session that was dropped, which is no state."""
SORRY = "(sorry)"
"""Stands for the screen of the engine that apologises, in the dialled flow's words."""
Line = list[str | Widest]


@dataclass(frozen=True, slots=True)
class Fit:
    """One screen in one language on one network, at its widest.

    `cost` is in septets, or in units where `ucs2`: no page costs more. `budget` is what the network shows. Where
    `pages` is 1, it is never more; else it is that of the widest values, and lines of others may break into one more.
    """

    flow: str
    state: str
    language: str
    network: str
    ucs2: bool
    cost: int
    budget: int
    pages: int

    @property
    def headroom(self) -> int:
        return self.budget - self.cost


def fits(flow: Flow, networks: Mapping[str, Profile]) -> Iterator[Fit]:
    """Every screen of a flow whose texts are checked: in GSM-7, and in UCS-2 where some value or word forces it."""
    for language in flow.languages:
        words = _Words(flow, language)
        for name, state in flow.states.items():
            if not isinstance(state, Screen) or (isinstance(state, EndState) and state.end is None):
                continue
            yield from _fits(words, name, state, list(words.lines(state)), networks)
        if flow.resume == "ask":
            yield from _fits(words, RESUME, None, list(words.resume()), networks)
        if flow.dial:
            yield from _fits(words, SORRY, None, [words.phrase("sorry")], networks)


def _fits(
    words: _Words, name: str, state: Screen | None, lines: list[Line], networks: Mapping[str, Profile]
) -> Iterator[Fit]:
    for ucs2 in words.encodings(lines):
        typed = [_joined(line, ucs2=ucs2) for line in lines]
        for network, profile in networks.items():
            navigation = words.navigation(state, profile, ucs2=ucs2)
            pages = paginate(typed, navigation, profile)
            cost, budget = _cost(pages, navigation, profile, ucs2=ucs2), budget_of(profile, ucs2=ucs2)
            yield Fit(words.flow.flow, name, words.language, network, ucs2, cost, budget, len(pages))


def _cost(pages: Sequence[str], navigation: Navigation, profile: Profile, *, ucs2: bool) -> int:
    """Of the widest page.

    Of several, other values may fill one to the brim, as lines break elsewhere; and where the keys stand alone on it,
    a shorter page has room for their words, and may be the wider one.
    """
    widest_page = max(map(units if ucs2 else septets, pages))
    if len(pages) == 1 and pages[0].endswith(navigation.line(first=True, last=True)):
        return widest_page
    return max(widest_page, budget_of(profile, ucs2=ucs2))


def _joined(line: Line, *, ucs2: bool) -> str:
    """The widest text of a line. `encodings` asks for GSM-7 only where all of it can be."""
    texts = (piece if isinstance(piece, str) else piece.ucs2 if ucs2 else piece.gsm7 for piece in line)
    return "".join(text for text in texts if text is not None)


@dataclass(slots=True)
class _Words:
    """The words of one flow in one language, with the widest values in their slots."""

    flow: Flow
    language: str
    _slots: dict[tuple[str, Slot], Widest] = field(default_factory=dict)
    _phrases: dict[str, Line] = field(default_factory=dict)
    _navigations: dict[tuple[str, str, str, bool], Navigation] = field(default_factory=dict)

    def lines(self, state: Screen) -> Iterator[Line]:
        """All that a screen can say: the words of a wrong input, its text, and every option or item."""
        match state:
            case MenuState():
                yield self.phrase("wrong_choice")
                yield self._line(state.menu)
                for key, option in zip(keys_of(state), state.options, strict=True):
                    yield [f"{key}. ", *self._line(option.text)]
            case AskState():
                yield self.phrase("wrong_answer") if state.wrong is None else self._line(state.wrong)
                yield self._line(state.ask)
            case ListState():
                yield self.phrase("wrong_choice")
                yield self._line(state.list)
                item = self._line(state.item, of=state.of)
                for number in range(1, (limits("list", None, self.flow.data[state.of].max)[1] or 0) + 1):
                    yield [f"{number}. ", *item]
            case EndState():
                yield self._line(state.end or "")

    def encodings(self, lines: list[Line]) -> list[bool]:
        """Whether the screen can be in GSM-7 (False) and in UCS-2 (True)."""
        said = [*lines, *(self.phrase(key) for key in ("back", "home", "more"))]
        literals = is_gsm7("".join(piece for line in said for piece in line if isinstance(piece, str)))
        values = [piece for line in said for piece in line if isinstance(piece, Widest)]
        found = [False] if literals and all(value.gsm7 is not None for value in values) else []
        return found if literals and not any(value.forces for value in values) else [*found, True]

    def resume(self) -> Iterator[Line]:
        """The question after the line dropped."""
        yield self.phrase("wrong_choice")
        yield self.phrase("resume_question")
        for key, word in RESUME_KEYS.items():
            yield [f"{key}. ", *self.phrase(word)]

    def navigation(self, state: Screen | None, profile: Profile, *, ucs2: bool) -> Navigation:
        """Every key that can stand on the screen."""
        keys = self.flow.keys
        if state is None or isinstance(state, EndState):
            return self._navigation("off", "off", profile.more or keys.more, ucs2=ucs2)
        back, home = profile.back or keys.back, profile.home or keys.home
        taken = keys_of(state) if isinstance(state, MenuState) else []
        return self._navigation(
            "off" if "off" in {state.back, keys.back} or back in taken else back,
            "off" if "off" in {state.home, keys.home} else home,
            profile.more or keys.more,
            ucs2=ucs2,
        )

    def _navigation(self, back: str, home: str, more: str, *, ucs2: bool) -> Navigation:
        """Made once for the many screens that have the same keys."""
        known = self._navigations.get((back, home, more, ucs2))
        if known is None:
            said = {
                name: None if key == "off" else f"{key}.{_joined(self.phrase(name), ucs2=ucs2)}"
                for name, key in (("back", back), ("home", home), ("more", more))
            }
            known = Navigation(said["back"], said["home"], said["more"] or "", said["back"])
            self._navigations[back, home, more, ucs2] = known
        return known

    def phrase(self, key: str) -> Line:
        known = self._phrases.get(key)
        if known is None:
            own = getattr(self.flow.texts, key)
            known = self._phrases[key] = self._line(PHRASES[key][self.language] if own is None else own)
        return known

    def _line(self, text: str | dict[str, str], of: str = "") -> Line:
        single = per_language(text, self.flow.languages)[self.language]
        return [piece if isinstance(piece, str) else self._widest(of, piece) for piece in pieces(single)]

    def _widest(self, of: str, slot: Slot) -> Widest:
        known = self._slots.get((of, slot))
        if known is None:
            known = self._slots[of, slot] = self._widest_of(of, slot)
        return known

    def _widest_of(self, of: str, slot: Slot) -> Widest:
        if of:
            fields: Mapping[str, ItemField] = self.flow.data[of].item or {}
            return widest(fields[slot.name], slot.form, self.language)
        if slot.name in GIVEN:
            return given(slot.name, slot.form, self.language)
        return widest(self.flow.data[slot.name], slot.form, self.language)
