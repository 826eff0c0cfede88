"""Phone numbers: any usual form in, E.164 out, and a masked form for people who watch."""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

RECENT = 1024
"""Numbers kept in their one form: a dial asks for that of its caller several times."""
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def is_e164(text: str) -> bool:
    """Whether `text` is a plus sign and 7 to 15 digits (ITU-T E.164), the form that telcos send."""
    return _E164.fullmatch(text) is not None


@lru_cache(RECENT)
def normalise(text: str, region: str) -> str:
    """E.164 of a number as people write it; `region` (ISO 3166, "KE") completes a national form.

    Raises ValueError, without the number in its message, when no numbering plan has such a number.
    """
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        raise ValueError("not a phone number") from error
    if not phonenumbers.is_possible_number(parsed) or parsed.extension:
        raise ValueError("not a possible phone number")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def mask(phone_number: str) -> str:
    """For logs and dashboards: the country and the last two digits, "+254*******01"."""
    return phone_number[:4] + "*" * max(len(phone_number) - 6, 0) + phone_number[-2:]
