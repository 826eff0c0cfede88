"""Rules of what an answer means, and of values that come from outside."""

from __future__ import annotations

from datetime import date

import pytest

from tests.runtime.parts import flow, program_of
from ussd_engine.errors import IllegalMove
from ussd_engine.runtime.program import Ask, Declared, Route, Value
from ussd_engine.runtime.route import choose, fit, read_answer

TODAY = date(2026, 11, 24)


def ask_for(data: str, accept: str = "") -> Ask:
    states = f"""
        hello:
          ask: Hello
          save: it
          {f"accept: {accept}" if accept else ""}
          goto: bye
        bye: {{end: Bye}}
        """
    program = program_of(flow(states, head=f"data: {{it: {data}, other: {{type: number, default: 7}}}}"))
    node = program.flows["sample"].nodes["hello"]
    assert isinstance(node, Ask)
    return node


def no_value(name: str) -> Value:
    return 7 if name == "other" else ""


def read(data: str, typed: str, accept: str = "", today: date = TODAY) -> Value | None:
    return read_answer(ask_for(data, accept), typed, today, no_value)


@pytest.mark.parametrize(
    ("data", "typed", "value"),
    [
        ("{type: name}", "Jane", "Jane"),
        ("{type: name}", "  Jane   Sample ", "Jane Sample"),
        ("{type: name}", "N'Golo", "N'Golo"),
        ("{type: name}", "N\u2019Golo", "N\u2019Golo"),
        ("{type: name}", "Anne-Marie", "Anne-Marie"),
        ("{type: name}", "St. John", "St. John"),
        ("{type: name}", "Zoe\u0308", "Zo\u00eb"),
        ("{type: name}", "Ade\u0301\u0323", "Ad\u1eb9\u0301"),
        ("{type: name}", "नेहा", "नेहा"),
        ("{type: name}", "李", "李"),
        ("{type: name}", "محمد", "محمد"),
        ("{type: name}", "", None),
        ("{type: name}", "   ", None),
        ("{type: name}", "-", None),
        ("{type: name}", "'.-", None),
        ("{type: name}", "\u0301", None),
        ("{type: name}", "Jane1", None),
        ("{type: name}", "Jane*", None),
        ("{type: name}", "Jane\x00", None),
        ("{type: name}", "Jane\u200b", None),
        ("{type: name}", "Jane\ud800", None),
        ("{type: name}", "😀", None),
        ("{type: name, max: 4}", "Jane", "Jane"),
        ("{type: name, max: 4}", "Janet", None),
        ("{type: name, max: 3}", "Zoe\u0308", "Zo\u00eb"),
        ("{type: name, min: 2}", "J", None),
        ("{type: name}", "x" * 40, "x" * 40),
        ("{type: name}", "x" * 41, None),
        ("{type: text}", "Plot 5, *Main* St. #3", "Plot 5, *Main* St. #3"),
        ("{type: text}", "one\ntwo\tthree", "one two three"),
        ("{type: text}", "a\x1bb", None),
        ("{type: text}", "", None),
        ("{type: text}", "x" * 81, None),
        ("{type: digits}", "007", "007"),
        ("{type: digits}", "00 7", None),
        ("{type: digits}", "٣٤", None),
        ("{type: digits}", "\uff11", None),
        ("{type: digits}", "", None),
        ("{type: digits, min: 3, max: 4}", "12", None),
        ("{type: digits, min: 3, max: 4}", "12345", None),
        ("{type: digits, min: 3, max: 4}", "1234", "1234"),
        ("{type: pin}", "1234", "1234"),
        ("{type: pin}", "123", None),
        ("{type: pin}", "1234567", None),
        ("{type: number}", "007", 7),
        ("{type: number}", "-5", -5),
        ("{type: number}", "+5", None),
        ("{type: number}", "5.0", None),
        ("{type: number}", "1e3", None),
        ("{type: number}", "9" * 18, int("9" * 18)),
        ("{type: number}", "9" * 19, None),
        ("{type: number}", "٣", None),
        ("{type: number, min: 1, max: 10}", "0", None),
        ("{type: number, min: 1, max: 10}", "1", 1),
        ("{type: number, min: 1, max: 10}", "10", 10),
        ("{type: number, min: 1, max: 10}", "11", None),
        ("{type: choice, of: [Red, blue]}", "red", "Red"),
        ("{type: choice, of: [Red, blue]}", "BLUE", "blue"),
        ("{type: choice, of: [Red, blue]}", "green", None),
        ("{type: choice, of: [Red, blue]}", "", None),
        ("{type: phone}", "0711 000 001", "+254711000001"),
        ("{type: phone}", "+254711000001", "+254711000001"),
        ("{type: phone}", "254711000001", "+254711000001"),
        ("{type: phone, region: TZ}", "0711000001", "+255711000001"),
        ("{type: phone}", "12", None),
        ("{type: phone}", "0711000001 ext. 5", None),
        ("{type: phone}", "", None),
        ("{type: phone}", "hello", None),
    ],
)
def test_answer_by_type(data: str, typed: str, value: Value | None) -> None:
    """Each type takes what people type for it, in one normal form, and nothing else."""
    assert read(data, typed) == value


@pytest.mark.parametrize(
    ("accept", "typed", "value"),
    [
        ("{date: DDMMYYYY}", "29022024", "2024-02-29"),
        ("{date: DDMMYYYY}", "29022023", None),
        ("{date: DDMMYYYY}", "29021900", None),
        ("{date: DDMMYYYY}", "29022000", "2000-02-29"),
        ("{date: DDMMYYYY}", "31041990", None),
        ("{date: DDMMYYYY}", "00011990", None),
        ("{date: DDMMYYYY}", "01001990", None),
        ("{date: DDMMYYYY}", "01131990", None),
        ("{date: DDMMYYYY}", "1011990", None),
        ("{date: DDMMYYYY}", "01/01/1990", None),
        ("{date: DDMMYYYY}", "31121899", None),
        ("{date: DDMMYYYY}", "01011900", "1900-01-01"),
        ("{date: DDMMYYYY}", "01010190", None),
        ("{date: DDMMYYYY}", "٠١٠١١٩٩٠", None),
        ("{date: DDMMYYYY}", "31122099", "2099-12-31"),
        ("{date: YYYYMMDD}", "19901231", "1990-12-31"),
        ("{date: DD/MM/YYYY}", "1/2/1990", "1990-02-01"),
        ("{date: DD/MM/YYYY}", "01/02/1990", "1990-02-01"),
        ("{date: DD-MM-YYYY}", "31-12-1990", "1990-12-31"),
        ("{date: DDMMYY}", "311290", "1990-12-31"),
        ("{date: DDMMYY}", "241126", "2026-11-24"),
        ("{date: DDMMYY}", "251126", "1926-11-25"),
        ("{date: DDMMYY}", "290200", "2000-02-29"),
        ("{date: DDMMYY}", "290227", None),
    ],
)
def test_date_is_a_day_that_there_was(accept: str, typed: str, value: str | None) -> None:
    """A date is a day of the calendar since 1900; two digits of a year mean the latest day that is not ahead."""
    assert read("{type: date, secret: true}", typed, accept) == value


@pytest.mark.parametrize(
    ("typed", "today", "value"),
    [
        ("24112008", date(2026, 11, 24), "2008-11-24"),
        ("25112008", date(2026, 11, 24), None),
        ("29022008", date(2026, 2, 28), None),
        ("29022008", date(2026, 3, 1), "2008-02-29"),
        ("24111961", date(2026, 11, 24), "1961-11-24"),
        ("24111960", date(2026, 11, 24), None),
        ("25111960", date(2026, 11, 24), "1960-11-25"),
        ("25112026", date(2026, 11, 24), None),
    ],
)
def test_age_is_counted_in_birthdays(typed: str, today: date, value: str | None) -> None:
    """Who is 18 today may; who is 18 tomorrow may not; born on 29 February one is older on 1 March."""
    assert read("{type: date}", typed, "{date: DDMMYYYY, min_age: 18, max_age: 65}", today) == value


def test_day_ahead_has_no_age() -> None:
    """A date of birth in the future is refused by any bound of age."""
    assert read("{type: date}", "25112026", "{date: DDMMYYYY, min_age: 0}") is None
    assert read("{type: date}", "25112026", "{date: DDMMYYYY, max_age: 99}") is None
    assert read("{type: date}", "24112026", "{date: DDMMYYYY, min_age: 0}") == "2026-11-24"


@pytest.mark.parametrize(
    ("data", "accept", "typed", "value"),
    [
        ("{type: text}", "{min: 3}", "ab", None),
        ("{type: text}", "{min: 3, max: 3}", "abc", "abc"),
        ("{type: digits}", "{max: 3}", "1234", None),
        ("{type: number}", "{min: 100}", "99", None),
        ("{type: number}", "{max: 100}", "101", None),
        ("{type: number}", "{min: 100, max: 200}", "150", 150),
        ("{type: text}", "{when: \"answer.startsWith('A')\"}", "Bob", None),
        ("{type: text}", "{when: \"answer.startsWith('A')\"}", " Ann ", "Ann"),
        ("{type: number}", '{when: "int(answer) > other"}', "7", None),
        ("{type: number}", '{when: "int(answer) > other"}', "8", 8),
    ],
)
def test_accept_narrows_the_type(data: str, accept: str, typed: str, value: Value | None) -> None:
    """`min` and `max` count characters or bound a number; `when` reads the answer and other values."""
    assert read(data, typed, accept) == value


def test_flag_cannot_be_typed() -> None:
    """There is no text that means true."""
    ask = ask_for("{type: text}")
    flagged = Ask(
        ask.name,
        ask.text,
        Declared("it", "flag", secret=False, max=None, min=None, of=(), region="KE", default=False),
        ask.accept,
        ask.wrong,
        None,
        ask.goto,
        None,
        None,
        static=True,
    )
    assert read_answer(flagged, "true", TODAY, no_value) is None


def declared(
    kind: str, *, most: int | None = None, least: int | None = None, of: tuple[str, ...] = ()
) -> Declared:
    return Declared("it", kind, secret=False, max=most, min=least, of=of, region="KE", default="")


@pytest.mark.parametrize(
    ("data", "value", "kept"),
    [
        (declared("name", most=8), "Jane Sample", "Jane Sam"),
        (declared("name", most=5), "Jane Sample", "Jane"),
        (declared("text"), "a\x00b\x1bc\u202ed\ud800e\nf", "a b c d e f"),
        (declared("text", most=3), "  a  b  c ", "a b"),
        (declared("text", most=9), "", ""),
        (declared("digits", most=4), "0123", "0123"),
        (declared("digits", most=4), "", ""),
        (declared("date"), "2024-02-29", "2024-02-29"),
        (declared("date"), "", ""),
        (declared("phone"), "+254711000001", "+254711000001"),
        (declared("choice", of=("a", "b")), "b", "b"),
        (declared("choice", of=("a", "b")), "", ""),
        (declared("number", least=1, most=5), 5, 5),
        (declared("number"), -(10**18) + 1, -(10**18) + 1),
        (declared("flag"), True, True),
    ],
)
def test_value_from_outside_is_made_to_fit(data: Declared, value: Value, kept: Value) -> None:
    """Texts lose control characters and what is beyond their length; the rest is kept as it is."""
    assert fit(data, value) == kept


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (declared("name"), 5),
        (declared("text"), None),
        (declared("text"), b"x"),
        (declared("digits", most=4), "12345"),
        (declared("digits"), "12a"),
        (declared("digits"), " 12"),
        (declared("digits"), 12),
        (declared("pin"), "12a4"),
        (declared("date"), "24.11.2026"),
        (declared("date"), "20261124"),
        (declared("date"), "2026-02-30"),
        (declared("phone"), "0711000001"),
        (declared("phone"), "+254711000001, or so"),
        (declared("choice", of=("a", "b")), "c"),
        (declared("choice", of=("a", "b")), ["a"]),
        (declared("number"), "5"),
        (declared("number"), True),
        (declared("number"), 5.0),
        (declared("number", most=5), 6),
        (declared("number"), 10**18),
        (declared("flag"), 1),
        (declared("flag"), "true"),
    ],
)
def test_value_of_another_kind_is_refused(data: Declared, value: object) -> None:
    """A cut account number is another account number: what does not fit is an error, which tells no value."""
    with pytest.raises(IllegalMove) as caught:
        fit(data, value)
    assert str(caught.value) == f"a value for 'it' is not a {data.type} that it can hold"


def test_goto_without_a_case_that_holds() -> None:
    """Cases that the checker did not see end in an error, not in a wrong state."""
    states = """
        hello:
          route:
            - {when: "language == 'sw'", goto: bye}
            - else: bye
        bye: {end: Bye}
        """
    node = program_of(flow(states)).flows["sample"].nodes["hello"]
    assert isinstance(node, Route)
    assert choose(node.goto, lambda _: "sw") == "case.1"
    assert choose(node.goto, lambda _: "en") == "case.2"
    with pytest.raises(IllegalMove, match="none of the cases holds"):
        choose(node.goto[:1], lambda _: "en")
