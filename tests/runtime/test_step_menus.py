"""Rules of menus, pages and the keys that the engine owns."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest
from msgspec.structs import replace

from tests.runtime.parts import BLANK, NOW, Phone, flow, program_of, typed
from ussd_engine.charset import septets, units
from ussd_engine.errors import IllegalMove
from ussd_engine.flow.pager import Profile
from ussd_engine.flow.vocabulary import ActionSpec, Input, ListOf
from ussd_engine.runtime.happenings import Proceed
from ussd_engine.runtime.step import step

WALK = flow("""
    hello:
      menu: Hello
      options:
        - {text: First, goto: first}
        - {text: Stay, goto: hello}
        - {text: Around, goto: around}
        - {text: Look, goto: look}
    first:
      menu: First
      options:
        - {text: Second, goto: second}
    second:
      menu: Second
      options:
        - {text: Leave, goto: bye}
        - {text: First again, goto: first}
    around:
      route:
        - else: hello
    look:
      action: sample.lookup
      with: {phone: session.phone}
      outcomes: {found: second, missing: second, unavailable: bye}
    bye: {end: Goodbye}
    """)


def test_menu_shows_its_options_and_waits() -> None:
    """Options are numbered from 1; the first screen has nothing to go back to and is home itself."""
    phone = Phone(program_of(WALK))
    assert phone.text == "Hello\n1. First\n2. Stay\n3. Around\n4. Look"
    assert (phone.screen.end, phone.screen.label) == (False, "sample.hello")


def test_option_leads_on_and_back_leads_back() -> None:
    """Back returns screen by screen to the first one, where it is no key any more."""
    phone = Phone(program_of(WALK)).type("1", "1")
    assert phone.text == "Second\n1. Leave\n2. First again\n0.Back 00.Home"
    assert phone.type("0").text == "First\n1. Second\n0.Back 00.Home"
    assert phone.type("0").text.startswith("Hello\n1.")
    assert phone.type("0").text.startswith("That is not one of the choices.\nHello")


def test_home_leads_home_and_forgets_the_way() -> None:
    """Home shows the first screen as after the dial."""
    phone = Phone(program_of(WALK))
    first = phone.text
    assert phone.type("1", "1", "00").text == first
    assert phone.session.history == ()


def test_home_state_of_a_flow() -> None:
    """A flow may say where home is."""
    phone = Phone(program_of(WALK.replace("start: hello", "start: hello\nhome: first"))).type("1", "1", "00")
    assert phone.text == "First\n1. Second"


def test_screen_does_not_lead_back_to_itself() -> None:
    """An option that stays, directly or by a route, leaves nothing to go back to."""
    phone = Phone(program_of(WALK))
    assert "Back" not in phone.type("2").text
    assert "Back" not in phone.type("3").text
    assert phone.session.history == ()


def test_back_from_a_screen_that_comes_again() -> None:
    """A way in a circle is walked back in a circle."""
    phone = Phone(program_of(WALK)).type("1", "1", "2")
    assert phone.text.startswith("First")
    assert phone.type("0").text.startswith("Second")
    assert phone.type("0").text.startswith("First")
    assert phone.type("0").text.startswith("Hello")


def test_back_never_crosses_an_action() -> None:
    """After an action has run there is no way back before it: only home."""
    phone = Phone(program_of(WALK)).type("4").result("found")
    assert phone.text == "Second\n1. Leave\n2. First again\n00.Home"
    assert phone.type("0").text.startswith("That is not one of the choices.")
    assert phone.type("2", "0").text == "Second\n1. Leave\n2. First again\n00.Home"


def test_wrong_choice_is_told_once() -> None:
    """What is no option shows the menu again with a word about it, and a right one takes it away."""
    phone = Phone(program_of(WALK))
    for wrong in ("9", "", "1*1", "one", "01", "\uff11", "\x00", "1" * 500):
        assert phone.type(wrong).text.startswith("That is not one of the choices.\nHello")
    assert phone.type(" 1 ").text.startswith("First")
    assert phone.type("0").text.startswith("Hello")


@pytest.mark.parametrize(
    ("head", "first", "second"),
    [
        ('keys: {back: "#", home: "*"}', "First\n1. Second\n#.Back *.Home", "Hello"),
        ("keys: {back: off, home: off}", "First\n1. Second", "That is not one of the choices."),
        ("keys: {home: off}", "First\n1. Second\n0.Back", "That is not one of the choices."),
        (
            "texts: {back: Rudi, home: Nyumbani, wrong_choice: Hapana}",
            "First\n1. Second\n0.Rudi 00.Nyumbani",
            "Hapana",
        ),
    ],
)
def test_keys_and_words_are_data(head: str, first: str, second: str) -> None:
    """A flow chooses the keys that the engine owns, takes them away, or words them."""
    phone = Phone(program_of(WALK.replace("start: hello", f"start: hello\n{head}"))).type("1")
    assert phone.text == first
    assert phone.type("#").text.startswith(second)


def test_keys_are_off_for_one_state() -> None:
    """`back: off` and `home: off` take the keys from one state alone."""
    off = WALK.replace("menu: First", "menu: First\n    back: off\n    home: off")
    phone = Phone(program_of(off)).type("1")
    assert phone.text == "First\n1. Second"
    assert phone.type("0").text.startswith("That is not")
    assert phone.type("1").text.endswith("0.Back 00.Home")


def test_option_on_the_back_key_of_a_first_screen() -> None:
    """Where nothing lies behind, `0` may be an option; it stays one on every page of the menu."""
    options = "\n".join(f"    - {{text: An option of some length {n}, goto: bye}}" for n in range(9))
    options += "\n    - {key: '0', text: Leave, goto: bye}"
    states = f"hello:\n  menu: Hello\n  options:\n{options}\nbye: {{end: Bye}}"
    phone = Phone(program_of(flow(states)))
    assert "98.More" in phone.text
    assert phone.type("98").text.endswith("0. Leave")
    assert phone.type("0").text == "Bye"


CONDITIONS = flow(
    """
    hello:
      menu: "Hello {visits}"
      options:
        - {text: New, goto: hello, when: visits == 0, set: {visits: visits + 1}}
        - {text: Old, goto: hello, when: visits > 0, set: {visits: visits + 1, twice: visits}}
        - {key: "7", text: Seven, goto: bye}
        - {text: Today, goto: bye, when: today == '2026-11-24', set: {visits: '9'}}
        - {text: "Leave {twice}", goto: bye}
    bye: {end: "{visits} {twice}"}
    """,
    head="data: {visits: {type: number, default: 0}, twice: {type: number, default: 0}}",
)


def test_options_with_conditions_are_numbered_as_shown() -> None:
    """Hidden options take no number; an option with a key keeps it; keys are those of the screen shown."""
    phone = Phone(program_of(CONDITIONS))
    assert phone.text == "Hello 0\n1. New\n7. Seven\n2. Today\n3. Leave 0"
    assert phone.type("1").text == "Hello 1\n1. Old\n7. Seven\n2. Today\n3. Leave 0"
    assert phone.type("7").text == "1 0"


def test_sets_of_an_option_read_what_was_before() -> None:
    """All values of `set` are computed before any is stored."""
    phone = Phone(program_of(CONDITIONS)).type("1", "1", "3")
    assert phone.text == "2 1"


def test_options_are_those_of_the_day_they_were_shown_on() -> None:
    """Past midnight a key still means what stands on the screen."""
    phone = Phone(program_of(CONDITIONS))
    phone.now = NOW + timedelta(hours=18)
    assert phone.type("2").text == "9 0"
    late = Phone(program_of(CONDITIONS))
    late.now = NOW + timedelta(hours=18)
    assert late.type("nothing").text.endswith("Hello 0\n1. New\n7. Seven\n2. Leave 0")


LONG = flow(
    "hello:\n  menu: Choose\n  options:\n"
    + "\n".join(f"    - {{text: Option number {n} of many, goto: bye}}" for n in range(1, 21))
    + "\nbye: {end: Bye}"
)


def test_more_and_back_walk_the_pages() -> None:
    """`more` leads to the next page, back to the one before, and every option is taken from every page."""
    phone = Phone(program_of(LONG))
    pages = [phone.text]
    while "98.More" in phone.text:
        pages.append(phone.type("98").text)
    assert len(pages) == 4
    assert phone.type("98").text.startswith("That is not one of the choices.")
    phone = Phone(program_of(LONG)).type("98", "98", "98")
    assert [phone.type("0").text for _ in range(3)] == pages[-2::-1]
    assert phone.type("20").text == "Bye"


def test_pages_fit_and_hold_every_option() -> None:
    """Each page keeps the budget, and no option line is torn."""
    phone = Phone(program_of(LONG))
    shown = phone.text
    assert septets(phone.text) <= 160
    while "98.More" in phone.text:
        shown += "\n" + phone.type("98").text
        assert septets(phone.text) <= 160
    assert [line for line in shown.split("\n") if "." in line and "Option" in line] == [
        f"{n}. Option number {n} of many" for n in range(1, 21)
    ]


def test_end_of_several_pages_ends_on_the_last() -> None:
    """A long last text is walked page by page; the session ends with its last page."""
    text = " ".join(f"word{n}" for n in range(60))
    phone = Phone(program_of(flow(f"hello:\n  end: {text}")))
    first = phone.screen
    seen = first.text.replace("\n98.More", "")
    assert not first.end
    assert phone.type("0", "00", "x", "").text.replace("\n98.More", "") == seen
    while not phone.screen.end:
        seen += " " + phone.type("98").text.replace("\n98.More", "")
    assert seen == text
    assert phone.session.ended
    assert phone.session.frames == ()


def test_ended_session_takes_nothing() -> None:
    """A session that has ended holds its receipt and no data."""
    phone = Phone(program_of(WALK)).type("1", "1", "1")
    assert phone.screen.end
    assert phone.session.receipt == phone.screen
    assert (phone.session.frames, phone.session.history) == ((), ())


def test_value_outside_gsm7_brings_the_budget_of_ucs2() -> None:
    """A name with a character outside GSM-7 makes its screen UCS-2, with pages of 70 units."""
    states = """
        hello:
          ask: Name
          save: name
          goto: show
        show:
          menu: "{name}, this is a menu that holds some words, and some more of them"
          options:
            - {text: Leave, goto: bye}
        bye: {end: Bye}
        """
    phone = Phone(program_of(flow(states, head="data: {name: {type: name}}")))
    assert "98.More" not in phone.type("Jane").text
    phone = Phone(program_of(flow(states, head="data: {name: {type: name}}"))).type("Ŵanjikũ")
    assert "98.More" in phone.text
    assert units(phone.text) <= 70


def test_menu_of_one_session_never_shows_the_words_of_another() -> None:
    """Pages that are kept for all sessions hold nothing of one: a text with a value makes them its own."""
    states = """
        hello:
          ask: Name
          save: name
          goto: pick
        pick:
          menu: "Pick, {name}"
          options:
            - {text: Leave, goto: bye}
        bye: {end: Bye}
        """
    head = "data: {name: {type: name, default: X}}"
    program = program_of(flow(states, head=head))
    assert Phone(program).type("Jane", "5").text.startswith("That is not one of the choices.\nPick, Jane\n")
    assert Phone(program).type("Joan", "5").text.startswith("That is not one of the choices.\nPick, Joan\n")


def test_pages_of_fixed_words_are_drawn_once() -> None:
    """A menu without values and conditions is laid out once for all sessions; others are not kept."""
    program = program_of(WALK)
    for _ in range(3):
        Phone(program).type("1", "1")
    assert len(program.pages) == 3
    changing = program_of(CONDITIONS)
    Phone(changing).type("1")
    assert changing.pages == {}


def test_menu_with_conditions_alone_is_drawn_for_each_session() -> None:
    """A menu whose options all have conditions is never kept for another session, though its words are fixed."""
    states = """
        hello:
          ask: Town
          save: town
          goto: pick
        pick:
          menu: Pick
          options:
            - {text: In Thika, goto: bye, when: town == 'Thika'}
            - {text: Elsewhere, goto: bye, when: town != 'Thika'}
        bye: {end: Bye}
        """
    program = program_of(flow(states, head="data: {town: {type: name}}"))
    assert Phone(program).type("Thika").text.startswith("Pick\n1. In Thika\n0.Back")
    assert Phone(program).type("Embu").text.startswith("Pick\n1. Elsewhere\n0.Back")


def test_pages_kept_for_all_depend_on_language_and_network() -> None:
    """Two networks and two languages see their own pages of the same menu."""
    states = """
        hello:
          menu: {en: Hello, sw: Habari}
          options:
            - {text: {en: Switch, sw: Badili}, goto: hello, set: {language: "language == 'en' ? 'sw' : 'en'"}}
            - {text: {en: A choice of more words than one, sw: Chaguo}, goto: bye}
        bye: {end: {en: Bye, sw: Kwaheri}}
        """
    program = program_of(flow(states, languages="en, sw"))
    narrow = Profile(page_septets=40)
    for profile in (Profile(), narrow, Profile(), narrow):
        phone = Phone(program, profile=profile)
        assert ("98.More" in phone.text) is (profile is narrow)
        assert septets(phone.text) <= profile.page_septets
        assert phone.type("1").text.startswith("Habari\n1. Badili")


def test_step_is_pure() -> None:
    """The same input on the same session gives the same, and changes neither session nor program."""
    phone = Phone(program_of(CONDITIONS)).type("1")
    before = phone.session
    copy = replace(before, frames=tuple(replace(f, data=dict(f.data)) for f in before.frames))
    results = [step(phone.program, before, typed("1"), NOW, phone.profile) for _ in range(3)]
    assert results[0] == results[1] == results[2]
    assert before == copy


def test_session_on_a_state_that_is_gone() -> None:
    """A session that names a flow or state that its program does not have is an error, not a wrong screen."""
    phone = Phone(program_of(WALK))
    lost = replace(phone.session, frames=(replace(phone.session.top, state="gone"),))
    with pytest.raises(IllegalMove, match="flow 'sample' has no state 'gone'"):
        step(phone.program, lost, typed("1"), NOW, phone.profile)
    lost = replace(phone.session, frames=(replace(phone.session.top, flow="gone"),))
    with pytest.raises(IllegalMove, match="there is no flow 'gone' in revision"):
        step(phone.program, lost, Proceed(), NOW, phone.profile)


def test_long_silent_way_is_cut_off() -> None:
    """A flow that moves on and on without a screen ends in an error: a turn is bounded."""
    chain = [f"step_{number}:\n  route:\n    - else: step_{number + 1}" for number in range(1, 101)]
    states = "\n".join(["hello:", "  route:", "    - else: step_1", *chain, "step_101: {end: Bye}"])
    with pytest.raises(IllegalMove, match="moves on without ever showing a screen"):
        Phone(program_of(flow(states)))


def test_history_is_bounded() -> None:
    """What is stored for back stays small however long a subscriber walks."""
    phone = Phone(program_of(WALK)).type("1")
    for _ in range(40):
        phone.type("1", "2")
    assert len(phone.session.history) == 30
    assert BLANK.history == ()


ACCOUNTS = """
flow: sample
languages: [en, sw]
start: look
data:
  accounts: {type: list, max: 40, item: {number: {type: digits, max: 16}, name: {type: name, max: 12}}}
  account: {type: digits, max: 16}
  name: {type: name, max: 12}
states:
  look:
    action: sample.accounts
    with: {phone: session.phone}
    save: {accounts: accounts}
    outcomes: {found: offer, unavailable: bye}
  offer:
    menu: {en: Hello, sw: Habari}
    options:
      - {text: {en: Accounts, sw: Akaunti}, goto: pick}
  pick:
    list: {en: Your accounts, sw: Akaunti zako}
    of: accounts
    item: "{name} {number:masked}"
    save: {account: number, name: name}
    empty: none
    goto: chosen
  chosen:
    menu: "{name} {account}"
    options:
      - {text: {en: Leave, sw: Toka}, goto: bye}
  none: {end: {en: No accounts, sw: Hakuna akaunti}}
  bye: {end: {en: Bye, sw: Kwaheri}}
"""
LISTING = {
    "sample.accounts": ActionSpec(
        name="sample.accounts",
        effect=False,
        inputs={"phone": Input(phone=True)},
        outcomes={"found": {"accounts": ListOf.of(number="string", name="string")}, "unavailable": {}},
    )
}


def holder_of(*accounts: tuple[str, str]) -> Phone:
    """A phone at its accounts, each a number and a name."""
    items = tuple({"number": number, "name": name} for number, name in accounts)
    return Phone(program_of(ACCOUNTS, actions=LISTING)).result("found", accounts=items).type("1")


def test_item_that_is_chosen_is_the_item_that_is_shown() -> None:
    """The number of an item is its own on every page, and what is kept is what stood beside it."""
    phone = holder_of(*((f"10000000{number:02}", f"Savings {number}") for number in range(1, 31)))
    seen: dict[str, str] = {}
    while True:
        lines = phone.text.splitlines()
        seen |= {number: text for number, dot, text in (line.partition(". ") for line in lines) if dot}
        if not lines[-1].endswith("98.More"):
            break
        phone.type("98")
    assert [*seen] == [str(number) for number in range(1, 31)]
    assert seen["17"] == "Savings 17 ******0017"
    assert phone.type("17").text.startswith("Savings 17 1000000017")


@pytest.mark.parametrize("typed_text", ["0x1", "4", "01", "-1", "", "1.", "\u0661", "1" * 80])
def test_number_that_no_item_has_is_told(typed_text: str) -> None:
    """Anything but a number on the list shows it again, with a word about it."""
    phone = holder_of(("1001", "One"), ("1002", "Two"), ("1003", "Three")).type(typed_text)
    assert phone.text.startswith("That is not one of the choices.\nYour accounts\n1. One 1001")
    assert phone.type("3").text.startswith("Three 1003")


def test_list_that_is_empty_shows_nothing() -> None:
    """It leads on, and back returns to the screen before it."""
    assert holder_of().text == "No accounts"


def test_back_returns_to_the_list_that_was_shown() -> None:
    """What was chosen from is still there: the session holds the list, whatever the bank has since."""
    phone = holder_of(("1001", "One"), ("1002", "Two"))
    shown = phone.text
    assert phone.type("2", "0").text == shown
    assert phone.type("1").text.startswith("One 1001")


def test_list_from_outside_is_cut_and_checked() -> None:
    """A bank that sends more than was declared shows what was; an item without its fields is no item."""
    phone = holder_of(*((f"{number:08}", "N") for number in range(50)))
    assert len(cast("tuple[object, ...]", phone.session.top.data["accounts"])) == 40
    with pytest.raises(IllegalMove, match="has not the fields number, name"):
        Phone(program_of(ACCOUNTS, actions=LISTING)).result("found", accounts=({"number": "1"},))
    with pytest.raises(IllegalMove, match="is no list"):
        Phone(program_of(ACCOUNTS, actions=LISTING)).result("found", accounts="1, 2")


def test_network_may_have_its_own_keys() -> None:
    """Where a gateway pages with 98 itself, another key says more; the screens say which."""
    program = program_of(ACCOUNTS, actions=LISTING)
    own = Profile(more="99", back="#", home="*")
    items = tuple({"number": f"{number:08}", "name": f"Savings {number}"} for number in range(30))
    phone = Phone(program, profile=own).result("found", accounts=items).type("1")
    first = phone.text
    assert first.splitlines()[-1] == "#.Back *.Home 99.More"
    assert phone.type("98").text.startswith("That is not one of the choices.")
    assert phone.type("99").text != first
    assert phone.type("#", "#").text.startswith("Hello")
