"""Rules of pages: each fits its network, none loses a word, and a line stays whole where it can."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ussd_engine.charset import MAX_SEPTETS, MAX_UNITS, is_gsm7, septets, units
from ussd_engine.flow.pager import Navigation, Profile, paginate

NAVIGATION = Navigation("0.Back", "00.Home", "98.More", "0.Back")
NONE = Navigation(None, None, "98.More", None)
CHARACTERS = "abc xyz.ÄÖ€{}[]12\n"
WIDE = CHARACTERS + "ж中é😀\u2019"

any_lines = st.lists(st.text(alphabet=WIDE, max_size=120), min_size=1, max_size=12)
profiles = st.builds(
    Profile, page_septets=st.integers(40, 200), page_units=st.integers(20, 90), input_max=st.just(80)
)
navigations = st.sampled_from(
    [
        NAVIGATION,
        NONE,
        Navigation(None, "00.Home", "98.More", "0.Back"),
        Navigation(
            "0.Retour à la page", "00.Accueil de la banque", "98.Suite des choix", "0.Retour à la page"
        ),
        Navigation("0." + "x" * 200, "00." + "y" * 200, "98." + "z" * 200, "0." + "x" * 200),
        Navigation("****.ж", "####.中", "1234.😀", "****.ж"),
    ]
)


def body(page: str, navigation: Navigation) -> str:
    """A page without its navigation line, which is the last one where it starts with a key."""
    keys = tuple(part.split(".")[0] for part in (navigation.back, navigation.home, navigation.more) if part)
    head, _, last = page.rpartition("\n")
    words = tuple(
        part for part in (navigation.back, navigation.home, navigation.more, navigation.page_back) if part
    )
    if last and (last.startswith(words) or all(piece in keys for piece in last.split(" "))):
        return head
    return page


def fits(page: str, profile: Profile, *, gsm7: bool) -> bool:
    if gsm7:
        return septets(page) <= min(profile.page_septets, MAX_SEPTETS)
    return units(page) <= min(profile.page_units, MAX_UNITS)


@settings(deadline=None)
@given(any_lines, navigations, profiles)
def test_no_page_exceeds_its_budget(lines: list[str], navigation: Navigation, profile: Profile) -> None:
    """Whatever the lines, the keys and the network: every page fits, navigation line included."""
    pages = paginate(lines, navigation, profile)
    # each page goes out by itself: one in GSM-7 costs septets, whatever the others are
    assert all(fits(page, profile, gsm7=is_gsm7(page)) for page in pages)


@pytest.mark.parametrize("rest", ["My accounts and what they hold", "[[[[[[[[[[ {{{{{{{{{{ ]]]]]]]]]]"])
def test_page_of_gsm7_behind_one_in_ucs2_fits_in_septets(rest: str) -> None:
    """A name in another script stands on the first page; the second goes out in GSM-7, on a network of few septets."""
    profile = Profile(page_septets=60, page_units=70)
    pages = paginate(["Hello Жанна Ж", *[rest] * 4], NAVIGATION, profile)
    assert not all(map(is_gsm7, pages))
    assert all(fits(page, profile, gsm7=is_gsm7(page)) for page in pages)


@settings(deadline=None)
@given(any_lines, profiles)
def test_pages_lose_no_character_but_the_breaks(lines: list[str], profile: Profile) -> None:
    """All pages together hold the text, in order."""
    pages = paginate(lines, NONE, profile)
    shown = "".join(body(page, NONE) for page in pages)
    assert "".join(shown.split()) == "".join("".join(lines).split())


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.text("abcdeé", min_size=1, max_size=12), max_size=30).map(" ".join),
        min_size=1,
        max_size=9,
    )
)
def test_pages_keep_words_whole(lines: list[str]) -> None:
    """A word that fits a page is never torn."""
    pages = paginate(lines, NONE, Profile())
    assert " ".join(body(page, NONE) for page in pages).split() == " ".join(lines).split()


@settings(deadline=None)
@given(
    st.lists(st.text("abc é€", min_size=1, max_size=90).map(str.strip).filter(bool), min_size=1, max_size=15)
)
def test_option_line_is_not_torn_when_it_fits_a_page(lines: list[str]) -> None:
    """A line that a page between others holds stands whole on one page."""
    profile = Profile()
    pages = paginate(lines, NAVIGATION, profile)
    room = profile.page_septets - len("\n0.Back 00.Home 98.More")
    shown = [line for page in pages for line in body(page, NAVIGATION).split("\n")]
    for line in lines:
        if septets(line) <= room:
            assert line in shown


def test_short_text_is_one_page_without_more() -> None:
    """`more` is offered only where something follows."""
    assert paginate(["Hello", "1. Go"], NAVIGATION, Profile()) == ("Hello\n1. Go\n0.Back 00.Home",)
    assert paginate(["Hello"], NONE, Profile()) == ("Hello",)


def test_page_is_filled_to_the_last_septet() -> None:
    """160 septets are one page, 161 are two; 182 is the end even where a network claims more."""
    assert len(paginate(["x" * 160], NONE, Profile(page_septets=160))) == 1
    assert len(paginate(["x" * 161], NONE, Profile(page_septets=160))) == 2
    assert len(paginate(["x" * 183], NONE, Profile(page_septets=999))) == 2
    assert len(paginate(["€" * 80], NONE, Profile(page_septets=160))) == 1
    assert len(paginate(["€" * 81], NONE, Profile(page_septets=160))) == 2


def test_one_character_makes_every_page_ucs2() -> None:
    """A character outside GSM-7, be it in the navigation line, brings the budget of UCS-2 to all pages."""
    assert len(paginate(["x" * 70], NONE, Profile())) == 1
    assert len(paginate(["x" * 69 + "ж"], NONE, Profile())) == 1
    assert len(paginate(["x" * 70 + "ж"], NONE, Profile())) == 2
    assert len(paginate(["x" * 69 + "😀"], NONE, Profile())) == 2
    assert len(paginate(["x" * 81], NONE, Profile(page_units=999))) == 1
    assert len(paginate(["ж" * 81], NONE, Profile(page_units=999))) == 2
    cyrillic = Navigation(None, None, "98.Далее", None)
    assert len(paginate(["x" * 70], cyrillic, Profile())) == 1
    assert len(paginate(["x" * 71], cyrillic, Profile())) == 2


def test_every_page_but_the_last_offers_more() -> None:
    """The first page has no way back to a page; the others have; only the last has no `more`."""
    navigation = Navigation(None, "00.Home", "98.More", "0.Back")
    pages = paginate(
        [f"{number}. An option of some length" for number in range(1, 20)], navigation, Profile()
    )
    first, *between, last = [page.split("\n")[-1] for page in pages]
    assert first == "00.Home 98.More"
    assert set(between) == {"0.Back 00.Home 98.More"}
    assert last == "0.Back 00.Home"


def test_long_line_breaks_between_words() -> None:
    """A line longer than a page breaks at a space, or inside a word that is longer than a page."""
    pages = paginate(["word " * 50], NONE, Profile(page_septets=40))
    assert all(set(body(page, NONE).split()) <= {"word"} for page in pages)
    assert paginate(["x" * 70], NONE, Profile(page_septets=40)) == ("x" * 32 + "\n98.More", "x" * 38)


def test_navigation_words_give_way_to_the_text() -> None:
    """Where the words of the navigation would take more than half of a page, its keys stand alone."""
    narrow = Profile(page_septets=40)
    assert paginate(["Hello"], NAVIGATION, narrow) == ("Hello\n0.Back 00.Home",)
    assert paginate(["x" * 60], NAVIGATION, narrow) == ("x" * 32 + "\n0 00 98", "x" * 28 + "\n0 00")
