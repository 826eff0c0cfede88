"""Rules of reading YAML: what an author meant, where it stands, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ussd_engine.flow import source
from ussd_engine.flow.source import MAX_BYTES, MAX_DEPTH, Position, parse, read

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("Yes", "Yes"),
        ("True", "True"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ('""', ""),
        ("012", "012"),
        ("0", 0),
        ("-7", -7),
        ("+7", "+7"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("1:30", "1:30"),
        ("2026-11-24", "2026-11-24"),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        (".inf", ".inf"),
        ('"5"', "5"),
        ("'true'", "true"),
        ("1234567890123456789", "1234567890123456789"),
        ("=", "="),
    ],
)
def test_scalar_is_what_an_author_means(written: str, meant: object) -> None:
    """Only `true`, `false`, `null` and plain decimal numbers are more than text, whatever YAML 1.1 says."""
    source = parse(f"a: {written}\n", "x.yaml")
    assert source.data == {"a": meant}
    assert type(source.data["a"]) is type(meant)


def test_block_text_keeps_its_lines() -> None:
    """A text of several lines is text, even when it looks like a number."""
    assert parse("a: |\n  1\n  2\n", "x.yaml").data == {"a": "1\n2\n"}


def test_positions_of_keys_and_values() -> None:
    """Every key and value has the line and column that an editor shows, counted in characters."""
    source = parse("größe: [1, {b: 2}]\nc:\n  d: x\n", "x.yaml")
    assert source.at(("größe",), key=True) == Position(1, 1)
    assert source.at(("größe", 1, "b")) == Position(1, 16)
    assert source.at(("c", "d")) == Position(3, 6)
    assert source.at(("c", "d", "missing", 3)) == Position(3, 6)
    assert source.at(("nothing",)) == Position(1, 1)
    assert parse("", "x.yaml").at(("a",)) == Position(1, 1)


def test_forty_levels_are_read() -> None:
    """The bound on nesting is far beyond any flow, and what lies below it is whole."""
    source = parse("[" * MAX_DEPTH + "x" + "]" * MAX_DEPTH, "x.yaml")
    assert source.diagnostics == []
    assert str(source.data) == "[" * MAX_DEPTH + "'x'" + "]" * MAX_DEPTH


def test_second_key_is_refused_and_the_first_one_stays() -> None:
    """A key that stands twice is an error at the second place; the last one does not win."""
    source = parse("a: 1\nb: 2\na: 3\n", "x.yaml")
    assert source.data == {"a": 1, "b": 2}
    assert [(d.line, d.column, d.code) for d in source.diagnostics] == [(3, 1, "F002")]


def test_alias_is_refused_where_it_stands() -> None:
    """An alias is refused at its own place, so a text that doubles itself never grows."""
    source = parse("a: &x [1]\nb: [*x, *x]\nc: *none\n", "x.yaml")
    assert [(d.line, d.column, d.code) for d in source.diagnostics] == [
        (2, 5, "F003"),
        (2, 9, "F003"),
        (3, 4, "F003"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: b: c\n", 1, 5),
        ("a: 'b\n", 2, 1),
        ("a: 1\n---\nb: 2\n", 2, 1),
        ("a: x\n  y: é\x00z\n", 2, 7),
        ("\x07", 1, 1),
        ("a: 1\nb: " + "[" * 5000, 2, 44),
        ("".join(" " * n + "a:\n" for n in range(200)), 41, 41),
        ('a: 1\nb: "x\\UFFFFFFFF"', 2, 8),
        ('a: 1\n"\\U00110000": 1', 2, 4),
        ('a: 1\n"\\ud800": 1', 2, 1),
        ("%YAML " + "1" * 5000 + ".1\n---\na: 1\n", 1, 7),
    ],
)
def test_text_that_is_no_yaml_is_one_finding(text: str, line: int, column: int) -> None:
    """What cannot be parsed is told with its place, never as an exception."""
    source = parse(text, "x.yaml")
    assert source.data is None
    assert [(d.line, d.column, d.code) for d in source.diagnostics] == [(line, column, "F001")]


@given(st.text(alphabet=st.sampled_from(" \n\t:-[]{},&*!|>'\"#%@`?~ab1éÿ\x00\ud800"), max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Any text is data or findings, and each finding stands in the text."""
    source = parse(text, "x.yaml")
    lines = text.split("\n")
    for finding in source.diagnostics:
        assert 1 <= finding.line <= len(lines) + 1
        assert finding.column >= 1


@pytest.mark.parametrize(
    ("raw", "line", "column", "message"),
    [
        (b"a: 1\nb: \xff\n", 2, 4, "is not UTF-8 text"),
        (b"x" * (MAX_BYTES + 1), 1, 1, f"is larger than {MAX_BYTES} bytes"),
    ],
)
def test_file_that_is_no_text(tmp_path: Path, raw: bytes, line: int, column: int, message: str) -> None:
    """Bytes that are no UTF-8, and files of megabytes, are findings."""
    file = tmp_path / "x.yaml"
    file.write_bytes(raw)
    source = read(file, "x.yaml")
    assert [(d.line, d.column, d.code, d.message) for d in source.diagnostics] == [
        (line, column, "F001", message)
    ]


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is a finding with the reason of the system."""
    source = read(tmp_path / "none.yaml", "none.yaml")
    assert [d.text() for d in source.diagnostics] == [
        "none.yaml:1:1: error F001 cannot be read: No such file or directory"
    ]


def test_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    """Editors that put a byte-order mark in front change neither data nor columns."""
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    source = read(file)
    assert (source.data, source.at(("a",), key=True)) == ({"a": 1}, Position(1, 1))


FILES = [*ROOT.glob("flows/*.yaml"), *ROOT.glob("tests/flow/broken/*.yaml"), ROOT / "config.yaml"]
YAML_LIKE = st.text(st.sampled_from("ab1:-? {}[],\"'#|>\n\t!%@`é€"), max_size=60)


def as_read(text: str, *, fast: bool) -> tuple[object, object, object, object]:
    with pytest.MonkeyPatch.context() as patch:
        if not fast:
            patch.setattr(source, "_is_harmless", lambda _: False)
        read = source.parse(text, "sample.yaml")
    return read.data, read.keys, read.values, read.diagnostics


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_both_parsers_read_a_file_alike(file: Path) -> None:
    """The fast one gives the same data, the same places and the same findings."""
    text = file.read_text()
    assert as_read(text, fast=True) == as_read(text, fast=False)


@settings(max_examples=400, deadline=None)
@given(YAML_LIKE)
def test_both_parsers_read_data_alike(text: str) -> None:
    """Whatever both take, they take for the same; what the fast one refuses the other one has the words for."""
    slow = as_read(text, fast=False)
    if not slow[3]:
        assert as_read(text, fast=True) == slow


NESTED = "\n".join(" " * depth + "a:" for depth in range(3000))


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "- " * 5000 + "a", NESTED, "a: &x [*x]", "a: && [*&]", "a: &&x [*&x]", "- &x\n- *x"],
)
def test_what_a_parser_in_c_would_fall_over_does_not_reach_it(text: str) -> None:
    """What could overflow its stack, or never end, is refused in words."""
    assert as_read(text, fast=True)[3]
