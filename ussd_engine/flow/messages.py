"""Message catalogues: texts of a flow in one further language, in a file of their own.

They are merged into the data of the flow before anything looks at it. So nothing else knows where a text came from,
and a finding about one stands in the file that an author has to open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from ussd_engine.flow.diagnostic import Diagnostic, did_you_mean
from ussd_engine.flow.source import Path_, Source

KEYS = ("messages", "language", "texts")
_TEXTS_OF_A_STATE = ("menu", "ask", "wrong", "list", "item", "end")


def key_of(path: Path_) -> str:
    """The key of a text by its place in the flow: "welcome.options.1" is that of the first option."""
    place = path[1:] if path[0] == "states" else path
    parts = [str(step + 1) if isinstance(step, int) else step for step in place]
    if parts[-1] == "text":
        parts.pop()
    return ".".join(parts)


def merge(catalogues: Iterable[Source], flows: Mapping[str, Source]) -> Iterator[Diagnostic]:
    """Put the texts of the catalogues into the flows. F112 no catalogue; F113 no such text; F114 a text twice."""
    for catalogue in catalogues:
        wrong = list(_wrong(catalogue, flows))
        yield from wrong
        if not wrong:
            yield from _merge(catalogue, flows[str(catalogue.data["messages"])])


def _wrong(catalogue: Source, flows: Mapping[str, Source]) -> Iterator[Diagnostic]:
    data = catalogue.data
    for key in data.keys() - set(KEYS):
        message = f"unknown key '{key}' in a catalogue"
        yield catalogue.finding((key,), "F112", message, did_you_mean(key, KEYS), key=True)
    for key in KEYS:
        if key not in data:
            message = f"key '{key}' is missing in this catalogue"
            yield catalogue.finding((), "F112", message, "a catalogue has 'messages', 'language' and 'texts'")
    if not isinstance(data.get("texts", {}), dict):
        hint = "write 'key: text' for each text, such as 'welcome.menu: Karibu'"
        yield catalogue.finding(("texts",), "F112", "'texts' must be a mapping of keys and texts", hint)
    name, language = str(data["messages"]), str(data.get("language", ""))
    if name not in flows:
        yield catalogue.finding(
            ("messages",), "F112", f"there is no flow '{name}'", did_you_mean(name, flows)
        )
        return
    known = _languages(flows[name])
    if "language" in data and known and language not in known:
        message = f"'{language}' is not a language of '{name}'"
        yield catalogue.finding(("language",), "F112", message, did_you_mean(language, known))


def _languages(flow: Source) -> list[str]:
    """Nothing when they are not written as such, which has a finding of its own."""
    known = flow.data.get("languages")
    return [str(language) for language in known] if isinstance(known, list) else []


def _merge(catalogue: Source, flow: Source) -> Iterator[Diagnostic]:
    if not (languages := _languages(flow)):
        return
    places, language = _places(flow.data), str(catalogue.data["language"])
    flow.catalogues.setdefault(language, catalogue.file)
    for key, text in catalogue.data["texts"].items():
        if key not in places:
            message = f"'{key}' is not a text of '{flow.data['flow']}'"
            yield catalogue.finding(("texts", key), "F113", message, did_you_mean(key, places), key=True)
            continue
        path = places[key]
        texts = _per_language(flow.data, path, languages[0])
        if language in texts:
            at = flow.at((*path, language))
            message = f"'{key}' stands in {at.file or flow.file} on line {at.line} too, in '{language}'"
            yield catalogue.finding(("texts", key), "F114", message, "keep one of them", key=True)
            continue
        texts[language] = text
        for theirs, ours in ((catalogue.keys, flow.keys), (catalogue.values, flow.values)):
            ours[(*path, language)] = replace(theirs["texts", key], file=catalogue.file)


def _places(data: Mapping[str, Any]) -> dict[str, Path_]:
    """Where each text of a flow stands, as far as the flow has a shape: it has not been checked yet."""
    return {key_of(path): path for path in _paths(data)}


def _paths(data: Mapping[str, Any]) -> Iterator[Path_]:
    yield from (("texts", key) for key in _texts_of(data.get("texts")))
    states = data.get("states")
    for name, state in states.items() if isinstance(states, dict) else ():
        texts = _texts_of(state)
        yield from (("states", name, key) for key in _TEXTS_OF_A_STATE if key in texts)
        options = state.get("options") if isinstance(state, dict) else None
        for index, option in enumerate(options if isinstance(options, list) else ()):
            if "text" in _texts_of(option):
                yield ("states", name, "options", index, "text")


def _texts_of(holder: object) -> list[str]:
    if not isinstance(holder, dict):
        return []
    return [key for key, value in holder.items() if isinstance(value, (str, dict))]


def _per_language(data: Any, path: Path_, default: str) -> dict[str, Any]:
    """The text at `path` by language: one that stands alone is in the default language from now on."""
    holder = data
    for step in path[:-1]:
        holder = holder[step]
    text = holder[path[-1]]
    if isinstance(text, str):
        text = holder[path[-1]] = {default: text}
    return cast("dict[str, Any]", text)
