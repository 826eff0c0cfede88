"""Every mutant of a flow: one thing dropped, renamed or swapped, in the text of its file.

They are the same each time. Those of one kind are told apart by where they are and by what became of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

import yaml

from tests.mutate.document import Document, Edit, Part, Path, is_list, quoted, said, scalars
from ussd_engine.flow.vocabulary import ActionSpec

SCREENS = ("menu", "ask", "list")
CALLS = ("action", "call")
WORDS = ("menu", "ask", "end", "wrong", "text", "item")
"""Keys whose value is a text for each language."""
PLACEHOLDER = re.compile(r"\{([a-z_.]+)(:[a-z]+)?\}")
LITERAL = re.compile(r"'[^']*'")
GIVEN = ("session.phone", "language")
"""What the engine gives and flows use."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`text` is the whole file. `kind` is what was changed, `place` where in the flow."""

    kind: str
    flow: str
    place: str
    before: str
    after: str
    line: int
    text: str

    @property
    def name(self) -> str:
        """What it is told by, wherever it stands in the file."""
        return f"{self.flow}.{self.place}: {self.kind}: {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class _Flow:
    document: Document
    name: str
    specs: Mapping[str, ActionSpec]
    flows: tuple[str, ...]

    def mutant(self, kind: str, part: Part, before: str, after: str, *edits: Edit) -> Mutant:
        text = self.document.changed(*edits)
        return Mutant(kind, self.name, said(part.path), before, after, part.line, text)

    # --- the usual three

    def dropped(self, kind: str, part: Part) -> Mutant:
        before = part.text if isinstance(part.value, yaml.ScalarNode) else "all of it"
        return self.mutant(f"{kind} dropped", part, before, "nothing", self.document.drop(part))

    def renamed(self, kind: str, part: Part) -> Mutant:
        """To what nothing else is called."""
        return self.put(f"{kind} renamed", part, f"{part.text}_x")

    def swapped(self, kind: str, part: Part, others: Iterable[str]) -> Iterator[Mutant]:
        for other in others:
            if other != part.text:
                yield self.put(f"{kind} swapped", part, other)

    def put(self, kind: str, part: Part, new: str, *, as_text: bool = False) -> Mutant:
        written = quoted(new) if as_text else new
        return self.mutant(kind, part, part.text, new, self.document.put(part, written))

    def key_renamed(self, kind: str, part: Part, new: str = "") -> Mutant:
        old = str(part.path[-1])
        new = new or f"{old}_x"
        return self.mutant(kind, part, old, new, self.document.rename(part, new))

    def exchanged(self, kind: str, one: Part, other: Part) -> Mutant:
        """Two values change places."""
        document = self.document
        raw = [document.raw(part) for part in (one, other)]
        edits = [
            (part.value.start_mark.index, document.end(part), new)
            for part, new in zip((one, other), reversed(raw), strict=True)
        ]
        before, after = (
            part.text if isinstance(part.value, yaml.ScalarNode) else said(part.path) for part in (one, other)
        )
        return self.mutant(kind, one, before, after, *edits)

    # --- what a flow has

    @property
    def states(self) -> list[str]:
        return [str(part.path[-1]) for part in self.document.below(("states",))]

    @property
    def data(self) -> list[str]:
        return [str(part.path[-1]) for part in self.document.below(("data",))]

    def below(self, *path: str | int) -> list[Part]:
        return self.document.below(path)

    def kind_of(self, state: str) -> str:
        kinds = ("menu", "ask", "list", "action", "call", "route", "end")
        return next(kind for kind in kinds if self.document.get("states", state, kind))


def mutants(text: str, specs: Mapping[str, ActionSpec], flows: tuple[str, ...]) -> list[Mutant]:
    """Of one flow. `flows` are the names of all, which a call may be swapped for."""
    document = Document(text)
    flow = _Flow(document, document.parts["flow",].text, specs, flows)
    found: dict[str, Mutant] = {}
    for kind in KINDS:
        for mutant in kind(flow):
            if mutant.text != text:
                found.setdefault(mutant.text, mutant)
    return list(found.values())


# --- ways


def targets(flow: _Flow) -> Iterator[Mutant]:
    for part in _targets(flow):
        yield flow.renamed("target", part)
        yield flow.dropped("target", part)
        yield from flow.swapped("target", part, flow.states)


def _targets(flow: _Flow) -> Iterator[Part]:
    for part in scalars(flow.document):
        match part.path:
            case ("start" | "home",):
                yield part
            case ("states", _, *_, "goto" | "else" | "then" | "empty"):
                yield part
            case ("states", _, "outcomes", _) | ("states", _, "outcomes", _, _, "else"):
                yield part


def states(flow: _Flow) -> Iterator[Mutant]:
    for part in flow.below("states"):
        yield flow.key_renamed("state renamed", part)
        yield flow.dropped("state", part)


def outcomes(flow: _Flow) -> Iterator[Mutant]:
    for state in flow.states:
        handled = flow.below("states", state, "outcomes")
        for part in handled:
            yield flow.key_renamed("outcome renamed", part)
        for one, other in pairwise(handled):
            if flow.document.raw(one) != flow.document.raw(other):
                yield flow.exchanged("outcomes exchanged", one, other)
    ends = [end for state in flow.states if (end := flow.document.get("states", state, "outcome"))]
    for part in ends:
        yield flow.renamed("outcome", part)
        yield flow.dropped("outcome", part)
        yield from flow.swapped("outcome", part, [other.text for other in ends])


def called(flow: _Flow) -> Iterator[Mutant]:
    for state in flow.states:
        for kind, others in (("action", tuple(flow.specs)), ("call", flow.flows)):
            part = flow.document.get("states", state, kind)
            if part:
                yield flow.renamed(kind, part)
                yield flow.dropped(kind, part)
                yield from flow.swapped(kind, part, others)


# --- keys


def dialled(flow: _Flow) -> Iterator[Mutant]:
    for part in flow.below("dial"):
        yield flow.dropped("service code", part)
        yield flow.put("service code renamed", part, f"{part.text[:-1]}9#", as_text=True)


def options(flow: _Flow) -> Iterator[Mutant]:
    for state in flow.states:
        lines = flow.below("states", state, "options")
        keys = [key for line in lines if (key := flow.document.get(*line.path, "key"))]
        for part in keys:
            yield flow.dropped("key", part)
            for digit in "158":
                yield flow.put("key renamed", part, digit, as_text=True)
        for one, other in combinations(keys, 2):
            yield flow.exchanged("keys exchanged", one, other)
        for part in lines:
            yield flow.dropped("option", part)
        for one, other in pairwise(lines):
            yield flow.exchanged("options exchanged", one, other)


def navigation(flow: _Flow) -> Iterator[Mutant]:
    for state in flow.states:
        if flow.kind_of(state) not in SCREENS:
            continue
        screen = flow.document.parts["states", state]
        for name, other in (("back", "home"), ("home", "back")):
            part = flow.document.get("states", state, name)
            if part:
                yield flow.dropped("navigation", part)
                yield flow.key_renamed("navigation swapped", part, other)
            else:
                end = flow.document.end(screen)
                added = f"\n    {name}: off"
                yield flow.mutant("navigation off", screen, f"{name}: on", f"{name}: off", (end, end, added))


# --- words


def languages(flow: _Flow) -> Iterator[Mutant]:
    listed = flow.below("languages")
    for part in listed:
        yield flow.dropped("language", part)
        yield flow.put("language renamed", part, "fr")
    for one, other in pairwise(listed):
        yield flow.exchanged("languages exchanged", one, other)
    for words in _words(flow):
        for part in words:
            yield flow.dropped("language", part)
            yield flow.key_renamed("language renamed", part, "fr")
        for one, other in pairwise(words):
            yield flow.exchanged("languages exchanged", one, other)


def _words(flow: _Flow) -> Iterator[list[Part]]:
    """The texts of a flow, each in its languages."""
    for part in flow.document.under(("states",)):
        if part.path[-1] in WORDS and len(part.path) > 2:
            found = flow.below(*part.path)
            if found:
                yield found


def words_exchanged(flow: _Flow) -> Iterator[Mutant]:
    """A text and the next one of its language."""
    for one, other in pairwise(_words(flow)):
        for first, second in zip(one, other, strict=False):
            new = [
                flow.document.put(first, quoted(second.text)),
                flow.document.put(second, quoted(first.text)),
            ]
            yield flow.mutant("texts exchanged", first, first.text, second.text, *new)


def placeholders(flow: _Flow) -> Iterator[Mutant]:
    for words in _words(flow):
        for part in words:
            raw = flow.document.raw(part)
            for found in PLACEHOLDER.finditer(raw):
                name, form = found.group(1), found.group(2) or ""
                start, end = (part.value.start_mark.index + at for at in found.span())
                others = [*flow.data, *GIVEN]
                for kind, new in [
                    ("placeholder renamed", f"{{{name}_x{form}}}"),
                    ("placeholder dropped", ""),
                    *(("placeholder swapped", f"{{{other}{form}}}") for other in others if other != name),
                    *([("form dropped", f"{{{name}}}")] if form else []),
                ]:
                    yield flow.mutant(kind, part, found.group(), new or "nothing", (start, end, new))


# --- data


def saved(flow: _Flow) -> Iterator[Mutant]:
    for state in flow.states:
        part = flow.document.get("states", state, "save")
        if part is None:
            continue
        if isinstance(part.value, yaml.ScalarNode):
            yield flow.renamed("save", part)
            yield flow.dropped("save", part)
            yield from flow.swapped("save", part, flow.data)
            continue
        kept = flow.below(*part.path)
        for one in kept:
            yield flow.dropped("save", one)
            yield flow.renamed("output", one)
            for name in [*flow.data, "language"]:
                if name not in {entry.path[-1] for entry in kept}:
                    yield flow.key_renamed("save swapped", one, name)
        for one, other in combinations(kept, 2):
            yield flow.exchanged("outputs exchanged", one, other)


def given(flow: _Flow) -> Iterator[Mutant]:
    for state in flow.states:
        for part in flow.below("states", state, "with"):
            yield flow.dropped("input", part)
            yield flow.key_renamed("input renamed", part)
            yield flow.renamed("value", part)
            yield from flow.swapped("value", part, [*flow.data, *GIVEN])


def set_values(flow: _Flow) -> Iterator[Mutant]:
    for state in flow.states:
        for option in flow.below("states", state, "options"):
            for part in flow.below(*option.path, "set"):
                yield flow.dropped("set", part)
                for name in flow.data:
                    yield flow.key_renamed("set swapped", part, name)
                yield from _literals(flow, "set", part)


def _literals(flow: _Flow, kind: str, part: Part) -> Iterator[Mutant]:
    """Each text in an expression: another language where it is one, else one that nobody types."""
    tongues = [f"'{one.text}'" for one in flow.below("languages")]
    raw = flow.document.raw(part)
    for number, found in enumerate(LITERAL.finditer(part.text), 1):
        if raw.find(part.text) < 0:
            continue
        literal = found.group()
        others = [one for one in tongues if one != literal] if literal in tongues else ["'x'"]
        for other in others:
            new = part.text[: found.start()] + other + part.text[found.end() :]
            edit = flow.document.put(part, quoted(new))
            yield flow.mutant(f"{kind}: a text swapped", part, f"{literal} ({number})", other, edit)


def declared(flow: _Flow) -> Iterator[Mutant]:
    for part in flow.below("data"):
        yield flow.key_renamed("data renamed", part)
        yield flow.dropped("data", part)


# --- guards and bounds


def guards(flow: _Flow) -> Iterator[Mutant]:
    for part in scalars(flow.document):
        if part.path[-1:] == ("when",):
            yield flow.put("guard negated", part, f"!({part.text})", as_text=True)
            yield from _literals(flow, "guard", part)
            yield flow.dropped("guard", part)
    for part in flow.document.parts.values():
        if is_list(part) and part.path[-1] != "options":
            cases = [case for case in flow.below(*part.path) if flow.document.get(*case.path, "when")]
            for case in cases:
                yield flow.dropped("case", case)
            ways = [way for case in flow.below(*part.path) if (way := _way(flow, case.path))]
            for one, other in pairwise(ways):
                if one.text != other.text:
                    yield flow.exchanged("branches exchanged", one, other)


def _way(flow: _Flow, case: Path) -> Part | None:
    return flow.document.get(*case, "goto") or flow.document.get(*case, "else")


def bounds(flow: _Flow) -> Iterator[Mutant]:
    for part in scalars(flow.document):
        match part.path:
            case ("states", _, "accept", "min_age" | "max_age" | "min" | "max") | (
                "states",
                _,
                "tries",
                "max",
            ):
                for by in (-1, 1):
                    yield flow.put("bound moved", part, str(int(part.text) + by))
            case ("states", _, "accept", "date"):
                others = ("DDMMYY", "YYYYMMDD", "DD/MM/YYYY")
                yield from flow.swapped("form of a date", part, others)
    for state in flow.states:
        for part in flow.below("states", state, "accept"):
            yield flow.dropped("condition of an answer", part)
        tries = flow.document.get("states", state, "tries")
        if tries:
            yield flow.dropped("tries", tries)


KINDS: tuple[Callable[[_Flow], Iterator[Mutant]], ...] = (
    targets,
    states,
    outcomes,
    called,
    dialled,
    options,
    navigation,
    languages,
    words_exchanged,
    placeholders,
    saved,
    given,
    set_values,
    declared,
    guards,
    bounds,
)


# --- SMS texts


def sms_mutants(text: str) -> list[Mutant]:
    """Of the file of SMS texts: what `check` can know of it. Nothing of `ussd test` sends one."""
    sms = _Flow(Document(text), "sms", {}, ())
    return list(_sms(sms))


def _sms(sms: _Flow) -> Iterator[Mutant]:
    for event in sms.below("sms"):
        yield sms.dropped("event", event)
        yield sms.key_renamed("event renamed", event)
        for part in sms.below(*event.path):
            yield sms.dropped("language", part)
            yield sms.key_renamed("language renamed", part, "french")
            for found in PLACEHOLDER.finditer(sms.document.raw(part)):
                start, end = (part.value.start_mark.index + at for at in found.span())
                new = f"{{{found.group(1)}_x}}"
                yield sms.mutant("placeholder renamed", part, found.group(), new, (start, end, new))
