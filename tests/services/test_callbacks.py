"""Rules of one callback: what is a new input, what is a repetition, and what nobody may do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.runtime.parts import program_of
from tests.services.callback_parts import FLOW, PHONE, PIN, PROGRAM, SESSION, Engine
from ussd_engine.ports import EndReport
from ussd_engine.services.callbacks import inputs_of, latest_input

HELLO = "Hello Jane Sample\n1. Pay\n2. Note\n3. Pay twice\n4. Swahili\n5. Look on\n9. Leave"
WRONG = "That is not one of the choices.\n"


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, object]]]:
    """No test of this module may make a log line with a phone number, an input, a PIN or a session id in it."""
    with capture_logs() as events:
        yield events  # type: ignore[misc]  # structlog's events are mutable mappings
    everything = repr(events) + caplog.text
    for personal in (PHONE, PHONE[1:], "711222333", PIN, SESSION, "secret note"):
        assert personal not in everything


async def test_dial_reads_and_saves_once() -> None:
    """A dial runs its reads, and saves when there is a screen to show: one load, one save."""
    engine = Engine()
    screen = await engine.send("")
    assert (screen.text, screen.end, screen.label) == (HELLO, False, "sample.hello")
    assert engine.store.log == ["load", "save"]
    assert [action for action, _ in engine.actions.runs] == ["sample.lookup"]


async def test_input_costs_two_round_trips() -> None:
    """An input is one load and one save."""
    engine = Engine()
    await engine.send("")
    engine.store.log.clear()
    assert (await engine.send("2")).text == "Your note\n0.Back 00.Home"
    assert engine.store.log == ["load", "save"]


@pytest.mark.parametrize("transcripts", [("", ""), ("", "2", "2"), ("", "2", "2*a", "2*a"), ("", "7", "7")])
async def test_repeated_callback_moves_nothing(transcripts: tuple[str, ...]) -> None:
    """The same transcript again gets the same screen, with a load and nothing else."""
    engine = Engine()
    first = await engine.walk(*transcripts[:-1])
    before, runs = engine.store.session(), list(engine.actions.runs)
    engine.store.log.clear()
    assert await engine.send(transcripts[-1]) == first
    assert engine.store.log == ["load"]
    assert (engine.store.session(), engine.actions.runs) == (before, runs)


async def test_same_key_twice_is_two_inputs() -> None:
    """`1` and then `1*1` are two turns: the transcript's length tells them apart."""
    engine = Engine()
    assert (await engine.walk("", "2", "2*2")).text.startswith("Noted 2\n")
    assert (await engine.send("2*2*1")).text.startswith("Your note")
    assert (await engine.send("2*2*1*1")).text.startswith("Noted 1\n")


@pytest.mark.parametrize("stale", ["", "2", "2*a", "1*a*1", "9"])
async def test_stale_callback_moves_nothing(stale: str) -> None:
    """A transcript that is behind, or of another way, gets the screen that stands."""
    engine = Engine()
    standing = await engine.walk("", "2", "2*a", "2*a*1")
    before = engine.store.session()
    assert await engine.send(stale) == standing
    assert engine.store.session() == before


@pytest.mark.parametrize("other", ["2*b*1*c", "1*a*1*x", "2*a*12", "2*a*1x*9"])
async def test_longer_transcript_of_another_way_moves_nothing(other: str) -> None:
    """A longer transcript that does not continue the one that was seen is not an input."""
    engine = Engine()
    standing = await engine.walk("", "2", "2*a", "2*a*1")
    assert await engine.send(other) == standing
    assert (await engine.send("2*a*1*b")).text.startswith("Noted b\n")


@pytest.mark.parametrize(
    ("transcript", "noted"),
    [
        ("2*a", "a"),
        ("2*a*b", "a*b"),
        ("2***", "**"),
        ("2**", "*"),
        ("2* a  b ", "a b"),
        ("2*#", "#"),
        ("2*é€😀", "é€😀"),
    ],
)
async def test_stars_of_the_subscriber_are_kept(transcript: str, noted: str) -> None:
    """The input is the transcript without the previous one and one `*`: further stars were typed."""
    engine = Engine()
    assert (await engine.walk("", "2", transcript)).text.startswith(f"Noted {noted}\n")


async def test_star_on_a_menu_is_an_input() -> None:
    """`*` as the first key is an input of its own, and so is one after another."""
    engine = Engine()
    assert (await engine.walk("", "*")).text == WRONG + HELLO
    assert (await engine.send("**2")).text.startswith("Your note")


async def test_empty_answer_is_an_answer() -> None:
    """Sending nothing is an answer: a wrong one here, after which the next one counts."""
    engine = Engine()
    assert (await engine.walk("", "2", "2*")).text.startswith("That answer cannot be used.\nYour note")
    assert (await engine.send("2**a")).text.startswith("Noted a\n")


async def test_empty_first_answer_does_not_spoil_the_next() -> None:
    """Sending nothing on the first screen cannot be told from the dial; the next key is that key."""
    engine = Engine()
    assert (await engine.walk("", "", "*2")).text.startswith("Your note")
    assert (await engine.send("*2*a")).text.startswith("Noted a\n")


@pytest.mark.parametrize(
    "change", [{"phone": "+254711222334"}, {"code": "*200#"}, {"phone": "+255711222333", "code": "*100*2#"}]
)
async def test_other_caller_or_service_code_is_refused(
    change: dict[str, str], logged: list[dict[str, object]]
) -> None:
    """Caller and service code are fixed by the first callback; the session itself goes on untouched."""
    engine = Engine()
    await engine.walk("", "2")
    before = engine.store.session()
    screen = await engine.send("2*a", **change)
    assert (screen.text, screen.end) == ("Sorry, something went wrong. Please dial again later.", True)
    assert engine.store.session() == before
    assert [event["event"] for event in logged] == ["session_conflict"]
    assert (await engine.send("2*a")).text.startswith("Noted a\n")


async def test_network_may_change() -> None:
    """An unknown network code, or another one in mid-session, takes the default profile and goes on."""
    engine = Engine()
    assert (await engine.send("", network="00000")).text == HELLO
    assert (await engine.send("2", network="")).text.startswith("Your note")


async def test_unknown_service_code(logged: list[dict[str, object]]) -> None:
    """A code that no flow is dialled by is answered politely, and the operators are told which one it is."""
    engine = Engine()
    screen = await engine.send("", code="*555#")
    assert (screen.end, screen.label) == (True, "sorry")
    assert [(event["event"], event["service_code"]) for event in logged] == [
        ("no_flow_for_service_code", "*555#")
    ]
    assert engine.store.log == ["load"]


async def test_ended_session_repeats_its_end() -> None:
    """After its end a session answers everything with its last screen."""
    engine = Engine()
    end = await engine.walk("", "9")
    assert (end.text, end.end) == ("Goodbye", True)
    for transcript in ("", "9", "9*1", "9*1*2", "2"):
        assert await engine.send(transcript) == end
    assert engine.store.log.count("save") == 2


async def test_pin_is_neither_stored_nor_shown() -> None:
    """The transcript repeats the PIN in every later callback: neither the store nor a screen has it."""
    engine = Engine()
    screen = await engine.walk("", "2", "2*a", "2*a*2", f"2*a*2*{PIN}")
    assert screen.text == "Paid, receipt 100"
    assert PIN.encode() not in repr(engine.store._entries).encode()
    assert PIN not in repr(engine.store.session())


async def test_session_of_another_gateway_is_another_session() -> None:
    """Two sessions never meet, whatever their ids."""
    engine = Engine()
    await engine.walk("", "2")
    assert (await engine.send("", session="other")).text == HELLO
    assert (await engine.send("2*a")).text.startswith("Noted a\n")


@pytest.mark.parametrize(
    ("transcript", "inputs"),
    [
        ("", []),
        ("1", [("1", "1")]),
        ("1*1", [("1", "1"), ("1", "1*1")]),
        ("1*22*333", [("1", "1"), ("22", "1*22"), ("333", "1*22*333")]),
        ("*", [("*", "*")]),
        ("**", [("*", "**")]),
        ("1*", [("1", "1"), ("", "1*")]),
        ("1**", [("1", "1"), ("*", "1**")]),
        ("1**2", [("1", "1"), ("", "1*"), ("2", "1**2")]),
        ("1*2**", [("1", "1"), ("2", "1*2"), ("*", "1*2**")]),
        ("1***", [("1", "1"), ("", "1*"), ("*", "1***")]),
        ("*1", [("1", "*1")]),
        ("*1*2", [("1", "*1"), ("2", "*1*2")]),
    ],
)
def test_inputs_of_a_whole_transcript(transcript: str, inputs: list[tuple[str, str]]) -> None:
    """Each input comes with the transcript that its own callback had."""
    assert inputs_of(transcript) == inputs


@pytest.mark.parametrize(
    ("transcript", "seen", "text"),
    [
        ("", 0, None),
        ("1", 0, "1"),
        ("*", 0, "*"),
        ("**", 0, "*"),
        ("*1", 0, "1"),
        ("1*2", 1, "2"),
        ("1*", 1, ""),
        ("1**", 1, "*"),
        ("1*a*b", 1, "a*b"),
        ("12", 1, None),
        ("1", 1, None),
    ],
)
def test_latest_input_of_a_transcript(transcript: str, seen: int, text: str | None) -> None:
    """The input is what follows the part that was seen, without one `*`."""
    assert latest_input(transcript, seen) == text


async def test_deep_dial_plays_all_inputs() -> None:
    """`*100*2*a*1#` dialled at once answers with the screen that the keys lead to, in one save."""
    engine = Engine()
    assert (await engine.send("2*a*1")).text.startswith("Your note")
    assert engine.store.log == ["load", "save"]
    assert (await engine.send("2*a*1*b")).text.startswith("Noted b\n")


async def test_deep_dial_of_wrong_keys_ends_on_a_screen() -> None:
    """Keys that are no choices are wrong choices; keys beyond the end play no more."""
    engine = Engine()
    assert (await engine.send("7*8")).text == WRONG + HELLO
    assert (await Engine().send("9*1*2*3")).text == "Goodbye"
    assert (await Engine().send("*".join("7" * 500))).text == WRONG + HELLO


async def test_deep_dial_runs_an_effect_as_the_turns_would_have() -> None:
    """Whether keys come one by one or all at once, the effect has the same workflow id."""
    slow, fast = Engine(), Engine()
    ended = await slow.walk("", "1", f"1*{PIN}")
    assert await fast.send(f"1*{PIN}") == ended
    assert fast.actions.payments == slow.actions.payments
    assert len(fast.actions.payments) == 1


async def test_language_is_that_of_the_session() -> None:
    """A refusal in mid-session is in the language that the subscriber chose."""
    engine = Engine()
    await engine.walk("", "4")
    screen = await engine.send("4*1", phone="+254700000000")
    assert screen.text == "Samahani, kuna hitilafu. Tafadhali piga tena baadaye."


async def test_words_of_the_flow_for_what_went_wrong() -> None:
    """A flow may word the polite end."""
    words = "Please call us on 0800 000 000."
    program = program_of(
        FLOW.replace("states:", f'texts: {{sorry: {{en: "{words}", sw: "{words}"}}}}\nstates:', 1)
    )
    engine = Engine(program=program)
    await engine.send("")
    screen = await engine.send("1", phone="+254700000000")
    assert (screen.text, screen.end) == (words, True)


async def test_end_report_is_noted_without_the_subscriber(logged: list[dict[str, object]]) -> None:
    """What a gateway tells of an ended session is logged by digest, status and last state."""
    report = EndReport(
        gateway="at",
        session_id=SESSION,
        phone_number=PHONE,
        service_code="*100#",
        network="63902",
        status="incomplete",
        duration_ms=1200,
        hops=3,
        hop_labels=("sample.hello", "sample.ask_pin"),
        cost=None,
        error=f"CON {PIN}",
    )
    await Engine().callbacks.ended(report)
    assert [(event["event"], event["status"], event["last_label"]) for event in logged] == [
        ("session_ended", "incomplete", "sample.ask_pin")
    ]


def test_program_of_these_tests_is_the_flow() -> None:
    """The flow of these tests compiles without a warning."""
    assert PROGRAM.dial == {"*100#": "sample"}
