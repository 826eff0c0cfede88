"""What a text costs on the air: GSM-7 septets, or UCS-2 units when one character forces it.

3GPP TS 23.038 section 6.2.1: a character of the default alphabet is one septet, one of the extension table two
(escape and code), and anything else makes the whole message UCS-2, where a character is one 16-bit unit, or two
beyond the basic plane. A USSD string holds 160 octets (3GPP TS 24.080): 182 septets or 80 units. An SMS holds 140
octets (3GPP TS 23.040): 160 septets or 70 units; each part of a longer one spends 6 octets on a header that puts
the parts together again.
"""

from __future__ import annotations

import re

MAX_SEPTETS = 182
MAX_UNITS = 80
SMS_SEPTETS, SMS_UNITS = 160, 70
PART_SEPTETS, PART_UNITS = 153, 67
"""What one SMS holds, and each part of one that is longer."""

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"

_OUTSIDE = re.compile(f"[^{re.escape(BASIC + EXTENSION)}]")
_ESCAPED = re.compile(f"[{re.escape(EXTENSION)}]")


def is_gsm7(text: str) -> bool:
    return _OUTSIDE.search(text) is None


def septets(text: str) -> int:
    """Septets of a text that `is_gsm7`."""
    return len(text) + len(_ESCAPED.findall(text))


def units(text: str) -> int:
    """16-bit units of a text in UCS-2 (as handsets read it: UTF-16, so an emoji is two)."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def septets_of(character: str) -> int:
    return 2 if character in EXTENSION else 1


def units_of(character: str) -> int:
    return 2 if character > "\uffff" else 1


def outside_gsm7(text: str) -> list[str]:
    """Each character that forces a text into UCS-2."""
    return _OUTSIDE.findall(text)


def needless_ucs2(text: str) -> str:
    """The first character that forces UCS-2 on a text that is mostly GSM-7, with its code point; else "".

    Where most letters are of another script the author knows.
    """
    outside = outside_gsm7(text)
    if not outside or 2 * len(outside) > sum(character.isalpha() for character in text):
        return ""
    sign = outside[0]
    return f"'{sign}' U+{ord(sign):04X}" if sign.isprintable() else f"U+{ord(sign):04X}"


def cost(text: str) -> int:
    """Septets of a text in GSM-7, else units."""
    return septets(text) if is_gsm7(text) else units(text)


def parts(text: str) -> int:
    """How many SMS a text takes. An escape and its code, or the two halves of an emoji, stay in one part."""
    single, part = (SMS_SEPTETS, PART_SEPTETS) if is_gsm7(text) else (SMS_UNITS, PART_UNITS)
    if cost(text) <= single:
        return 1
    wide = set(EXTENSION) if is_gsm7(text) else {c for c in text if c > "\uffff"}
    count, room = 1, part
    for character in text:
        width = 2 if character in wide else 1
        if width > room:
            count, room = count + 1, part
        room -= width
    return count
