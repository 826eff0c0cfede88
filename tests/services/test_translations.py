"""Rules of the texts that other channels fetch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from structlog.testing import capture_logs

from adapters.sessions.memory import MemorySessionStore
from adapters.sessions.redis import RedisSessionStore
from tests.flow.vocabulary import ACTIONS
from tests.services.flows_parts import CountedReads, live_over, phone_at, publish, put
from tests.services.parts import WallClock, eventually
from ussd_engine.flow.loader import Library, load
from ussd_engine.platform.database import Database
from ussd_engine.services.action_specs import SPECS
from ussd_engine.services.maintenance import maintained
from ussd_engine.services.translations import Translations, UnknownFlow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ussd_engine.ports import SessionStore

FIRST = """
flow: a_part
languages: [en, fr]
start: states
states:
  states:
    end: {en: Part, fr: Partie}
    outcome: done
"""
SECOND = """
flow: sample
dial: ["*100#"]
languages: [sw, en]
start: hello
data: {town: {type: name}}
texts: {back: {sw: Rudi, en: Return}}
states:
  hello:
    menu: {sw: Habari, en: Hello}
    options:
      - {text: {sw: Mji, en: Town}, goto: ask}
      - {text: "{session.phone}", goto: bye}
  ask:
    ask: {sw: Mji gani, en: Which town}
    save: town
    wrong: {sw: Hapana, en: "No"}
    goto: bye
  bye:
    end: {sw: Kwaheri, en: Goodbye}
"""


def library(folder: Path, *texts: str) -> Library:
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text)
    return load(folder, ACTIONS)


async def over(library: Library, database: Database, store: SessionStore | None = None) -> Translations:
    await publish(database, library)
    return Translations(await live_over(database, store))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = Database(url)
    yield opened
    await opened.close()


@pytest.fixture
async def catalogue(tmp_path: Path, database: Database) -> Translations:
    return await over(library(tmp_path, FIRST, SECOND), database)


async def test_texts_by_their_place(catalogue: Translations) -> None:
    """A key is the flow, the state and the place in it, with options counted from 1, as an author reads them."""
    found = await catalogue.fetch("en", None, None, None)
    assert found.translations == {
        "a_part.states.end": "Part",
        "sample.texts.back": "Return",
        "sample.hello.menu": "Hello",
        "sample.hello.options.1": "Town",
        "sample.hello.options.2": "{session.phone}",
        "sample.ask.ask": "Which town",
        "sample.ask.wrong": "No",
        "sample.bye.end": "Goodbye",
    }
    assert (found.language, found.fallback) == ("en", False)


async def test_each_flow_falls_back_by_itself(catalogue: Translations) -> None:
    """A language that one flow knows leaves no other without words, and the answer says that some fell back."""
    found = await catalogue.fetch("fr", None, None, None)
    assert found.translations is not None
    assert found.translations["a_part.states.end"] == "Partie"
    assert found.translations["sample.bye.end"] == "Kwaheri"
    assert (found.language, found.fallback) == ("fr", True)
    assert not (await catalogue.fetch("fr", "a_part", None, None)).fallback
    assert not (await catalogue.fetch("fr", None, ["a_part.states.end"], None)).fallback
    part = await catalogue.fetch("sw", "a_part", None, None)
    assert (part.translations, part.fallback) == ({"a_part.states.end": "Part"}, True)


@pytest.mark.parametrize("tag", ["sw-KE", "SW", "sw", "Sw-Latn-KE"])
async def test_a_tag_finds_its_language(catalogue: Translations, tag: str) -> None:
    """Neither its case nor what it says of the country leads anybody to another language."""
    found = await catalogue.fetch(tag, "sample", ["sample.bye.end"], None)
    assert (found.language, found.fallback) == ("sw", False)
    assert found.translations == {"sample.bye.end": "Kwaheri"}


async def test_default_language_is_that_of_the_dialled_flow(catalogue: Translations) -> None:
    """Without a wish, and for a language that there is not, the dialled flow's first language answers."""
    assert catalogue.default_language == "sw"
    assert set(catalogue.languages) == {"sw", "en", "fr"}
    assert (await catalogue.fetch(None, "sample", ["sample.bye.end"], None)).translations == {
        "sample.bye.end": "Kwaheri"
    }
    assert not (await catalogue.fetch(None, None, None, None)).fallback
    unknown = await catalogue.fetch("xx", None, ["sample.bye.end"], None)
    assert (unknown.language, unknown.fallback) == ("sw", True)
    assert unknown.translations == {"sample.bye.end": "Kwaheri"}


async def test_no_dialled_flow_still_has_a_default(tmp_path: Path, database: Database) -> None:
    """A folder of parts alone has the language of its first flow."""
    assert (await over(library(tmp_path, FIRST), database)).default_language == "en"


async def test_one_flow_and_some_keys(catalogue: Translations) -> None:
    """A request may name a flow, keys, or both; keys that are not there are left out."""
    assert (await catalogue.fetch("en", "a_part", None, None)).translations == {"a_part.states.end": "Part"}
    assert (await catalogue.fetch("en", "a_part", ["sample.bye.end"], None)).translations == {}
    assert (await catalogue.fetch("en", None, ["none", "sample.hello.menu"], None)).translations == {
        "sample.hello.menu": "Hello"
    }


async def test_flow_that_is_not_there(catalogue: Translations) -> None:
    """An unknown flow is a refusal with a code of its own."""
    with pytest.raises(UnknownFlow) as caught:
        await catalogue.fetch(None, "nothing", None, None)
    assert caught.value.code == "unknown_flow"


async def test_version_changes_with_the_texts(catalogue: Translations, database: Database) -> None:
    """A version tells whether anything that the request covers has changed, and nothing else."""

    async def versions() -> list[str]:
        wishes = (("en", None), ("en", "a_part"), ("sw", None))
        return [(await catalogue.fetch(language, flow, None, None)).version for language, flow in wishes]

    before = await versions()
    assert await versions() == before
    assert len(set(before)) == 3
    await put(database, "sample.bye.end", "en", "Farewell")
    after = await versions()
    assert [new != old for new, old in zip(after, before, strict=True)] == [True, False, False]
    await put(database, "sample.bye.end", "en", None)
    assert await versions() == before


async def test_who_has_the_current_version_gets_no_texts(catalogue: Translations, database: Database) -> None:
    """Until a text changes."""
    version = (await catalogue.fetch("en", None, None, None)).version
    assert (await catalogue.fetch("en", None, None, version)).translations is None
    await put(database, "sample.bye.end", "en", "Farewell")
    changed = await catalogue.fetch("en", None, None, version)
    assert changed.translations
    assert changed.translations["sample.bye.end"] == "Farewell"


async def test_shipped_texts_are_complete(database: Database) -> None:
    """The shipped flows have every text in both languages."""
    catalogue = await over(load(Path(__file__).parents[2] / "flows", SPECS), database)
    english = (await catalogue.fetch("en", None, None, None)).translations
    swahili = (await catalogue.fetch("sw", None, None, None)).translations
    assert english
    assert swahili
    assert english.keys() == swahili.keys()
    assert english["onboarding.welcome.options.1"] == "Open an account"


# --- texts that staff changed


@pytest.mark.parametrize(
    ("key", "language", "text", "reason"),
    [
        ("sample.nowhere.menu", "en", "Hi", "no flow has a text 'sample.nowhere.menu'"),
        ("other.hello.menu", "en", "Hi", "no flow has a text 'other.hello.menu'"),
        ("sample.hello.menu", "fr", "Salut", "the text 'sample.hello.menu' is not in language 'fr'"),
        ("sample.hello.menu", "en", "Hi {towm}", "'{towm}' in a text is not a value of 'sample'"),
        ("sample.hello.menu", "en", "Hi {", "a lone '{'"),
        ("sample.hello.menu", "en", "Hi \x1b[0m", "U+001B"),
        ("sample.nowhere.menu", "en", None, "no flow has a text"),
    ],
)
async def test_text_that_no_screen_could_show_is_refused(
    catalogue: Translations, key: str, language: str, text: str | None, reason: str
) -> None:
    """By the rules that hold for the flow files, in words for the author of the text."""
    found = catalogue.check(key, language, text)
    assert len(found) == 1
    assert reason in found[0]


async def test_texts_change_and_nothing_else(catalogue: Translations, database: Database) -> None:
    """In other words a program has the same revision, states and moves; one text may become several."""
    before = catalogue._live.program
    assert catalogue.check("sample.hello.options.2", "sw", "Namba {session.phone}") == []
    await put(database, "sample.hello.options.2", "sw", "Namba {session.phone}")
    await put(database, "sample.hello.menu", "en", "Good day, {session.phone}")
    await catalogue._live.look()
    after = catalogue._live.program
    assert after is not before
    assert after.revision == before.revision
    assert after.dial == before.dial
    assert {name: flow.nodes.keys() for name, flow in after.flows.items()} == {
        name: flow.nodes.keys() for name, flow in before.flows.items()
    }
    shown = (await catalogue.fetch("en", None, None, None)).translations
    assert shown
    assert shown["sample.hello.options.2"] == "{session.phone}"
    assert shown["sample.hello.menu"] == "Good day, {session.phone}"


async def test_override_that_no_longer_fits_is_left_out(tmp_path: Path, database: Database) -> None:
    """Flow files may be newer than what lies over them: what does not fit is left out, and the rest is shown."""
    await put(database, "sample.gone.menu", "en", "Hi")
    await put(database, "sample.hello.menu", "en", "Hi {gone}")
    await put(database, "sample.bye.end", "en", "Farewell")
    with capture_logs() as logs:
        catalogue = await over(library(tmp_path, FIRST, SECOND), database)
        shown = (await catalogue.fetch("en", "sample", None, None)).translations
    assert shown
    assert (shown["sample.hello.menu"], shown["sample.bye.end"]) == ("Hello", "Farewell")
    assert {entry["key"] for entry in logs if entry["event"] == "text_left_out"} == {
        "sample.gone.menu",
        "sample.hello.menu",
    }


async def test_override_that_is_left_out_stands_in_nobodys_way(tmp_path: Path, database: Database) -> None:
    """Other texts may be changed beside it, and it may itself be taken away or put right."""
    await put(database, "sample.gone.menu", "en", "Hi")
    await put(database, "sample.hello.menu", "en", "Hi {gone}")
    catalogue = await over(library(tmp_path, FIRST, SECOND), database)
    await catalogue._live.look()
    assert catalogue.check("sample.bye.end", "en", "Farewell") == []
    assert catalogue.check("sample.gone.menu", "en", None) == []
    assert catalogue.check("sample.hello.menu", "en", "Hi again") == []
    assert len(catalogue.check("sample.gone.menu", "en", "Hi again")) == 1


@pytest.mark.parametrize("mark_is_lost", [False, True])
async def test_session_sees_a_new_text_at_its_next_screen_in_every_worker(
    tmp_path: Path, database: Database, redis_url: str, mark_is_lost: bool
) -> None:
    """A session goes on in new words, whichever worker its next key press comes to.

    The worker that approved marks it in Redis. When that mark is lost, a look into the database makes up for it.
    """
    flows = library(tmp_path, FIRST, SECOND)
    stores = [RedisSessionStore(redis_url, timeout_s=2) for _ in range(2)]
    workers = [await over(flows, database, store) for store in stores]
    phones = [phone_at(texts._live, store) for texts, store in zip(workers, stores, strict=True)]
    for phone in phones:
        assert "Habari" in (await phone("")).text
    await put(database, "sample.ask.ask", "sw", "Unatoka mji gani?")
    assert "Mji gani" in (await phones[0]("1", session="s-0")).text  # nobody was told yet
    if mark_is_lost:
        await workers[1]._live.look()
    else:
        await workers[0]._live.announce()
    assert "Unatoka mji gani?" in (await phones[1]("1")).text
    assert "Unatoka mji gani?" in (await workers[1].fetch("sw", None, None, None)).translations.values()  # type: ignore[union-attr]
    for store in stores:
        await store.close()


async def test_lost_mark_is_made_up_for_by_a_look_now_and_then(
    tmp_path: Path, database: Database, redis_url: str
) -> None:
    """A worker whom nobody told finds the text by itself, and its sessions go on in it."""
    store = RedisSessionStore(redis_url, timeout_s=2)
    texts = await over(library(tmp_path, FIRST, SECOND), database, store)
    phone = phone_at(texts._live, store)
    await phone("")
    await put(database, "sample.ask.ask", "sw", "Unatoka mji gani?")
    before = texts._live.program

    async def noticed() -> bool:
        return texts._live.program is not before

    async with maintained({"texts": texts._live.look}, 0.01):
        await eventually(noticed)
    assert "Unatoka mji gani?" in (await phone("1")).text
    await texts._live.close()
    await store.close()


async def test_one_look_serves_all_turns_that_saw_the_mark(tmp_path: Path, database: Database) -> None:
    """A text that changes under load costs one look into the database, and every turn shows it."""
    store = MemorySessionStore(WallClock())
    await publish(database, library(tmp_path, FIRST, SECOND))
    counted = CountedReads(database)
    texts = Translations(await live_over(cast("Database", counted), store))
    counted.reads = 0
    phone = phone_at(texts._live, store)
    sessions = [f"s-{number}" for number in range(20)]
    for session in sessions:
        await phone("", session)
    await put(database, "sample.ask.ask", "sw", "Unatoka mji gani?")
    await store.set_mark(b"changed")
    screens = await asyncio.gather(*(phone("1", session) for session in sessions))
    assert all("Unatoka mji gani?" in screen.text for screen in screens)
    assert counted.reads == 1


async def test_database_that_is_away_leaves_the_texts_as_they_are(
    catalogue: Translations, database: Database
) -> None:
    """A subscriber gets a screen in old words rather than none."""
    store = MemorySessionStore(WallClock())
    texts = await over(catalogue._live.current.library, database, store)
    phone = phone_at(texts._live, store)
    assert "Habari" in (await phone("")).text
    await store.set_mark(b"another")
    await database.write(lambda c: c.exec_driver_sql("ALTER TABLE translation_overrides RENAME TO away"))
    assert "Mji gani" in (await phone("1")).text
