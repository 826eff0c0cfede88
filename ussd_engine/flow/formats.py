"""How a value is written in a text: `{name}` as it is, `{name:form}` in one of a few forms, and how wide it can be.

Signs of the forms are in GSM-7, so that no form makes a page more expensive than its words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ussd_engine.phone import is_e164, mask

Value = str | int | bool

_SEPARATORS: Mapping[str, tuple[str, str]] = {"fr": (" ", ",")}
"""Between thousands, and before hundredths, by language; elsewhere as in English."""
_ENGLISH = (",", ".")
SHOWN_DIGITS = 4
"""Of an account number that is masked: as many as banks print on a receipt."""


def grouped(value: Value, language: str) -> str:
    """1234567 as 1,234,567."""
    thousands, _ = _SEPARATORS.get(language, _ENGLISH)
    return f"{int(value):,}".replace(",", thousands)


def money(value: Value, language: str) -> str:
    """A number of hundredths (cents): 1234567 as 12,345.67."""
    thousands, point = _SEPARATORS.get(language, _ENGLISH)
    whole, rest = divmod(abs(int(value)), 100)
    sign = "-" if int(value) < 0 else ""
    return sign + f"{whole:,}".replace(",", thousands) + f"{point}{rest:02}"


def day(value: Value, _language: str) -> str:
    """1990-12-31 as 31/12/1990; nothing for a date that is not filled."""
    iso = str(value)
    return f"{iso[8:]}/{iso[5:7]}/{iso[:4]}" if iso else ""


def masked(value: Value, _language: str) -> str:
    """+254711000001 as +254*******01, 1000000000033 as *********0033, and KE-000017 as *****0017."""
    text = str(value)
    if is_e164(text):
        return mask(text)
    return "*" * max(len(text) - SHOWN_DIGITS, 0) + text[-SHOWN_DIGITS:]


FORMS: Mapping[str, tuple[Callable[[Value, str], str], frozenset[str]]] = {
    "money": (money, frozenset({"number"})),
    "grouped": (grouped, frozenset({"number"})),
    "date": (day, frozenset({"date"})),
    "masked": (masked, frozenset({"phone", "digits", "text"})),
}
"""Each form with the types of data that it suits."""


def written(value: Value, form: str | None, language: str) -> str:
    """The value as it stands on a screen. The form must suit its type."""
    if form is not None:
        return FORMS[form][0](value, language)
    return str(value).lower() if isinstance(value, bool) else str(value)
