"""stand-in until the branch comes"""

from typing import Literal

from ussd_engine.sealing import KeyRing

Kind = Literal[
    "phone", "alternate_phone", "wallet", "bank_ref", "national_id", "passport", "customer_number", "email"
]


def normalise(kind: Kind, text: str, region: str) -> str:
    return text


def stored_value(keys: KeyRing, kind: Kind, normalised: str) -> str:
    return (
        normalised
        if kind in ("phone", "alternate_phone", "wallet", "bank_ref")
        else keys.digest("identity", kind, normalised)
    )
