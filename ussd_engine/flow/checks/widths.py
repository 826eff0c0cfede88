"""Rules of width: every page fits, and no text costs more than its words need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ussd_engine.charset import needless_ucs2
from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.checks.texts import all_texts
from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.fit import RESUME, SORRY, Fit
from ussd_engine.flow.model import ListState
from ussd_engine.flow.source import Path_
from ussd_engine.flow.text import singles, unprintable

MAX_PAGES = 10
"""Of a screen that is no list. Each page is a key press of a session that the network ends after minutes."""


_PHRASES: Mapping[str, Path_] = {RESUME: ("texts", "resume_question"), SORRY: ("texts", "sorry")}


def pages(context: Context, fits: Iterable[Fit]) -> Iterator[Diagnostic]:
    """F508: a screen that does not fit, told once, where it is worst."""
    worst: dict[str, Fit] = {}
    for fit in fits:
        listed = isinstance(context.flow.states.get(fit.state), ListState)
        if fit.headroom < 0 or (fit.pages > _most(fit) and not listed):
            known = worst.get(fit.state)
            if known is None or (fit.headroom, -fit.pages) < (known.headroom, -known.pages):
                worst[fit.state] = fit
    for name, fit in worst.items():
        path = _PHRASES.get(name, ("states", name))
        yield context.source.finding(path, "F508", _words(fit), _HINT, key=True)


def _most(fit: Fit) -> int:
    """The engine's own screens have no key to turn pages with."""
    return 1 if fit.state in _PHRASES else MAX_PAGES


_HINT = "shorten its text, or lower the 'max' of what stands in it; 'ussd check --widths' shows every screen"


def _words(fit: Fit) -> str:
    unit = "UCS-2 units" if fit.ucs2 else "septets"
    where = f"screen '{fit.state}' in '{fit.language}' on network '{fit.network}'"
    if fit.headroom < 0:
        return f"{where} has a page of {fit.cost} {unit}, and {fit.budget} fit"
    return (
        f"{where} takes {fit.pages} pages of {fit.budget} {unit} at its widest, and {_most(fit)} is the most"
    )


def foreign_characters(context: Context) -> Iterator[Diagnostic]:
    """F509: a warning of a character that forces UCS-2 on a text that could do without."""
    for path, text in all_texts(context.flow):
        for at, single in singles(text, path):
            sign = "" if unprintable(single) else needless_ucs2(single)
            if sign:
                message = f"{sign} is not in GSM-7: the page then holds less than half"
                hint = "use a character of GSM-7, such as ' for a curly quote"
                yield context.source.finding(at, "F509", message, hint, warning=True)
