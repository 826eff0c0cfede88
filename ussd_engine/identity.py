"""By what a customer is known: kinds of identity, each brought to one form by its own rule, and how it is stored.

One form per identity makes "unique per kind" a rule that the database can hold to. What is no identity at all, such as
"N/A" in the national id of a bank's record, is refused: it would be the same for everybody who has none.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Literal, get_args

from ussd_engine import phone

if TYPE_CHECKING:
    from ussd_engine.sealing import KeyRing

Kind = Literal[
    "phone", "alternate_phone", "wallet", "bank_ref", "national_id", "passport", "customer_number", "email"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
PHONES = frozenset({"phone", "alternate_phone", "wallet"})
IN_CLEAR = PHONES | {"bank_ref", "customer_number"}
"""Phone numbers and the bank's own ids; a document or an address is stored as a keyed digest."""

_BETWEEN = re.compile(r"[\s./\\-]+")
_DOCUMENT = re.compile(r"[A-Z0-9]{4,32}")
_NOTHING = re.compile(r"NA|NONE|NULL|NIL|UNKNOWN|NOTAVAILABLE|X+|0+|9{6,}")
_BANK_ID = re.compile(r"[!-~]{1,64}")
_EMAIL = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]{1,253}")


def normalise(kind: Kind, text: str, region: str) -> str:
    """The one form of an identity. `region` (ISO 3166) completes a national phone number; "" completes none.

    Raises ValueError, without the text in its message.
    """
    if kind in PHONES:
        return phone.normalise(text, region)
    if kind in {"bank_ref", "customer_number"}:
        return _bank_id(text)
    if kind == "email":
        return _email(text)
    return _document(text)


def stored_value(keys: KeyRing, kind: Kind, normalised: str) -> str:
    """What the database holds of a normalised identity."""
    return normalised if kind in IN_CLEAR else keys.digest("identity", kind, normalised)


def mask(kind: Kind, normalised: str) -> str:
    """For people who decide on an identity without needing all of it: its ends, or the domain of an address."""
    if kind in PHONES:
        return phone.mask(normalised)
    if kind == "email":
        return f"{normalised[:1]}***{normalised[normalised.rindex('@') :]}"
    return "*" * max(len(normalised) - 2, 0) + normalised[-2:]


def _bank_id(text: str) -> str:
    """The case is kept: to some banks "a1" and "A1" are two customers."""
    trimmed = text.strip()
    if not _BANK_ID.fullmatch(trimmed):
        raise ValueError("an id of the bank has 1 to 64 visible characters of ASCII, and no spaces")
    return trimmed


def _document(text: str) -> str:
    """However it is spaced and dotted, and in whichever case: a person reads it from a card."""
    joined = _BETWEEN.sub("", unicodedata.normalize("NFKC", text)).upper()
    if not _DOCUMENT.fullmatch(joined):
        raise ValueError("the number of a document has 4 to 32 letters and digits")
    if _NOTHING.fullmatch(joined):
        raise ValueError("this stands for no number at all")
    return joined


def _email(text: str) -> str:
    """In lower case altogether: nobody has two mailboxes that differ in case alone."""
    trimmed = unicodedata.normalize("NFC", text.strip())
    if not _EMAIL.fullmatch(trimmed):
        raise ValueError("an email address has one @ with a name before it and a domain behind it")
    name, _, domain = trimmed.partition("@")
    try:
        ascii_domain = domain.rstrip(".").encode("idna").decode().lower()
    except UnicodeError:
        raise ValueError("the domain of this email address cannot exist") from None
    if "." not in ascii_domain:
        raise ValueError("the domain of an email address has a dot")
    return f"{unicodedata.normalize('NFC', name.casefold())}@{ascii_domain}"
