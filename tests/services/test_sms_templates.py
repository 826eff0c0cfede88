"""The file of SMS texts: what it may say, and how a mistake in it is shown."""

from __future__ import annotations

import pytest

from tests.services.parts import SMS_FILE
from ussd_engine.charset import cost, parts
from ussd_engine.flow.sms_templates import PLACEHOLDERS, WIDTHS, SmsTemplates, parse_templates
from ussd_engine.flow.source import parse, read

GOOD = "sms:\n" + "".join(
    f"  {event}:\n    en: text of {event}\n    sw: maandishi\n" for event in PLACEHOLDERS
)


def findings(text: str) -> list[str]:
    return [finding.text() for finding in parse_templates(parse(text, "sms.yaml"))[1]]


def changed(old: str, new: str) -> list[str]:
    assert old in GOOD
    return findings(GOOD.replace(old, new))


def test_the_shipped_texts_are_complete_in_both_languages() -> None:
    """Every event has a text in English and Swahili, and each renders."""
    templates, found = parse_templates(read(SMS_FILE))
    assert found == []
    for event, names in PLACEHOLDERS.items():
        for language in ("en", "sw"):
            text = templates.render(event, language, dict.fromkeys(names, "X"))
            assert "Acme Bank" in text
            assert "{" not in text


def test_a_value_is_text_and_nothing_more() -> None:
    """Braces and line breaks in a name neither name a placeholder nor break the message."""
    templates = SmsTemplates({"account_opened": {"en": "Dear {first_name}: {account_number}"}})
    values = {"first_name": "{account_number}\n\rEve", "account_number": "1"}
    assert templates.render("account_opened", "xx", values) == "Dear {account_number} Eve: 1"


def test_a_long_name_is_cut_and_a_long_account_number_is_not() -> None:
    """A name ends at its width, at a whole word's end where one stands there; a number is whole or of no use."""
    templates = SmsTemplates({"account_opened": {"en": "{first_name}|{account_number}"}})
    name, number = "Maria Fernanda de los Angeles Guadalupe", "1" * 40
    shown = templates.render("account_opened", "en", {"first_name": name, "account_number": number})
    assert shown == f"Maria Fernanda de los Angeles|{number}"


@pytest.mark.parametrize("name", ["x", "\u00d1", "{", "\u0219", "\U0001f600"])
def test_a_cut_name_costs_no_more_than_its_width(name: str) -> None:
    """Septets count, and units where the name forces UCS-2: the check reckons with that width."""
    templates = SmsTemplates({"account_rejected": {"en": "{first_name}"}})
    shown = templates.render("account_rejected", "en", {"first_name": name * 50})
    assert cost(shown) == WIDTHS["first_name"]


def test_the_shipped_texts_take_one_part_with_the_longest_values() -> None:
    """What the engine comes with is charged as one message each, whoever is told."""
    templates, _ = parse_templates(read(SMS_FILE))
    longest = {name: "x" * width for name, width in WIDTHS.items()}
    for event in PLACEHOLDERS:
        for language in ("en", "sw"):
            assert parts(templates.render(event, language, longest)) == 1


def test_a_name_outside_gsm7_is_counted_as_it_is() -> None:
    """The shipped text to a Ștefan is UCS-2, so it takes two parts; to a Ñandù it stays one."""
    templates, _ = parse_templates(read(SMS_FILE))
    for name, count in (("\u0218tefan", 2), ("\u00d1and\u00f9", 1)):
        assert parts(templates.render("account_rejected", "en", {"first_name": name})) == count


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (
            "  account_opened:",
            "  acount_opened:",
            "sms.yaml:2:3: error S102 unknown event 'acount_opened'\n    hint: did you mean 'account_opened'?",
        ),
        (
            "text of account_opened",
            "text of {acount_number}",
            "sms.yaml:3:9: error S105 unknown placeholder '{acount_number}'\n    hint: did you mean 'account_number'?",
        ),
        (
            "text of account_opened",
            "text of {first_name.__class__}",
            """sms.yaml:3:9: error S106 '{first_name.__class__}' is no placeholder
    hint: a placeholder is a name between braces""",
        ),
        (
            "text of account_opened",
            "text of first_name}",
            "sms.yaml:3:9: error S106 has a brace without its partner\n    hint: write {{ or }} for a brace",
        ),
        ("text of account_opened", "7", "sms.yaml:3:9: error S101 must be a text"),
        (
            "    sw: maandishi\n  account_rejected",
            "  account_rejected",
            """sms.yaml:2:3: warning S104 'account_opened' has no text in 'sw'
    hint: subscribers of 'sw' get the text in 'en'""",
        ),
        (
            "    en: text of account_opened\n",
            "",
            "sms.yaml:2:3: error S104 'account_opened' has no text in 'en'\n    hint: known: sw",
        ),
        (
            "    en: text of account_opened\n    sw: maandishi\n",
            "    - text\n",
            "sms.yaml:3:5: error S101 'account_opened' must map languages to texts",
        ),
    ],
)
def test_a_mistake_is_shown_at_its_place(old: str, new: str, finding: str) -> None:
    """One mistake, one finding, with line, column and what to do."""
    found = [f for f in changed(old, new) if "S103" not in f]
    assert found == [finding]


def test_a_missing_event_is_named() -> None:
    """An event without any text would fail when the SMS is due, so it is found before the start."""
    text = GOOD.replace("  account_opened:\n    en: text of account_opened\n    sw: maandishi\n", "")
    assert [f for f in findings(text) if "S103" in f] == [
        "sms.yaml:1:1: error S103 event 'account_opened' has no text\n    hint: add 'account_opened' below 'sms'"
    ]


@pytest.mark.parametrize("text", ["", "sms:", "sms: [a]", "other: 1"])
def test_a_file_without_texts_is_a_finding(text: str) -> None:
    """Whatever stands there instead of texts is reported, never an exception."""
    assert any("S101" in finding for finding in findings(text))
