"""application/x-www-form-urlencoded bodies, read strictly and in one pass.

The form rules are those of the WHATWG URL standard (section 5.1: `&` between pairs, `+` is a space, an empty
pair is nothing, a name without `=` has an empty value), but where a browser would guess, this refuses: a
broken percent-escape, bytes that are no UTF-8, a wanted field that stands twice. No message repeats anything
that came.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from ussd_engine.errors import BadCallback

if TYPE_CHECKING:
    from collections.abc import Collection

MEDIA_TYPE = "application/x-www-form-urlencoded"
MAX_BODY_BYTES = 64 * 1024
"""The web front takes no more either; the longest field (4096 characters of 4 bytes, all escaped) fits."""
MAX_PAIRS = 64
"""A gateway sends at most about a dozen fields; refusing more bounds the work of a hostile body."""

_BYTE = {
    (high + low).encode(): bytes([int(high + low, 16)])
    for high in string.hexdigits
    for low in string.hexdigits
}


def read_form(
    body: bytes, content_type: str, wanted: Collection[str], *, unread: Collection[str] = ()
) -> dict[str, str]:
    """Return the `wanted` fields that the body holds. Values of `unread` fields are not even decoded.

    Raises BadCallback on "Content-Type", on "body", or on the wanted field that is wrong.
    """
    if content_type != MEDIA_TYPE:
        _check_media_type(content_type)
    if len(body) > MAX_BODY_BYTES:
        raise BadCallback("body", f"is longer than {MAX_BODY_BYTES} bytes")
    # bytes that are no UTF-8 are carried along, and refused where they stand
    pairs = body.decode(errors="surrogateescape").split("&", MAX_PAIRS)
    if len(pairs) > MAX_PAIRS:
        raise BadCallback("body", f"holds more than {MAX_PAIRS} fields")
    form: dict[str, str] = {}
    for pair in pairs:
        raw_name, _, raw_value = pair.partition("=")
        name = raw_name if raw_name in wanted else _decode(raw_name, "body")
        if name in unread:
            continue
        if name not in wanted:
            _decode(raw_value, "body")
        elif name in form:
            raise BadCallback(name, "stands more than once; send it once")
        else:
            form[name] = _decode(raw_value, name)
    return form


def _check_media_type(content_type: str) -> None:
    """Parameters are ignored (a form is UTF-8 whatever they say); no content type at all is tolerated."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in {"", MEDIA_TYPE}:
        raise BadCallback("Content-Type", f"is not a form; send {MEDIA_TYPE}")


def _decode(text: str, field: str) -> str:
    if (
        text.isascii() and "%" not in text and "+" not in text
    ):  # as most are, and this runs at every key press
        return text
    raw = text.encode(errors="surrogateescape").replace(b"+", b" ")
    try:
        if b"%" in raw:
            head, *escaped = raw.split(b"%")
            raw = head + b"".join([_BYTE[part[:2]] + part[2:] for part in escaped])
        return raw.decode()
    except KeyError:
        raise BadCallback(field, "holds a '%' that two hexadecimal digits do not follow") from None
    except UnicodeDecodeError:
        raise BadCallback(field, "is not UTF-8 text") from None
