"""Every text of a library under a key of its own, and the library with some of them in other words.

A key is the place of the text in its flow without the word `states`, options counted from 1:
"onboarding.welcome.options.1".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from ussd_engine.flow import checks
from ussd_engine.flow.checks.texts import all_texts
from ussd_engine.flow.loader import Library
from ussd_engine.flow.messages import key_of
from ussd_engine.flow.model import Flow
from ussd_engine.flow.source import Path_
from ussd_engine.flow.text import per_language
from ussd_engine.flow.vocabulary import ActionSpec

Overrides = Mapping[tuple[str, str], str]
"""Texts by key and language."""


class UnknownText(LookupError):
    """No flow has a text with this key, or not in this language. The message says which."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One text: where it stands in its flow, and its words by language."""

    key: str
    flow: str
    path: Path_
    texts: Mapping[str, str]


def entries(flow: Flow) -> Iterator[Entry]:
    for path, text in all_texts(flow):
        key = f"{flow.flow}.{key_of(path)}"
        yield Entry(key, flow.flow, path, per_language(text, flow.languages))


def find(library: Library, key: str, language: str) -> Entry:
    """Raises UnknownText."""
    return _known(_by_key(library, {key}), key, language)


def _by_key(library: Library, keys: Iterable[str]) -> dict[str, Entry]:
    """Every text of the flows that the keys name: asked for once, as a flow may have thousands."""
    names = {key.partition(".")[0] for key in keys} & library.flows.keys()
    return {entry.key: entry for name in names for entry in entries(library.flows[name])}


def _known(known: Mapping[str, Entry], key: str, language: str) -> Entry:
    entry = known.get(key)
    if entry is None:
        raise UnknownText(f"no flow has a text '{key}'")
    if language not in entry.texts:
        raise UnknownText(f"the text '{key}' is not in language '{language}'")
    return entry


def with_texts(library: Library, overrides: Overrides) -> Library:
    """The same flows in other words. Raises UnknownText, and ValueError for a text that is none."""
    known = _by_key(library, (key for key, _ in overrides))
    found = {place: _known(known, *place) for place in overrides}
    plain: dict[str, dict[str, Any]] = {
        name: library.flows[name].model_dump(by_alias=True, exclude_unset=True)
        for name in {entry.flow for entry in found.values()}
    }
    for (key, language), entry in found.items():
        flow = plain[entry.flow]
        _put(flow, entry, {**_now(flow, entry), language: overrides[key, language]})
    try:
        changed = {name: Flow.model_validate(flow) for name, flow in plain.items()}
    except ValidationError as error:
        raise ValueError("; ".join(detail["msg"] for detail in error.errors(include_input=False))) from None
    return replace(library, flows={**library.flows, **changed})


def faults(library: Library, actions: Mapping[str, ActionSpec]) -> list[str]:
    """What the rules of the flow language find in the library, as sentences."""
    names = frozenset(library.flows)
    found = checks.run(library.flows, library.sources, actions, names, frozenset[str](), library.networks)
    return [
        f"{finding.code} {finding.message}" + (f"; {finding.hint}" if finding.hint else "")
        for finding in found
        if finding.severity == "error"
    ]


def _now(flow: dict[str, Any], entry: Entry) -> dict[str, str]:
    """The text as it stands, after what was put there already."""
    text: Any = flow
    for step in entry.path:
        text = text[step]
    return dict.fromkeys(entry.texts, text) if isinstance(text, str) else dict(text)


def _put(flow: dict[str, Any], entry: Entry, texts: dict[str, str]) -> None:
    holder: Any = flow
    for step in entry.path[:-1]:
        holder = holder[step]
    holder[entry.path[-1]] = texts
