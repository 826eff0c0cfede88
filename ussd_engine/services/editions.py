"""A revision of the flows in the words that hold: its own, with those of staff over them where they fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from ussd_engine.flow.catalogue import UnknownText, faults, with_texts
from ussd_engine.services.action_specs import SPECS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ussd_engine.flow.catalogue import Overrides
    from ussd_engine.flow.loader import Library
    from ussd_engine.runtime.program import Program

log = structlog.get_logger(__name__)

Found = list[tuple[tuple[str, str], str]]
"""Overrides in an order: key and language, text."""


@dataclass(frozen=True, slots=True)
class Edition:
    """`library` is as it was published, `shown` in other words. Of all `overrides`, `fitting` are in it."""

    revision: str
    library: Library
    shown: Library
    overrides: Overrides
    fitting: Overrides
    program: Program


def make(
    revision: str, library: Library, overrides: Overrides, compile_: Callable[[Library], Program]
) -> Edition:
    """For a library that was checked: only what lies over it is checked again."""
    fitting = fitting_of(library, overrides)
    shown = with_texts(library, fitting)
    # what a session holds of a program are places in it, and they are as they were
    program = replace(compile_(shown), revision=revision)
    return Edition(revision, library, shown, overrides, fitting, program)


def fitting_of(library: Library, overrides: Overrides) -> Overrides:
    """Those texts that the flows can show; the flows may be older or newer than they are."""
    return _that_fit(library, sorted(overrides.items()), {}) if overrides else {}


def _that_fit(library: Library, found: Found, fitting: Overrides) -> Overrides:
    """Those of `found` that the flows can show, besides `fitting`.

    Halved until those that do not fit stand alone: to check the flows once for each override takes too long.
    """
    together = {**fitting, **dict(found)}
    try:
        reasons = faults(with_texts(library, together), SPECS)
    except (UnknownText, ValueError) as error:
        reasons = [str(error)]
    if not reasons:
        return together
    if len(found) == 1:
        ((key, language), _) = found[0]
        log.warning("text_left_out", key=key, language=language, reasons=reasons)
        return fitting
    half = len(found) // 2
    return _that_fit(library, found[half:], _that_fit(library, found[:half], fitting))
