"""Rules of compiled programs."""

from __future__ import annotations

from tests.runtime.parts import flow, program_of

HELLO = flow("hello: {end: Hello}", head='dial: ["*100#"]')


def test_same_flows_are_the_same_revision() -> None:
    """A revision is a digest of what the flows say: order of files and of comments do not count."""
    other = HELLO.replace("sample", "other").replace("*100#", "*200#")
    assert program_of(HELLO, other).revision == program_of(other, "# a comment\n" + HELLO).revision
    assert program_of(HELLO).revision != program_of(HELLO.replace("Hello", "Hallo")).revision


def test_program_knows_what_is_dialled() -> None:
    """Each service code starts its flow."""
    program = program_of(flow("hello: {end: Hello}", head='dial: ["*100#", "*100*2#"]'))
    assert program.dial == {"*100#": "sample", "*100*2#": "sample"}


def test_declared_values_are_bounded() -> None:
    """A typed value without a `max` has one all the same, and a PIN is secret whatever is written."""
    head = (
        "data: {a: {type: name}, b: {type: text}, c: {type: digits}, d: {type: pin}, e: {type: text, max: 5}}"
    )
    data = program_of(flow("hello: {end: Hello}", head=head)).flows["sample"].data
    assert {name: one.max for name, one in data.items()} == {"a": 40, "b": 80, "c": 20, "d": 6, "e": 5}
    assert [name for name, one in data.items() if one.secret] == ["d"]


def test_home_is_the_start_unless_it_is_said() -> None:
    """A flow has a home in any case."""
    assert program_of(HELLO).flows["sample"].home == "hello"


def test_own_words_in_a_language_that_the_engine_does_not_speak() -> None:
    """A flow lends the engine the words of its language."""
    words = ["back", "home", "more", "wrong_choice", "wrong_answer", "sorry"]
    head = "texts: {" + ", ".join(f"{word}: Ekigambo {word}" for word in words) + "}"
    compiled = program_of(flow("hello: {end: Oli otya}", head=head, languages="lg")).flows["sample"]
    assert compiled.phrases["sorry"]["lg"] == ("Ekigambo sorry",)
