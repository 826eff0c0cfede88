"""The texts of the flows, for other channels that show the same words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ussd_engine.errors import Refusal
from ussd_engine.flow.checks.texts import all_texts
from ussd_engine.flow.loader import Library
from ussd_engine.flow.model import Flow
from ussd_engine.flow.text import per_language


class UnknownFlow(Refusal):
    code = "unknown_flow"


@dataclass(frozen=True, slots=True)
class TranslationSet:
    """Texts by key, "onboarding.welcome.options.1"; placeholders stand in them as in the flow.

    `version` changes when any text that the request covers does. `fallback`: the language asked for is not
    there, and the default language answers.
    """

    language: str
    version: str
    fallback: bool
    translations: Mapping[str, str]


class Translations:
    """The catalogue of one library: the first dialled flow's first language is the default."""

    def __init__(self, library: Library) -> None:
        flows = library.flows.values()
        dialled = next((flow for flow in flows if flow.dial), None) or next(iter(flows))
        self.default_language = dialled.languages[0]
        self._flows = {flow.flow: _by_language(flow) for flow in flows}

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages of the flows, the default first."""
        others = {language for texts in self._flows.values() for language in texts} - {self.default_language}
        return (self.default_language, *sorted(others))

    def fetch(self, language: str | None, flow: str | None, keys: Sequence[str] | None) -> TranslationSet:
        """The texts of one flow or of all, only those with `keys` when given. Raises UnknownFlow."""
        if flow is not None and flow not in self._flows:
            raise UnknownFlow("there is no such flow")
        wanted = language or self.default_language
        used = wanted if wanted in self.languages else self.default_language
        chosen = [self._flows[flow]] if flow is not None else list(self._flows.values())
        texts = {key: text for by_language in chosen for key, text in by_language.get(used, {}).items()}
        if keys is not None:
            texts = {key: texts[key] for key in keys if key in texts}
        digest = hashlib.sha256(repr((used, sorted(texts.items()))).encode()).hexdigest()[:16]
        return TranslationSet(used, digest, used != wanted, texts)


def _by_language(flow: Flow) -> dict[str, dict[str, str]]:
    result: dict[str, dict[str, str]] = {language: {} for language in flow.languages}
    for key, texts in _keyed(flow):
        for language, text in texts.items():
            result[language][key] = text
    return result


def _keyed(flow: Flow) -> Iterator[tuple[str, dict[str, str]]]:
    """Keys are the place of the text without the word `states` and with options counted from 1."""
    for path, text in all_texts(flow):
        place = path[1:] if path[0] == "states" else path
        parts = [str(step + 1) if isinstance(step, int) else step for step in place]
        if parts[-1] == "text":
            parts.pop()
        yield ".".join((flow.flow, *parts)), per_language(text, flow.languages)
