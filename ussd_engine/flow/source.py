"""YAML text to plain data, with the line and column of every key and value.

YAML 1.1 turns `no`, `on` and `012` into things that no author meant; here a scalar is a boolean only as `true`
or `false`, an integer only in plain decimal digits, null only as `null` or nothing, and otherwise text. A key
that stands twice is an error, not the last one wins. Aliases and tags are refused: a flow holds data, and an
alias that contains itself would never end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ussd_engine.flow.diagnostic import Diagnostic, Severity

Path_ = tuple[str | int, ...]
"""Where a value stands in the data: keys and list indexes from the top."""

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_ALIAS = "alias"
_BRACKETS = re.compile(r"[\[\]{}]")
_ANCHOR = re.compile(r"(?:^|[\s\[{,])&(?!&\s)")
_INDENTED = re.compile(r"^[ \t?:-]{80}", re.MULTILINE)
"""Blocks that are nested forty deep, by two columns each, or by a dash and a space."""
MAX_BYTES = 4 * 1024 * 1024
"""A larger file is no flow that a person wrote; refusing it bounds memory."""
MAX_DEPTH = 40
"""Deeper nesting has no meaning in any of our files; refusing it bounds recursion."""
_HALF = re.compile("[\ud800-\udfff]")
"""What two escapes make of one character elsewhere: here it is none, and no terminal or phone can take it."""


class _Refused(yaml.MarkedYAMLError):
    """What YAML would allow, or its parser fall over."""

    def __init__(self, problem: str, at: yaml.Mark, hint: str) -> None:
        super().__init__(problem=problem, problem_mark=at, note=hint)


class _Loader(yaml.SafeLoader):
    """Refuses what is too deep, and gives an alias as a node, so that a finding stands where the alias does."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if not self.check_event(yaml.AliasEvent):
            if self.depth > MAX_DEPTH:
                event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it open
                raise _Refused("is nested too deeply", event.start_mark, "bring it nearer to the top")
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            if isinstance(node, yaml.ScalarNode) and _HALF.search(node.value):
                hint = "write it as it is, or with eight digits, such as '\\U0001F600'"
                raise _Refused("holds half a character", node.start_mark, hint)
            return node
        event = self.get_event()  # type: ignore[no-untyped-call]  # the stubs leave it open
        return yaml.ScalarNode(_ALIAS, event.anchor, event.start_mark, event.end_mark)


@dataclass(frozen=True, slots=True)
class Position:
    """`file` is that of the source, unless a catalogue has put something into it."""

    line: int
    column: int
    file: str = ""


@dataclass(slots=True)
class Source:
    """The data of one file. `keys` and `values` give the position of a key, and of the value below it.

    `catalogues` are the files that further languages of a flow come from (see `messages`).
    """

    file: str
    data: Any = None
    keys: dict[Path_, Position] = field(default_factory=dict)
    values: dict[Path_, Position] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    catalogues: dict[str, str] = field(default_factory=dict)

    def at(self, path: Path_, *, key: bool = False) -> Position:
        """The position of the value (or its key) at `path`, or of the nearest thing above it that exists."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        while path:
            found = first.get(path) or second.get(path)
            if found:
                return found
            path = path[:-1]
        return self.values.get((), Position(1, 1))

    def finding(
        self,
        path: Path_,
        code: str,
        message: str,
        hint: str = "",
        *,
        key: bool = False,
        warning: bool = False,
    ) -> Diagnostic:
        at = self.at(path, key=key)
        severity: Severity = "warning" if warning else "error"
        return Diagnostic(at.file or self.file, at.line, at.column, code, message, hint, severity)


def read(path: Path, shown_as: str | None = None) -> Source:
    """Read a file. What cannot be read or parsed is a diagnostic of the result, never an exception."""
    name = shown_as or str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        return _broken(name, Position(1, 1), f"cannot be read: {error.strerror or error}")
    if len(raw) > MAX_BYTES:
        return _broken(name, Position(1, 1), f"is larger than {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        return _broken(name, Position(line, column), "is not UTF-8 text", "save the file as UTF-8")
    return parse(text, name)


def parse(text: str, file: str) -> Source:
    source = Source(file)
    try:
        node = _compose(text)
        if node is not None:
            source.data = _build(node, (), source, Position(1, 1))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        problem = error.problem or error.context or "cannot be read"
        if isinstance(error, _Refused):
            return _broken(file, at, problem, error.note or "")
        hint = "texts with ': ' or ' #' or a leading '{', '*', '&' or '\"' need quotes around them"
        return _broken(file, at, f"is not valid YAML: {problem}", hint)
    except yaml.YAMLError as error:
        at = _reader_position(text, error)
        return _broken(file, at, "is not valid YAML: it holds a character that YAML does not allow")
    return source


def _compose(text: str) -> yaml.Node | None:
    """By libyaml where it can do no harm, which is ten times as fast; the other parser says better what is wrong."""
    if _is_harmless(text):
        try:
            node: yaml.Node | None = yaml.CSafeLoader(text).get_single_node()
        except (yaml.YAMLError, ValueError, OverflowError):
            pass
        else:
            return node
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    except (ValueError, OverflowError) as error:  # the parser makes numbers of escapes without a look at them
        hint = "'\\U' takes eight hex digits, up to 0010FFFF"
        raise _Refused("holds an escape that is no character", loader.get_mark(), hint) from error


def _is_harmless(text: str) -> bool:
    """Whether a text surely has no alias, and no nesting that a parser in C would fall over.

    An alias needs an anchor, which begins with `&`, and `&&` stands in conditions: taken for an anchor it is called
    `&`. Brackets in texts count as well, so this may say no too often.
    """
    if _ANCHOR.search(text) or "*&" in text or _INDENTED.search(text) or not hasattr(yaml, "CSafeLoader"):
        return False
    depth = 0
    for bracket in _BRACKETS.findall(text):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            return False
    return True


def _reader_position(text: str, error: yaml.YAMLError) -> Position:
    index = getattr(error, "position", 0)
    before = text[:index] if isinstance(index, int) else ""
    return Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _broken(file: str, at: Position, message: str, hint: str = "") -> Source:
    source = Source(file)
    source.diagnostics.append(Diagnostic(file, at.line, at.column, "F001", message, hint))
    return source


def _build(node: yaml.Node, path: Path_, source: Source, above: Position) -> Any:
    """`above` is where its key or its list stands: what is left empty has no place of its own."""
    at = _place(node, above)
    source.values.setdefault(path, at)
    if node.tag == _ALIAS:
        reason = f"repeats another place by an alias (*{node.value})"
        source.diagnostics.append(
            Diagnostic(source.file, at.line, at.column, "F003", reason, "write the value out in full")
        )
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, source, at)
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*path, i), source, at) for i, child in enumerate(node.value)]
    return _scalar(node, source)


def _place(node: yaml.Node, above: Position) -> Position:
    if node.value == "" and not getattr(node, "style", None):
        return above
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _mapping(node: yaml.MappingNode, path: Path_, source: Source, above: Position) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        at = _place(key_node, above)
        if not isinstance(key_node, yaml.ScalarNode):
            source.diagnostics.append(
                Diagnostic(source.file, at.line, at.column, "F003", "a key must be plain text")
            )
            continue
        key = str(key_node.value)
        if key in result:
            first = source.keys[(*path, key)]
            source.diagnostics.append(
                Diagnostic(
                    source.file,
                    at.line,
                    at.column,
                    "F002",
                    f"key '{key}' stands twice; the first is on line {first.line}",
                    "remove or rename one of them",
                )
            )
            continue
        source.keys[(*path, key)] = at
        result[key] = _build(value_node, (*path, key), source, at)
    return result


def _scalar(node: yaml.Node, source: Source) -> Any:
    text = str(node.value)
    if node.tag not in {
        "tag:yaml.org,2002:str",
        "tag:yaml.org,2002:bool",
        "tag:yaml.org,2002:int",
        "tag:yaml.org,2002:float",
        "tag:yaml.org,2002:null",
        "tag:yaml.org,2002:timestamp",
        "tag:yaml.org,2002:merge",
        "tag:yaml.org,2002:value",
    }:
        at = Position(node.start_mark.line + 1, node.start_mark.column + 1)
        source.diagnostics.append(
            Diagnostic(source.file, at.line, at.column, "F003", f"tag {node.tag!r} is not allowed")
        )
        return None
    if getattr(node, "style", None):  # quoted or a block: always text
        return text
    if text in {"true", "false"}:
        return text == "true"
    if text in {"", "null", "~"}:
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
