"""What a text costs on the air: GSM-7 septets, or UCS-2 units when one character forces it.

3GPP TS 23.038 section 6.2.1: a character of the default alphabet is one septet, one of the extension table two
(escape and code), and anything else makes the whole message UCS-2, where a character is one 16-bit unit, or two
beyond the basic plane. A USSD string holds 160 octets (3GPP TS 24.080): 182 septets or 80 units.
"""

from __future__ import annotations

import re

MAX_SEPTETS = 182
MAX_UNITS = 80

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
    return len(text) + sum(character > "\uffff" for character in text)
