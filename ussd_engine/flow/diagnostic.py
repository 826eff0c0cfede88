"""A finding: what is wrong, where, and how to mend it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from ussd_engine.errors import FlowError

if TYPE_CHECKING:
    from ussd_engine.flow.loader import Library

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One finding. Lines and columns count from 1, as editors do; `code` is stable and documented."""

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""
    severity: Severity = "error"

    def text(self) -> str:
        head = f"{self.file}:{self.line}:{self.column}: {self.severity} {self.code} {self.message}"
        return f"{head}\n    hint: {self.hint}" if self.hint else head

    def with_hint(self) -> str:
        """The message with the hint in one line, for forms that know no hints."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidFlows(FlowError):
    """A folder of flows has errors. All of them are in `diagnostics`.

    `drawn` is the library where nothing is wrong but that screens are too large: they can be drawn, and looked at.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic], drawn: Library | None = None) -> None:
        self.drawn = drawn
        self.diagnostics = tuple(sorted(diagnostics))
        super().__init__("\n".join(d.text() for d in self.diagnostics))


def as_text(diagnostics: Iterable[Diagnostic]) -> str:
    return "\n".join(d.text() for d in diagnostics)


def as_json(diagnostics: Iterable[Diagnostic]) -> str:
    return json.dumps([asdict(d) for d in diagnostics], ensure_ascii=False, indent=2)


def as_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Workflow commands, which GitHub shows beside the line that they name."""
    return "\n".join(
        f"::{d.severity} file={_property(d.file)},line={d.line},col={d.column},title={d.code}::"
        + _data(d.with_hint())
        for d in diagnostics
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, else all of them when they are few."""
    names = sorted(known)
    swapped = [name for name in names if sorted(name) == sorted(wrong)]  # 'opne' is 'open' before 'opened'
    near = swapped or difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    if 0 < len(names) <= 12:  # noqa: PLR2004 - more than a dozen names are no help in one line
        return "known: " + ", ".join(names)
    return ""
