"""SMS texts: one per event and language, with the few placeholders that the event can fill.

The file has one key, `sms`: event -> language -> text. Findings have codes S101 to S109.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ussd_engine.charset import SMS_SEPTETS, SMS_UNITS, cost, needless_ucs2, parts
from ussd_engine.flow.diagnostic import Diagnostic, did_you_mean
from ussd_engine.flow.text import unprintable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ussd_engine.flow.source import Path_, Source

PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    "account_opened": frozenset({"first_name", "account_number"}),
    "account_rejected": frozenset({"first_name"}),
    "account_failed": frozenset({"first_name"}),
    "account_delayed": frozenset({"first_name"}),
    "subscription_received": frozenset({"first_name"}),
    "subscription_active": frozenset({"first_name"}),
    "subscription_rejected": frozenset({"first_name"}),
    "subscription_failed": frozenset(),
    "pin_set": frozenset({"first_name"}),
    "pin_not_set": frozenset(),
    "pin_reset": frozenset({"first_name"}),
}
"""Every event that sends an SMS, with what its text may name. A file must have a text for each."""


WIDTHS: Mapping[str, int] = {"first_name": 30, "account_number": 34}
"""What a placeholder may take, in septets (in units where UCS-2 is forced). A name has room for three of usual
length; an account number for the longest IBAN (ISO 13616)."""
CUT = frozenset({"first_name"})
"""What is cut to its width when a text is filled in. Half an account number would be wrong: it stays whole."""
MAX_PARTS = 2
"""Each part is charged as a message, and comes by itself: the more there are, the likelier one is late or lost."""

DEFAULT_LANGUAGE = "en"
"""Every event has a text in it, for subscribers whose language has none."""


@dataclass(frozen=True, slots=True)
class SmsTemplates:
    """`texts` maps event, then language, to a text whose placeholders were checked.

    Empty for a folder without a file of SMS texts: it can be checked, but not serve.
    """

    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def render(self, event: str, language: str, values: Mapping[str, str]) -> str:
        """The text in `language`, else in the default language.

        Values lose their line breaks, and a name what goes beyond its width. So a text takes the parts that its
        check allowed, unless a value forces UCS-2: `charset.parts` of what comes out is the truth.
        """
        texts = self.texts[event]
        fitting = {name: _fitting(name, value) for name, value in values.items()}
        return texts.get(language, texts[DEFAULT_LANGUAGE]).format_map(fitting)


def _fitting(name: str, value: str) -> str:
    value = " ".join(value.split())
    while name in CUT and cost(value) > WIDTHS[name]:
        value = value[:-1].rstrip()
    return value


def parse_templates(source: Source) -> tuple[SmsTemplates, list[Diagnostic]]:
    """Read the templates of a file, with everything that is wrong with them.

    S101 wrong shape, S102 unknown key or event, S103 missing event, S104 missing language (an error for the
    default language, else a warning), S105 unknown placeholder, S106 braces that are no placeholder,
    S107 a character that no phone shows, S108 more parts than MAX_PARTS (an error when it is sure, a warning when
    long values make it so), S109 a warning of characters that force UCS-2 on a text that could do without.
    """
    findings = list(source.diagnostics)
    data = source.data if isinstance(source.data, dict) else {}
    findings += _unknown(source, (), data, {"sms"}, "key")
    events = data.get("sms")
    if not isinstance(events, dict):
        findings.append(source.finding(("sms",), "S101", "'sms' must map events to texts per language"))
        return SmsTemplates(), findings
    findings += _unknown(source, ("sms",), events, set(PLACEHOLDERS), "event")
    findings += [
        source.finding(
            ("sms",), "S103", f"event '{event}' has no text", f"add '{event}' below 'sms'", key=True
        )
        for event in PLACEHOLDERS
        if event not in events
    ]
    languages = {str(name) for texts in events.values() if isinstance(texts, dict) for name in texts}
    for event in PLACEHOLDERS.keys() & events.keys():
        findings += _check_event(source, event, events[event], languages | {DEFAULT_LANGUAGE})
    texts = {e: dict(t) for e, t in events.items() if isinstance(t, dict) and e in PLACEHOLDERS}
    return SmsTemplates(texts), sorted(findings)


def _unknown(
    source: Source, path: Path_, data: Mapping[str, Any], known: set[str], noun: str
) -> Iterator[Diagnostic]:
    for key in data.keys() - known:
        message = f"unknown {noun} '{key}'"
        yield source.finding((*path, key), "S102", message, did_you_mean(key, known), key=True)


def _check_event(source: Source, event: str, texts: Any, languages: set[str]) -> Iterator[Diagnostic]:
    path: Path_ = ("sms", event)
    if not isinstance(texts, dict):
        yield source.finding(path, "S101", f"'{event}' must map languages to texts")
        return
    for language in sorted(languages - texts.keys()):
        message, spare = f"'{event}' has no text in '{language}'", language != DEFAULT_LANGUAGE
        hint = f"subscribers of '{language}' get the text in '{DEFAULT_LANGUAGE}'"
        hint = hint if spare else did_you_mean(language, texts)
        yield source.finding(path, "S104", message, hint, key=True, warning=spare)
    for language, text in texts.items():
        yield from _check_text(source, (*path, language), text, PLACEHOLDERS[event])


def _check_text(source: Source, path: Path_, text: Any, allowed: frozenset[str]) -> Iterator[Diagnostic]:
    if not isinstance(text, str) or not text.strip():
        yield source.finding(path, "S101", "must be a text")
        return
    sign = unprintable(text)
    if sign:
        message = f"holds {sign}, which no phone shows"
        yield source.finding(path, "S107", message, "take it out; '\\n' begins a new line")
    try:
        slots = [slot for slot in string.Formatter().parse(text) if slot[1] is not None]
    except ValueError:
        yield source.finding(path, "S106", "has a brace without its partner", "write {{ or }} for a brace")
        return
    wrong = list(_check_slots(source, path, slots, allowed))
    yield from wrong
    if not wrong and not sign:
        yield from _check_width(source, path, text, {str(name) for _, name, _, _ in slots})


def _check_slots(
    source: Source,
    path: Path_,
    slots: list[tuple[str, str | None, str | None, str | None]],
    allowed: frozenset[str],
) -> Iterator[Diagnostic]:
    for _, name, format_, conversion in slots:
        if format_ or conversion or not (name or "").isidentifier():
            message = f"'{{{name}}}' is no placeholder"
            yield source.finding(path, "S106", message, "a placeholder is a name between braces")
        elif name not in allowed:
            hint = did_you_mean(str(name), allowed) or "this text has no placeholders"
            yield source.finding(path, "S105", f"unknown placeholder '{{{name}}}'", hint)


def _check_width(source: Source, path: Path_, text: str, names: set[str]) -> Iterator[Diagnostic]:
    least = parts(text.format_map(dict.fromkeys(names, "")))
    most = parts(text.format_map({name: "x" * WIDTHS[name] for name in names}))
    hint = f"make it shorter: at most {MAX_PARTS} parts, as each is charged as a message"
    if least > MAX_PARTS:
        yield source.finding(path, "S108", f"takes {least} SMS parts or more", hint)
    elif most > MAX_PARTS:
        longest = ", ".join(f"{{{name}}} of {WIDTHS[name]}" for name in sorted(names))
        yield source.finding(path, "S108", f"takes {most} SMS parts with {longest}", hint, warning=True)
    if sign := needless_ucs2(text):
        message = f"{sign} is not in GSM-7: an SMS then holds {SMS_UNITS} characters"
        hint = f"with characters of GSM-7 alone it holds {SMS_SEPTETS}"
        yield source.finding(path, "S109", message, hint, warning=True)
