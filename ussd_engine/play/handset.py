"""The phone, and the gateway's half of the conversation.

What is typed becomes callbacks exactly as Africa's Talking posts them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(slots=True)
class Handset:
    """A phone and the gateway behind it.

    `dialled` is what was typed, answers behind the code included; "" before the first dial.
    """

    phone_number: str
    network: str
    dialled: str
    service_code: str = ""
    session_id: str = ""
    inputs: list[str] = field(default_factory=list, repr=False)

    def dial(self, dialled: str, known: Collection[str]) -> bytes:
        """A new session. The service code is the longest known one that `dialled` begins with."""
        self.dialled, self.session_id = dialled, f"ATUid_{uuid4().hex}"
        self.service_code, self.inputs = split_dialled(dialled, known)
        return self.callback()

    def press(self, text: str) -> bytes:
        self.inputs.append(text)
        return self.callback()

    def callback(self) -> bytes:
        """The form of the gateway: all inputs since the dial, joined by `*`."""
        fields = {
            "sessionId": self.session_id,
            "phoneNumber": self.phone_number,
            "networkCode": self.network,
            "serviceCode": self.service_code,
            "text": "*".join(self.inputs),
        }
        return urlencode(fields).encode()


def split_dialled(dialled: str, known: Collection[str]) -> tuple[str, list[str]]:
    """`*384*100*1*2#` is the service code `*384*100#` and the answers 1 and 2."""
    if dialled.endswith("#") and dialled not in known:
        for code in sorted(known, key=len, reverse=True):
            stem = code.removesuffix("#") + "*"
            if dialled.startswith(stem):
                return code, dialled.removeprefix(stem).removesuffix("#").split("*")
    return dialled, []
