"""A YAML file whose parts are changed where they stand, so that everything else stays as its author wrote it.

A part that is taken out leaves empty lines behind: what follows it stays on its line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
Edit = tuple[int, int, str]
"""From one place of the text to another, and what stands there instead."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value, with its key where it has one, and what holds it."""

    path: Path
    value: yaml.Node
    key: yaml.ScalarNode | None = None
    above: yaml.CollectionNode | None = None

    @property
    def line(self) -> int:
        return int((self.key or self.value).start_mark.line) + 1

    @property
    def start(self) -> int:
        return int((self.key or self.value).start_mark.index)

    @property
    def text(self) -> str:
        """Of a scalar."""
        return str(self.value.value)


@dataclass(slots=True)
class Document:
    text: str
    parts: dict[Path, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        top = yaml.compose(self.text, Loader=yaml.SafeLoader)
        assert top is not None
        self._take(Part((), top))

    def _take(self, part: Part) -> None:
        self.parts[part.path] = part
        node = part.value
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._take(Part((*part.path, key.value), value, key, node))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._take(Part((*part.path, number), value, None, node))

    def below(self, path: Path) -> list[Part]:
        """The parts that stand directly in a mapping or a list; none where there is none."""
        return [part for part in self.parts.values() if part.path[:-1] == path and part.path]

    def under(self, path: Path) -> Iterator[Part]:
        for part in self.parts.values():
            if part.path[: len(path)] == path:
                yield part

    def get(self, *path: str | int) -> Part | None:
        return self.parts.get(path)

    def changed(self, *edits: Edit) -> str:
        text = self.text
        for start, end, new in sorted(edits, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    # --- edits

    def put(self, part: Part, new: str) -> Edit:
        """Another scalar for this one, written as it is to stand in the file."""
        return part.value.start_mark.index, part.value.end_mark.index, new

    def rename(self, part: Part, new: str) -> Edit:
        assert part.key
        return part.key.start_mark.index, part.key.end_mark.index, new

    def raw(self, part: Part) -> str:
        """A part without its key, as it is written."""
        return self.text[part.value.start_mark.index : self.end(part)]

    def end(self, part: Part) -> int:
        """Where the part ends: a block takes the empty lines and comments behind it along, which are not of it."""
        node = part.value
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            inner = last[1] if isinstance(last, tuple) else last
            return self.end(Part((), inner))
        return int(node.end_mark.index)

    def drop(self, part: Part) -> Edit:
        """Out of its mapping or list."""
        assert part.above is not None
        start, end = part.start, self.end(part)
        if not part.above.flow_style:
            start = self.text.rindex("\n", 0, start) + 1
            return start, end, "\n" * self.text.count("\n", start, end)
        after = self.text[end:]
        if after.startswith(", "):
            return start, end + 2, ""
        before = self.text[:start]
        return start - 2 * before.endswith(", "), end, ""


def quoted(text: str) -> str:
    """A text as it can stand anywhere in YAML."""
    return json.dumps(text, ensure_ascii=False)


def scalars(document: Document) -> list[Part]:
    return [part for part in document.parts.values() if isinstance(part.value, yaml.ScalarNode)]


def is_list(part: Part | None) -> bool:
    return part is not None and isinstance(part.value, yaml.SequenceNode)


def said(path: Path) -> str:
    """`states` goes without saying, and items count from 1."""
    steps: list[Any] = [step + 1 if isinstance(step, int) else step for step in path]
    return ".".join(map(str, steps[1:] if steps[:1] == ["states"] else steps))
