"""Rules of conditions: typed when the flow is read, safe and total when they run."""

from __future__ import annotations

import contextlib

import pytest

from ussd_engine.flow.guards import Compiler, GuardError, reads, undeclared

VALUES: dict[str, str | int | bool] = {
    "town": "Thika",
    "visits": 3,
    "active": True,
    "code": "1234",
    "session.phone": "+254711000001",
}
COMPILER = Compiler(
    {"town": "string", "visits": "int", "active": "bool", "code": "string", "session.phone": "string"}
)


def value(name: str) -> str | int | bool:
    return VALUES[name]


@pytest.mark.parametrize(
    ("source", "kind", "result"),
    [
        ("town", "string", "Thika"),
        ("visits + 1", "int", 4),
        ("active && visits > 2", "bool", True),
        ("town == 'town' ? 'a' : \"b\"", "string", "b"),
        ("session.phone.startsWith('+254')", "bool", True),
        ("town.size() + size(town)", "int", 10),
        ("""town == "x.matches('(')" || town.matches("(?i)thika")""", "bool", True),
        ("town.matches('a' + '{1,2}')", "bool", True),
        ("town.matches('^[A-Z][a-z]+$')", "bool", True),
        ("[1, 2, 3].exists(x, x == visits)", "bool", True),
        ("town in ['Thika', 'Embu']", "bool", True),
        ("town // == code", "string", "Thika"),
        ("town +\n'!'", "string", "Thika!"),
        ("""'it\\'s ' + town""", "string", "it's Thika"),
        ("'''a ' b''' + town", "string", "a ' bThika"),
        ("'é€😀' + town", "string", "é€😀Thika"),
    ],
)
def test_expression_gives_a_value_of_its_kind(source: str, kind: str, result: object) -> None:
    """CEL over the declared values: strings, whole numbers and booleans."""
    assert COMPILER.compile(source, kind)(value) == result  # type: ignore[arg-type]  # kinds of the table


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("visits / (visits - 3)", "int"),
        ("visits % (visits - 3) == 0", "bool"),
        ("visits + 9223372036854775807", "int"),
        ("string(visits / 0)", "string"),
        ("visits / 0 > 1 ? 'a' : 'b'", "string"),
        ("{'a': 'x'}['b']", "string"),
        ("['a'][visits]", "string"),
        ("town.matches('(' + town)", "bool"),
        ("int(town)", "int"),
        ("timestamp(town) == timestamp(town)", "bool"),
    ],
)
def test_what_cannot_be_computed_is_an_error_and_no_text(source: str, kind: str) -> None:
    """A failure has no value: its message must never pass for a string and reach a screen or the bank."""
    with pytest.raises(GuardError, match="cannot be computed"):
        COMPILER.compile(source, kind)(value)  # type: ignore[arg-type]  # kinds of the table


@pytest.mark.parametrize(
    ("source", "kind", "column", "message"),
    [
        ("town >", "bool", 7, "Syntax error"),
        ("", "bool", 1, "Syntax error"),
        ("visits == 'x'", "bool", 8, "'==' does not take (int, string)"),
        ("visits && active", "bool", 8, "'&&' does not take (int, bool)"),
        ("twon == 'x'", "bool", 1, "unknown name 'twon'"),
        ("town == session.phne", "bool", 16, "unknown name 'session.phne'"),
        ("lookup(town)", "bool", 7, "unknown name 'lookup'"),
        ("visits", "bool", 1, "gives a value of type int, where bool is needed"),
        ("dyn(visits)", "int", 1, "gives a value of type dyn, where int is needed"),
        ("(" * 300 + "town" + ")" * 300, "string", 1, "is not an expression"),
        ("town.matches('(')", "bool", 14, "is no regular expression: missing ): ("),
        ("active || matches( town , r'[0-9' )", "bool", 27, "is no regular expression: missing ]: [0-9"),
        ("town.matches('a{1001}')", "bool", 14, "is no regular expression: invalid repetition size: {1001}"),
        (".town == 'x'", "bool", 1, "writes a name in a way that cannot be followed; write it plainly"),
        ("session . phone", "string", 1, "writes a name in a way that cannot be followed; write it plainly"),
    ],
)
def test_wrong_expression_is_told_with_its_column(source: str, kind: str, column: int, message: str) -> None:
    """What is wrong is found when the flow is read, with the character where it is."""
    with pytest.raises(GuardError) as caught:
        COMPILER.compile(source, kind)  # type: ignore[arg-type]  # kinds of the table
    assert (str(caught.value), caught.value.column) == (message, column)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("town == 'visits'", ["town"]),
        ("session.phone == town", ["session.phone", "town"]),
        ("size(town) > visits", ["town", "visits"]),
        ("town.startsWith(code)", ["town", "code"]),
        ('"a \\" code" + town', ["town"]),
    ],
)
def test_names_that_are_read(source: str, names: list[str]) -> None:
    """Strings and functions are no names; `session.phone` is one."""
    assert reads(source) == names


def test_unknown_name_of_a_message() -> None:
    """The hint needs the name alone."""
    assert undeclared("unknown name 'session.phne'") == "session.phne"
    assert undeclared("Syntax error") is None


@pytest.mark.parametrize("name", ["string", "int", "type", "true", "in", "as", "map", "size", "null"])
def test_name_that_cel_uses_itself_is_an_error_or_works(name: str) -> None:
    """A value may be called like a word of CEL: then conditions read the value, or the author is told."""
    compiler = Compiler({name: "string"})
    with contextlib.suppress(GuardError):
        assert compiler.compile(f"{name} == 'x'", "bool")(lambda _: "x") is True
