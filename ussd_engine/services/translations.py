"""The texts of the flows: for other channels that show the same words, and for staff who change them.

A text that staff changed lies over that of the flow file, as soon as the change is approved, and in every revision
that can show it. The flows stay the same in all but their words, so a session goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from ussd_engine.errors import Refusal
from ussd_engine.flow.catalogue import UnknownText, entries, faults, find, with_texts
from ussd_engine.platform import overrides
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.approvals import Kind, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.flow.loader import Library
    from ussd_engine.platform.changes import StagedChange
    from ussd_engine.services.approvals import Approvals, Staged
    from ussd_engine.services.editions import Edition
    from ussd_engine.services.live import Live

Texts = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Flow, then language, then key to text."""

OVERRIDE = "translation.override"
"""The kind of change."""


class UnknownFlow(Refusal):
    code = "unknown_flow"


class TextRefused(Refusal):
    """A proposed text that the flow could not show. `reasons` are sentences for its author."""

    code = "text_refused"

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class TranslationSet:
    """Texts by key; placeholders stand in them as in the flow.

    `version` changes when any text that the request covers does. `fallback`: the language asked for is not there,
    or a flow has no texts in it, and those of the default language answer, or else of the flow's first one.
    `translations` is None for who has this version already.
    """

    language: str
    version: str
    fallback: bool
    translations: Mapping[str, str] | None


class Translations:
    """The texts of the current revision: the first dialled flow's first language is the default."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._shown: tuple[Edition, Texts] | None = None

    @property
    def default_language(self) -> str:
        flows = self._live.current.library.flows.values()
        dialled = next((flow for flow in flows if flow.dial), None) or next(iter(flows))
        return dialled.languages[0]

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages of the flows, the default first."""
        default, flows = self.default_language, self._live.current.library.flows.values()
        return (default, *sorted({language for flow in flows for language in flow.languages} - {default}))

    @property
    def _texts(self) -> Texts:
        edition = self._live.current
        if self._shown is None or self._shown[0] is not edition:
            self._shown = (edition, _by_flow(edition.shown))
        return self._shown[1]

    async def fetch(
        self, language: str | None, flow: str | None, keys: Sequence[str] | None, version: str | None
    ) -> TranslationSet:
        """The texts of one flow or of all, only those with `keys` when given. Raises UnknownFlow."""
        await self._live.look()
        known = self._texts
        if flow is not None and flow not in known:
            raise UnknownFlow("there is no such flow")
        wanted = language or self.default_language
        spoken = _spoken(wanted, self.languages)
        used, fallback = spoken or self.default_language, spoken is None
        texts: dict[str, str] = {}
        for by_language in [known[flow]] if flow is not None else known.values():
            own = next(one for one in (used, self.default_language, *by_language) if one in by_language)
            found = {key: text for key, text in by_language[own].items() if keys is None or key in keys}
            fallback |= language is not None and bool(found) and own != used
            texts |= found
        digest = hashlib.sha256(repr((used, sorted(texts.items()))).encode()).hexdigest()[:16]
        return TranslationSet(used, digest, fallback, None if digest == version else texts)

    async def propose(
        self,
        approvals: Approvals,
        key: str,
        language: str,
        text: str | None,
        maker: str,
        reason: str | None,
        request_id: str,
    ) -> Staged:
        """Ask for other words; None asks for those of the flow file. Raises TextRefused, ChangeConflict."""
        await self._live.look()
        if refused := self.check(key, language, text):
            raise TextRefused(refused)
        over = self._live.current.overrides
        current = over.get((key, language)) or self._texts[key.partition(".")[0]][language][key]
        place = {"key": key, "language": language}
        return await approvals.propose(
            Request(
                id=str(uuid4()),
                kind=OVERRIDE,
                entity="translations",
                entity_id=overrides.entity_id(key, language),
                before={**place, "text": current},
                after={**place, "text": text},
                context={},
                maker=maker,
                maker_reason=reason,
                request_id=request_id,
            )
        )

    def check(self, key: str, language: str, text: str | None) -> list[str]:
        """What stands against the text, by the rules of the flow language; nothing when it can be shown.

        What lies over a text may be taken away whatever became of that text in the flow files.
        """
        edition = self._live.current
        if text is None and (key, language) in edition.overrides:
            return []
        try:
            if text is None:
                find(edition.library, key, language)
                return []
            return faults(with_texts(edition.library, {**edition.fitting, (key, language): text}), SPECS)
        except (UnknownText, ValueError) as error:
            return [str(error)]


def kinds(announce: Callable[[], Awaitable[None]]) -> Mapping[str, Kind]:
    """What approving does to a text."""
    return {OVERRIDE: Kind(_apply, after=announce)}


def _apply(connection: Connection, change: StagedChange, now: datetime) -> None:
    after = change.after
    overrides.save(connection, after["key"], after["language"], after["text"], now)


def _spoken(wanted: str, languages: Sequence[str]) -> str | None:
    """The language that a tag such as sw-KE means (RFC 4647, 3.4): the case says nothing, and the longest is taken."""
    known = {language.lower(): language for language in languages}
    tag = wanted.lower()
    while tag not in known and "-" in tag:
        tag = tag.rpartition("-")[0]
    return known.get(tag)


def _by_flow(library: Library) -> Texts:
    result: dict[str, dict[str, dict[str, str]]] = {}
    for name, flow in library.flows.items():
        result[name] = {language: {} for language in flow.languages}
        for entry in entries(flow):
            for language, text in entry.texts.items():
                result[name][language][entry.key] = text
    return result
