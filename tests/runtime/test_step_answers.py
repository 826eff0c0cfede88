"""Rules of asked answers, actions, called flows, languages and secrets in a turn."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from msgspec.structs import replace

from tests.runtime.parts import KEYS, NOW, Phone, flow, program_of, typed
from ussd_engine.errors import IllegalMove
from ussd_engine.flow.guards import GuardError
from ussd_engine.flow.pager import Profile
from ussd_engine.runtime.happenings import Proceed, Result, Run
from ussd_engine.runtime.program import Program
from ussd_engine.runtime.session import Secret, dumps
from ussd_engine.runtime.step import step, waits_for_action

ASK = flow(
    """
    hello:
      ask: Town
      save: town
      wrong: Letters only
      tries: {max: 3, then: sorry}
      goto:
        - {when: town == 'Thika', goto: thika}
        - else: other
    thika: {end: "In Thika"}
    other:
      ask: "More of {town}"
      save: note
      goto: bye
    sorry:
      menu: Sorry
      options:
        - {text: Again, goto: hello}
    bye: {end: "{town} {note}"}
    """,
    head="data: {town: {type: name, max: 20}, note: {type: text}}",
)


def test_answer_is_kept_and_chooses_the_way() -> None:
    """An answer is saved in its normal form, and the cases of a goto read it."""
    program = program_of(ASK)
    assert Phone(program).type(" Thika ").text == "In Thika"
    assert Phone(program).type("Embu").text == "More of Embu\n0.Back 00.Home"
    assert Phone(program).type("Embu", "a*b").text == "Embu a*b"


def test_wrong_answer_is_told_and_counted() -> None:
    """A wrong answer shows the question again with its word; the last try leads on."""
    phone = Phone(program_of(ASK))
    assert phone.type("123").text == "Letters only\nTown"
    assert phone.type("").text == "Letters only\nTown"
    assert phone.session.tries == 2
    assert phone.type("4").text == "Sorry\n1. Again\n00.Home"


def test_tries_start_anew_with_the_screen() -> None:
    """Who comes to the question again has all tries again."""
    phone = Phone(program_of(ASK)).type("1", "2", "3", "1")
    assert phone.text.startswith("Town\n")
    assert phone.type("1").text.startswith("Letters only\nTown")
    assert phone.session.tries == 1


def test_longer_than_the_network_takes_is_no_answer() -> None:
    """Input beyond the network's length was cut on the way, so it is not taken."""
    program = program_of(
        flow(
            "hello:\n  ask: Note\n  save: note\n  goto: bye\nbye: {end: Bye}",
            head="data: {note: {type: text}}",
        )
    )
    assert (
        Phone(program, profile=Profile(input_max=5)).type("123456").text
        == "That answer cannot be used.\nNote"
    )
    assert Phone(program, profile=Profile(input_max=5)).type("12345").text == "Bye"


def test_braces_and_stars_in_an_answer_are_text() -> None:
    """A value is shown as it is: it holds no placeholder and no key."""
    assert Phone(program_of(ASK)).type("Embu", "{town} 0*1#").text == "Embu {town} 0*1#"


def test_navigation_keys_come_before_answers() -> None:
    """On a question with something behind, `0` goes back; on the first one it is an answer."""
    phone = Phone(program_of(ASK))
    assert phone.type("0").text == "Letters only\nTown"
    assert phone.type("Embu", "0").text == "Town\n00.Home"


def test_age_is_that_of_the_day_of_the_answer() -> None:
    """The clock of the turn decides, not that of the dial."""
    head = "data: {born: {type: date, secret: true}}"
    states = """
        hello:
          ask: Born
          save: born
          accept: {date: DDMMYYYY, min_age: 18}
          goto: bye
        bye: {end: Bye}
        """
    program = program_of(flow(states, head=head))
    assert Phone(program).type("25112008").text.startswith("That answer cannot be used.")
    assert Phone(program, now=datetime(2026, 11, 25, tzinfo=UTC)).type("25112008").text == "Bye"


ACTION = flow(
    """
    hello:
      menu: Hello
      options:
        - {text: Look, goto: look}
        - {text: Pay, goto: ask_pin}
    look:
      action: sample.lookup
      with: {phone: session.phone}
      save: {name: full_name, visits: visits, active: active}
      outcomes:
        found:
          - {when: active, goto: found}
          - else: hello
        missing: hello
        unavailable: bye
    ask_pin:
      ask: PIN
      save: code
      goto: pay
    pay:
      action: sample.pay
      with: {phone: session.phone, amount: "visits + 1", pin: code}
      save: {receipt: receipt}
      outcomes: {done: paid, pending: bye, unavailable: look}
    found: {end: "{name} {visits} {active}"}
    paid: {end: "Paid {receipt}"}
    bye: {end: Bye}
    """,
    head="""
    data:
      name: {type: name, max: 10, default: Nobody}
      visits: {type: number, default: 0}
      active: {type: flag, default: false}
      code: {type: pin}
      receipt: {type: digits, max: 6}
    """.replace("\n    ", "\n"),
)


@pytest.fixture(scope="module")
def action() -> Program:
    return program_of(ACTION)


def test_action_is_asked_for_with_its_inputs(action: Program) -> None:
    """A turn that comes to an action says what to run, and the session waits there."""
    phone = Phone(action).type("1")
    assert phone.run == Run("sample.lookup", effect=False, inputs={"phone": "+254711000001"})
    assert waits_for_action(action, phone.session)
    assert phone.session.receipt is None
    assert phone.happen(Proceed()).run.action == "sample.lookup"


def test_outputs_are_saved_and_choose_the_way(action: Program) -> None:
    """The outcome leads on, with the outputs of its own; what did not come stays as it was."""
    found = Phone(action).type("1").result("found", full_name="Jane Sample", visits=4, active=True)
    assert found.text == "Jane Sampl 4 true"
    assert found.session.acted == 1
    again = Phone(action).type("1").result("found", visits=4)
    assert again.text.startswith("Hello")
    assert again.session.top.data["visits"] == 4
    assert "name" not in again.session.top.data


def test_one_action_after_another_counts(action: Program) -> None:
    """The actions of a turn are counted, so that each has an identity of its own."""
    phone = Phone(action).type("2", "1234").result("unavailable")
    assert (phone.run.action, phone.session.acted) == ("sample.lookup", 1)
    assert phone.result("missing").session.acted == 2


def test_secret_goes_to_the_action_alone(action: Program) -> None:
    """A PIN is revealed to the action that takes it; neither screen, receipt, repr nor stored bytes hold it."""
    phone = Phone(action).type("2")
    assert phone.text == "PIN\n0.Back 00.Home"
    phone.type("8350")
    assert phone.run.inputs["pin"] == "8350"
    assert "8350" not in repr(phone.run) + repr(phone.session) + repr(typed("8350")) + repr(
        Result("x", {"a": "8350"})
    )
    assert b"8350" not in dumps(phone.session, KEYS)
    assert phone.session.top.data["code"] == Secret("8350")
    phone.result("done", receipt="123456")
    assert phone.text == "Paid 123456"
    assert b"8350" not in dumps(phone.session, KEYS)


@pytest.mark.parametrize(
    ("outcome", "outputs"),
    [
        ("finished", {}),
        ("found", {"visits": "4"}),
        ("found", {"visits": 10**19}),
        ("found", {"full_name": 4}),
        ("found", {"active": "yes"}),
    ],
)
def test_wrong_result_of_an_action_is_an_error(
    action: Program, outcome: str, outputs: dict[str, str | int]
) -> None:
    """An outcome that the flow does not know, or an output of another kind, moves nothing."""
    phone = Phone(action).type("1")
    before = phone.session
    with pytest.raises(IllegalMove):
        phone.result(outcome, **outputs)
    assert phone.session == before


def test_output_with_control_characters_is_cleaned(action: Program) -> None:
    """What a bank sends is shown as one clean line, never longer than declared."""
    phone = (
        Phone(action)
        .type("1")
        .result("found", full_name="Ja\x00ne\r\n\x1b[2JX" + "y" * 99, active=True, visits=0)
    )
    assert phone.text == "Ja ne 2JXy 0 true"


def test_happening_that_does_not_suit_the_state(action: Program) -> None:
    """A state takes what it waits for: no input at an action, no result at a menu."""
    with pytest.raises(IllegalMove, match="state 'look' takes no input"):
        Phone(action).type("1").type("1")
    with pytest.raises(IllegalMove, match="state 'hello' waits for no action"):
        Phone(action).result("found")


def test_condition_that_cannot_be_computed() -> None:
    """A condition that divides by zero does not hold: the other cases decide, and the option is not shown."""
    states = """
        hello:
          route:
            - {when: 1 / visits > 0, goto: bye}
            - else: pick
        pick:
          menu: Pick
          options:
            - {text: Never, when: 1 / visits > 0, goto: bye}
            - {text: Always, goto: bye}
        bye: {end: Bye}
        """
    phone = Phone(program_of(flow(states, head="data: {visits: {type: number, default: 0}}")))
    assert phone.text == "Pick\n1. Always"


def test_accept_that_cannot_be_computed_is_a_wrong_answer() -> None:
    """Letters where the author's condition reckons with a number are a wrong answer, not the end."""
    states = """
        hello: {ask: Amount, save: amount, accept: {when: int(answer) > 100}, wrong: Too little, goto: bye}
        bye: {end: Bye}
        """
    phone = Phone(program_of(flow(states, head="data: {amount: {type: text, max: 20}}")))
    assert phone.type("abc").text == "Too little\nAmount"
    assert phone.type("101").text == "Bye"


def test_value_that_cannot_be_computed() -> None:
    """A value that an option sets and that cannot be computed is an error of the turn, not a wrong value."""
    states = """
        hello:
          menu: Hello
          options: [{text: Go, goto: bye, set: {visits: 1 / visits}}]
        bye: {end: Bye}
        """
    with pytest.raises(GuardError, match="cannot be computed"):
        Phone(program_of(flow(states, head="data: {visits: {type: number, default: 0}}"))).type("1")


CALLER = flow(
    """
    hello:
      menu: "Hello {town}"
      options:
        - {text: Call, goto: part}
        - {text: Call twice, goto: twice}
    part:
      call: part
      with: {town: "town + '!'", code: "'1234'"}
      save: {town: result, shade: shade}
      outcomes:
        done: shown
        left: hello
    twice:
      call: part
      with: {town: "'x'", code: "'1'"}
      outcomes: {done: part, left: part}
    shown:
      menu: "Got {town} {shade}"
      options:
        - {text: Leave, goto: bye}
    bye: {end: Bye}
    """,
    head="""
    data:
      town: {type: text, default: Embu}
      shade: {type: choice, of: [red, blue]}
    """.replace("\n    ", "\n"),
)
PART = """
flow: part
languages: [en]
inputs: [town, code]
outputs: [result, shade]
start: pick
keys: {back: "9"}
data:
  town: {type: text}
  code: {type: digits, secret: true}
  result: {type: text}
  shade: {type: choice, of: [red, blue]}
states:
  pick:
    menu: "Part {town}"
    options:
      - {text: Ask, goto: ask}
      - {text: Leave, goto: left}
      - {text: Deeper, goto: deeper}
      - {text: Look, goto: look}
  ask:
    ask: Result
    save: result
    goto: shade
  shade:
    ask: Shade
    save: shade
    goto: done
  deeper:
    call: part
    with: {town: "town + '+'", code: code}
    save: {result: result, shade: shade}
    outcomes: {done: done, left: pick}
  look:
    action: sample.lookup
    with: {phone: session.phone}
    outcomes: {found: pick, missing: left, unavailable: left}
  done:
    end: "Part ends"
    outcome: done
  left:
    end:
    outcome: left
"""


@pytest.fixture(scope="module")
def calling() -> Program:
    return program_of(CALLER, PART)


def test_called_flow_has_data_of_its_own(calling: Program) -> None:
    """Inputs come in under their own names; what the caller has is neither seen nor changed."""
    phone = Phone(calling).type("1")
    assert phone.text == "Part Embu!\n1. Ask\n2. Leave\n3. Deeper\n4. Look\n9.Back 00.Home"
    assert phone.session.frames[0].data == {}
    assert phone.session.frames[1].data == {"town": "Embu!", "code": Secret("1234")}


def test_called_flow_gives_back_its_outputs(calling: Program) -> None:
    """Outputs are saved under the caller's names, and the outcome leads on; the text of the end is not shown."""
    phone = Phone(calling).type("1", "1", "Thika", "RED")
    assert phone.text == "Got Thika red\n1. Leave\n0.Back 00.Home"
    assert len(phone.session.frames) == 1


def test_output_that_was_not_filled_is_empty(calling: Program) -> None:
    """A way through the called flow that fills nothing gives nothing back, and no error."""
    assert Phone(calling).type("1", "2").text.startswith("Hello \n")


def test_back_leads_out_of_a_called_flow(calling: Program) -> None:
    """Back on the first screen of a called flow shows the caller's; home leaves it altogether."""
    phone = Phone(calling)
    assert phone.type("1", "9").text == "Hello Embu\n1. Call\n2. Call twice\n00.Home"
    assert phone.session.frames[0].flow == "sample"
    assert len(phone.session.frames) == 1
    assert phone.type("1", "1", "9").text.startswith("Part Embu!")
    assert phone.type("00").text == "Hello Embu\n1. Call\n2. Call twice"


def test_back_does_not_lead_into_a_flow_that_has_ended(calling: Program) -> None:
    """When a called flow has come back, its screens are behind no key; the caller's are."""
    phone = Phone(calling).type("1", "1", "Thika", "red")
    assert phone.type("0").text.startswith("Hello Thika")
    assert "Back" not in phone.text


def test_back_through_calls_of_calls(calling: Program) -> None:
    """Flows within flows are left one by one."""
    phone = Phone(calling).type("1", "3", "3")
    assert phone.text.startswith("Part Embu!++")
    assert phone.type("9").text.startswith("Part Embu!+\n")
    assert phone.type("9").text.startswith("Part Embu!\n")
    assert phone.type("9").text.startswith("Hello Embu")


def test_calls_of_calls_come_back_one_by_one(calling: Program) -> None:
    """Each end returns to its own caller."""
    phone = Phone(calling).type("1", "3", "3", "1", "Thika", "blue")
    assert phone.text.startswith("Got Thika blue")


def test_call_after_call_without_a_screen(calling: Program) -> None:
    """A flow that ends may lead right into the next call."""
    phone = Phone(calling).type("2")
    assert phone.text.startswith("Part x\n")
    assert phone.type("2").text.startswith("Part Embu!\n")
    assert phone.type("9").text.startswith("Hello")


def test_action_in_a_called_flow_closes_the_way_back(calling: Program) -> None:
    """No key leads back across an action, in whatever flow it ran."""
    phone = Phone(calling).type("1", "4").result("found")
    assert phone.text == "Part Embu!\n1. Ask\n2. Leave\n3. Deeper\n4. Look\n00.Home"
    assert phone.type("9").text.startswith("That is not one of the choices.")


def test_flow_that_was_dialled_itself_shows_its_end(calling: Program) -> None:
    """The text of an end with an outcome is for the subscriber who dialled that flow."""
    phone = Phone(calling, flow="part").type("1", "Thika", "red")
    assert (phone.text, phone.screen.end) == ("Part ends", True)


def test_flow_that_ends_without_a_caller_that_waits(calling: Program) -> None:
    """A session whose caller stands at no call, or does not know the outcome, is an error."""
    phone = Phone(calling).type("1")
    lost = replace(phone.session, frames=(replace(phone.session.frames[0], state="hello"), phone.session.top))
    with pytest.raises(IllegalMove, match="flow 'part' ends with 'left', which its caller does not know"):
        step(calling, lost, typed("2"), NOW, Profile())


def test_calls_have_a_depth() -> None:
    """Flows that call on and on are cut off: a session that is stored is bounded."""
    deep = """
        flow: {name}
        languages: [en]
        start: deeper
        states:
          deeper:
            call: {callee}
            outcomes: {{done: done}}
          done: {{end: Done, outcome: done}}
        """
    last = "flow: level_20\nlanguages: [en]\nstart: done\nstates: {done: {end: Done, outcome: done}}"
    names = ["sample", *(f"level_{number}" for number in range(1, 21))]
    flows = [deep.format(name=name, callee=callee) for name, callee in pairwise(names)]
    with pytest.raises(IllegalMove, match="calls too deeply"):
        Phone(program_of(*flows, last))


LANGUAGES = """
flow: sample
languages: [en, sw]
start: hello
data:
  language: {type: choice, of: [en, sw]}
states:
  hello:
    menu: {en: Hello, sw: Habari}
    options:
      - {text: Kiswahili, goto: hello, set: {language: "'sw'"}}
      - {text: {en: Type it, sw: Andika}, goto: ask}
      - {text: {en: Part, sw: Sehemu}, goto: part}
      - {text: Klingon, goto: hello, set: {language: "language + 'x'"}}
      - {text: {en: English only, sw: Kiingereza}, goto: only}
  ask:
    ask: {en: Language, sw: Lugha}
    save: language
    goto: bye
  part:
    call: choose
    with: {language: language}
    save: {language: language}
    outcomes: {done: bye}
  only:
    call: only
    outcomes: {done: bye}
  bye:
    end: {en: "Goodbye {language}", sw: "Kwaheri {language}"}
"""
CHOOSE = """
flow: choose
languages: [en, sw, fr]
inputs: [language]
outputs: [language]
start: pick
data:
  language: {type: choice, of: [en, sw, fr]}
states:
  pick:
    menu: {en: Pick, sw: Chagua, fr: Choisir}
    options:
      - {text: Kiswahili, goto: done, set: {language: "'sw'"}}
      - {text: Stay, goto: done}
      - {text: Français, goto: pick, set: {language: "'fr'"}}
  done: {end: , outcome: done}
"""
ONLY = """
flow: only
languages: [en]
start: pick
states:
  pick:
    menu: English only
    options:
      - {text: "On in {language}", goto: done}
  done: {end: , outcome: done}
"""


@pytest.fixture(scope="module")
def languages() -> Program:
    return program_of(
        LANGUAGES.replace("{text: Kiswahili,", "{text: {en: Kiswahili, sw: Kiswahili},").replace(
            "{text: Klingon,", "{text: {en: Klingon, sw: Klingon},"
        ),
        CHOOSE.replace("{text: Kiswahili,", "{text: {en: Kiswahili, sw: Kiswahili, fr: Kiswahili},")
        .replace("{text: Stay,", "{text: {en: Stay, sw: Kaa, fr: Rester},")
        .replace("{text: Français,", "{text: {en: French, sw: Kifaransa, fr: Français},"),
        ONLY,
    )


def test_language_is_switched_by_an_option(languages: Program) -> None:
    """From the next screen on all texts are in the language chosen, the engine's own words too."""
    phone = Phone(languages)
    assert phone.text.startswith("Hello\n1. Kiswahili\n2. Type it")
    assert phone.type("1").text.startswith("Habari\n1. Kiswahili\n2. Andika")
    assert phone.type("2").text == "Lugha\n0.Rudi 00.Mwanzo"
    assert phone.type("x").text.startswith("Jibu hilo haliwezi kutumika.")


def test_language_is_switched_by_an_answer(languages: Program) -> None:
    """A question may ask for the language: the answer switches it."""
    phone = Phone(languages).type("2", "SW")
    assert phone.text == "Kwaheri sw"
    assert phone.session.language == "sw"


@pytest.mark.parametrize(("key", "text"), [("1", "Kwaheri sw"), ("2", "Goodbye en")])
def test_language_comes_back_from_a_called_flow(languages: Program, key: str, text: str) -> None:
    """A language that a called flow gives back is the one in use there."""
    assert Phone(languages).type("3", key).text == text


def test_language_that_a_flow_does_not_have(languages: Program) -> None:
    """A switch to a language that the flow has no texts in changes nothing: a subscriber may have it from elsewhere."""
    assert Phone(languages).type("4").session.language == "en"
    assert Phone(languages).type("3", "3", "2").text.startswith("Goodbye")


def test_flow_without_the_language_speaks_its_first(languages: Program) -> None:
    """A called flow that lacks the language in use shows its own first one; the caller's comes back after it."""
    phone = Phone(languages).type("1", "5")
    assert phone.text == "English only\n1. On in sw\n0.Back 00.Home"
    assert phone.type("1").text == "Kwaheri sw"


def test_facts_of_the_session_are_given() -> None:
    """Phone number, network, service code and date may be read by every flow."""
    states = 'hello: {end: "{session.phone} {session.network} {session.service_code} {today} {language}"}'
    assert Phone(program_of(flow(states)), now=NOW).text == "+254711000001 63902 *100# 2026-11-24 en"


def test_ended_session_waits_for_nothing(action: Program) -> None:
    """Whether a session waits for an action is answered for any session."""
    phone = Phone(action).type("1").result("unavailable")
    assert phone.session.ended
    assert not waits_for_action(action, phone.session)
    assert not waits_for_action(program_of(ASK), Phone(program_of(CALLER, PART), flow="part").session)
