"""Rules of a dial after the line dropped: what the flow's authors have chosen, and nothing runs twice."""

from __future__ import annotations

import asyncio
from random import Random

from tests.runtime.parts import KEYS, program_of
from tests.services.callback_parts import FLOW, Engine, SampleStore
from ussd_engine.runtime.happenings import Result
from ussd_engine.runtime.program import Program
from ussd_engine.runtime.session import loads
from ussd_engine.services.actions import Invocation

QUESTION = "You were not done when the line dropped.\n1. Go on\n2. Start again"
HELLO = "Hello Jane Sample"


TELLS = """
flow: sample
dial: ["*100#"]
languages: [en]
start: ask_pin
data:
  code: {type: pin}
states:
  ask_pin:
    ask: PIN
    save: code
    goto: behind
  behind:
    menu: Behind the PIN
    options:
      - {text: On, goto: behind}
      - {text: Leave, goto: bye}
    home: off
  bye: {end: Goodbye}
"""


def resuming(how: str, minutes: int = 5, flow: str = FLOW) -> Program:
    return program_of(
        flow.replace("start: look", f"start: look\nresume: {how}\nresume_within_min: {minutes}")
    )


def engine(how: str, store: SampleStore | None = None) -> Engine:
    return Engine(store, program=resuming(how))


async def at_the_note(phone: Engine) -> None:
    """A session that was dropped where it asks for a note."""
    assert (await phone.send("", session="first")).text.startswith(HELLO)
    assert (await phone.send("2", session="first")).text.startswith("Your note")


async def test_flow_that_says_nothing_starts_again() -> None:
    """The default: a new session is a new session."""
    phone = Engine()
    await at_the_note(phone)
    assert (await phone.send("", session="second")).text.startswith(HELLO)


async def test_continue_goes_on_where_the_line_dropped() -> None:
    """With the data, the way back and the language; what is typed then counts in the new session."""
    phone = engine("continue")
    await at_the_note(phone)
    assert (await phone.send("", session="second")).text.startswith("Your note")
    assert (await phone.send("Rent", session="second")).text.startswith("Noted Rent")
    assert (await phone.send("Rent*0", session="second")).text.startswith("Your note")


async def test_ask_lets_the_subscriber_choose() -> None:
    """One question, in the session's language; anything but its two keys asks again."""
    phone = engine("ask")
    await at_the_note(phone)
    assert (await phone.send("", session="second")).text == QUESTION
    again = await phone.send("7", session="second")
    assert (again.text, again.end) == (f"That is not one of the choices.\n{QUESTION}", False)
    assert (await phone.send("7*1", session="second")).text.startswith("Your note")
    assert (await phone.send("", session="third")).text == QUESTION
    assert (await phone.send("2", session="third")).text.startswith(HELLO)


async def test_session_that_is_gone_on_with_is_over() -> None:
    """A late callback of the dropped session gets its last screen, and moves nothing."""
    phone = engine("continue")
    await at_the_note(phone)
    await phone.send("", session="second")
    assert (await phone.send("2*Late", session="first")).text.startswith("Your note")
    assert (await phone.send("Rent", session="second")).text.startswith("Noted Rent")


async def test_session_that_has_ended_is_not_gone_on_with() -> None:
    """Who left has nothing to go on with, and who got an answer neither."""
    phone = engine("continue")
    await phone.send("", session="first")
    assert (await phone.send("9", session="first")).end
    assert (await phone.send("", session="second")).text.startswith(HELLO)


async def test_answers_behind_the_code_are_for_the_start() -> None:
    """A deep dial goes on with nothing; the dial after it goes on with the deep one."""
    phone = engine("continue")
    await at_the_note(phone)
    assert (await phone.send("9", session="second")).text == "Goodbye"
    assert (await phone.send("2*Rent", session="third")).text.startswith("Noted Rent")
    assert (await phone.send("", session="fourth")).text.startswith("Noted Rent")


async def test_another_phone_has_nothing_to_go_on_with() -> None:
    """A session is its caller's, by the number that the network gives."""
    phone = engine("continue")
    await at_the_note(phone)
    other = await phone.send("", session="second", phone="+254711222444")
    assert other.text.startswith(HELLO)


async def test_too_late_starts_again() -> None:
    """After the minutes that the flow gives, a dial is a dial."""
    phone = engine("continue")
    await at_the_note(phone)
    stored = phone.store.peek("at:first")
    assert stored is not None
    phone.store.rewrite("at:first", stored.replace(b'"seen_at":', b'"seen_at":-'))
    assert (await phone.send("", session="second")).text.startswith(HELLO)


async def test_action_under_way_is_not_run_again() -> None:
    """The line dropped while the bank worked: who dials again meets the same work, whatever comes of it."""
    phone = engine("continue")
    await phone.send("", session="first")
    await phone.send("1", session="first")

    async def breaks(action: str, _invocation: Invocation) -> Result | None:
        if action == "sample.pay":
            raise RuntimeError("the process is gone for a test")
        return None

    phone.actions.before = breaks
    await phone.send("1*8350", session="first")
    phone.actions.before = None
    again = await phone.send("", session="second")
    assert again.text.startswith(HELLO), "it has ended with the payment; there is nothing to go on with"
    assert list(phone.actions.payments.values()) == [10]
    paid = await phone.send("1*8350", session="first")
    assert (paid.text, paid.end) == ("Paid, receipt 100", True)
    assert len(phone.actions.payments) == 1


async def test_dial_that_is_repeated_stands_where_it_stood() -> None:
    """A gateway may send the first callback twice at once: both get the screen that was dropped."""
    for seed in range(20):
        phone = engine("continue", SampleStore(Random(seed)))
        await at_the_note(phone)
        screens = await asyncio.gather(phone.send("", session="second"), phone.send("", session="second"))
        assert [screen.text.split("\n")[0] for screen in screens] == ["Your note", "Your note"]


async def test_dial_that_was_cut_off_is_taken_up() -> None:
    """A process that died over the dial has lost nothing: the next try goes on."""
    for saves in range(3):  # of its number, of the dropped session, of its own
        phone = engine("continue")
        await at_the_note(phone)
        phone.store.saves_left = saves
        assert (await phone.send("", session="second")).label == "sorry"
        phone.store.saves_left = None
        assert (await phone.send("", session="second")).text.startswith("Your note")


async def test_dial_during_an_action_stands_where_it_leads() -> None:
    """The line dropped while the bank worked, and its answer comes while the subscriber dials again."""
    paid_then_noted = FLOW.replace("outcomes: {done: paid, pending", "outcomes: {done: noted, pending", 1)
    for seed in range(20):
        store = SampleStore(Random(seed))
        phone = Engine(
            store,
            program=resuming(
                "continue", flow=paid_then_noted.replace("type: pin", "type: digits, max: 4, secret: true")
            ),
        )
        await phone.send("", session="first")
        await phone.send("1", session="first")
        await asyncio.gather(phone.send("1*8350", session="first"), phone.send("", session="second"))
        assert list(phone.actions.payments.values()) == [10]
        assert stands_at(phone, "first") is None
        assert stands_at(phone, "second") in {"noted", "ask_pin"}, "after the payment, or before it"


async def test_flow_that_was_dropped_says_whether_it_asks() -> None:
    """A session stays on its revision: one that was promised to go on does so, whatever was published since."""
    phone = engine("continue")
    await at_the_note(phone)
    phone.programs.all.append(resuming("ask"))
    assert (await phone.send("", session="second")).text.startswith("Your note")
    assert (await phone.send("Rent", session="second")).text.startswith("Noted Rent")


async def test_who_starts_again_starts_on_the_flows_as_they_are() -> None:
    """The question is the old revision's, the start is the new one's."""
    phone = engine("ask")
    await at_the_note(phone)
    phone.programs.all.append(resuming("ask", flow=FLOW.replace("Hello {name}", "Welcome {name}")))
    assert (await phone.send("", session="second")).text == QUESTION
    assert (await phone.send("2", session="second")).text.startswith("Welcome Jane Sample")
    assert (await phone.send("2*2", session="second")).text.startswith("Your note")


async def test_who_has_done_nothing_has_nothing_to_go_on_with() -> None:
    """A dial that dropped at its first screen is not asked about, unless it went on with another one."""
    phone = engine("ask")
    await phone.send("", session="first")
    assert (await phone.send("", session="second")).text.startswith(HELLO)
    assert (await phone.send("2", session="second")).text.startswith("Your note")
    assert (await phone.send("", session="third")).text == QUESTION
    assert (await phone.send("", session="fourth")).text == QUESTION


async def test_what_a_pin_has_opened_is_closed_to_the_next_dial() -> None:
    """Who has told a PIN starts again, however soon: the phone may be in other hands."""
    phone = Engine(program=program_of(TELLS.replace("start:", "resume: continue\nstart:", 1)))
    await phone.send("", session="first")
    assert (await phone.send("8350", session="first")).text == "Behind the PIN\n1. On\n2. Leave\n0.Back"
    assert (await phone.send("", session="second")).text == "PIN"


async def test_dropped_session_that_cannot_be_read_is_left() -> None:
    """It costs the subscriber what was typed, not the dial."""
    phone = engine("continue")
    await at_the_note(phone)
    phone.store.rewrite("at:first", b"{}")
    assert (await phone.send("", session="second")).text.startswith(HELLO)


async def test_two_dials_at_once_go_on_once() -> None:
    """Whoever is first goes on with the dropped session; nobody stands there twice."""
    for seed in range(20):
        phone = engine("continue", SampleStore(Random(seed)))
        await at_the_note(phone)
        screens = await asyncio.gather(phone.send("", session="second"), phone.send("", session="third"))
        assert not any(screen.end for screen in screens)
        open_at_note = [name for name in ("first", "second", "third") if stands_at(phone, name) == "ask_note"]
        assert len(open_at_note) <= 1


def stands_at(phone: Engine, name: str) -> str | None:
    raw = phone.store.peek(f"at:{name}")
    session = loads(raw, KEYS) if raw else None
    return session.top.state if session and not session.ended else None
