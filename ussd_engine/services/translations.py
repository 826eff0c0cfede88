"""The texts of the flows: for other channels that show the same words, and for staff who change them.

A text that staff changed lies over that of the flow file, as soon as the change is approved. Every worker notices at
its next turn, by a mark that the session store gives out with each session; a mark that was lost is made up for by a
look into the database every few seconds. The flows stay the same in all but their words, so a session goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from ussd_engine.errors import DatabaseUnavailable, Refusal, StoreUnavailable
from ussd_engine.flow.catalogue import UnknownText, entries, faults, find, with_texts
from ussd_engine.logs import describe
from ussd_engine.platform import overrides
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.approvals import Kind, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from sqlalchemy import Connection

    from ussd_engine.flow.catalogue import Overrides
    from ussd_engine.flow.loader import Library
    from ussd_engine.platform.changes import StagedChange
    from ussd_engine.platform.database import Database
    from ussd_engine.ports import SessionStore
    from ussd_engine.runtime.program import Program
    from ussd_engine.services.approvals import Approvals, Staged

log = structlog.get_logger(__name__)

Found = list[tuple[tuple[str, str], str]]
"""Overrides in an order: key and language, text."""

OVERRIDE = "translation.override"
"""The kind of change."""
LOOK_EVERY_S = 5.0
"""How long a text that nobody could be told of stays unseen. A look is one SELECT on a small table."""
LOOK_S = 1.0
"""How long a turn waits for new texts; a database that takes longer leaves it with those that it has."""


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
    """The texts of one library: the first dialled flow's first language is the default.

    `program` is that of the library, and later the one with the texts as they are then, which `compile_` makes.
    """

    def __init__(
        self,
        library: Library,
        program: Program,
        compile_: Callable[[Library], Program],
        database: Database,
        store: SessionStore,
    ) -> None:
        self._library = library
        self._compile = compile_
        self._database = database
        self._store = store
        self._overrides: Overrides = {}
        self._fitting: Overrides = {}
        self._mark: bytes | None = None
        self._reloading = asyncio.Lock()
        flows = library.flows.values()
        dialled = next((flow for flow in flows if flow.dial), None) or next(iter(flows))
        self.default_language = dialled.languages[0]
        self.program = program
        self._texts = _by_flow(library)

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages of the flows, the default first."""
        others = {language for texts in self._texts.values() for language in texts} - {self.default_language}
        return (self.default_language, *sorted(others))

    async def fetch(
        self, language: str | None, flow: str | None, keys: Sequence[str] | None, version: str | None
    ) -> TranslationSet:
        """The texts of one flow or of all, only those with `keys` when given. Raises UnknownFlow."""
        if flow is not None and flow not in self._texts:
            raise UnknownFlow("there is no such flow")
        await self.look()
        wanted = language or self.default_language
        spoken = _spoken(wanted, self.languages)
        used, fallback = spoken or self.default_language, spoken is None
        texts: dict[str, str] = {}
        for by_language in [self._texts[flow]] if flow is not None else self._texts.values():
            own = next(one for one in (used, self.default_language, *by_language) if one in by_language)
            found = {key: text for key, text in by_language[own].items() if keys is None or key in keys}
            fallback |= language is not None and bool(found) and own != used
            texts |= found
        digest = hashlib.sha256(repr((used, sorted(texts.items()))).encode()).hexdigest()[:16]
        return TranslationSet(used, digest, fallback, None if digest == version else texts)

    async def fresh(self) -> Program:
        """The program to show the next screen of a session with, which was loaded just now."""
        mark = self._store.mark
        if mark != self._mark:
            try:
                async with asyncio.timeout(LOOK_S), self._reloading:
                    if mark != self._mark:  # else another turn has looked since the mark was set
                        await self._reload()
                        self._mark = mark
            except Exception as error:  # noqa: BLE001 - a subscriber gets old words rather than none
                log.warning("texts_not_looked_up", **describe(error))
        return self.program

    async def look(self) -> None:
        """See whether there are other texts than those that are shown here."""
        try:
            async with self._reloading:
                await self._reload()
        except DatabaseUnavailable as error:
            log.warning("texts_not_looked_up", **describe(error))

    async def announce(self) -> None:
        """Show the new texts here, and tell the other workers. They look by themselves when nobody can tell them."""
        await self.look()
        try:
            await self._store.set_mark(uuid4().bytes)
        except StoreUnavailable:
            log.warning("texts_not_announced")

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
        await self.look()
        if refused := self.check(key, language, text):
            raise TextRefused(refused)
        current = self._overrides.get((key, language)) or self._texts[key.partition(".")[0]][language][key]
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
        if text is None and (key, language) in self._overrides:
            return []
        try:
            if text is None:
                find(self._library, key, language)
                return []
            return faults(with_texts(self._library, {**self._fitting, (key, language): text}), SPECS)
        except (UnknownText, ValueError) as error:
            return [str(error)]

    async def _reload(self) -> None:
        found = await self._database.read(overrides.all_of)
        if found == self._overrides:
            return
        fitting = self._that_fit(sorted(found.items()), {})
        library = with_texts(self._library, fitting)
        # what a session holds of a program are places in it, and they are as they were
        self.program = replace(self._compile(library), revision=self.program.revision)
        self._texts = _by_flow(library)
        self._overrides, self._fitting = found, fitting
        log.info("texts_changed", overrides=len(found))

    def _that_fit(self, found: Found, fitting: Overrides) -> Overrides:
        """Those of `found` that the flows can show, besides `fitting`; the flow files may be newer than they are.

        Halved until those that do not fit stand alone: to check the flows once for each override takes too long.
        """
        together = {**fitting, **dict(found)}
        try:
            reasons = faults(with_texts(self._library, together), SPECS)
        except (UnknownText, ValueError) as error:
            reasons = [str(error)]
        if not reasons:
            return together
        if len(found) == 1:
            ((key, language), _) = found[0]
            log.warning("text_left_out", key=key, language=language, reasons=reasons)
            return fitting
        half = len(found) // 2
        return self._that_fit(found[half:], self._that_fit(found[:half], fitting))


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


def _by_flow(library: Library) -> dict[str, dict[str, dict[str, str]]]:
    """Flow, then language, then key to text."""
    result: dict[str, dict[str, dict[str, str]]] = {}
    for name, flow in library.flows.items():
        result[name] = {language: {} for language in flow.languages}
        for entry in entries(flow):
            for language, text in entry.texts.items():
                result[name][language][entry.key] = text
    return result
