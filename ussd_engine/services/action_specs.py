"""The actions that a flow may name: what each takes, and what it gives back with each outcome.

A read that does not come back in time is `unavailable`, and what the policy of the USSD role does not allow, or no
more of it today, is `not_allowed`: so each has these outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping

from ussd_engine.flow.vocabulary import ActionSpec, Input, ListOf

_PHONE = {"phone": Input(phone=True)}

SPECS: Mapping[str, ActionSpec] = {
    spec.name: spec
    for spec in (
        ActionSpec(
            name="subscription.check",
            effect=False,
            inputs=_PHONE,
            outcomes={
                "subscribed": {"language": "string"},
                "pending_approval": {"language": "string"},
                "existing_customer": {},
                "new_customer": {},
                "unavailable": {},
                "not_allowed": {},
            },
        ),
        ActionSpec(
            name="subscription.profile",
            effect=False,
            inputs=_PHONE,
            outcomes={
                "found": {
                    "first_name": "string",
                    "last_name": "string",
                    "accounts": ListOf.of(number="string"),  # the oldest first
                },
                "not_found": {},
                "unavailable": {},
                "not_allowed": {},
            },
        ),
        ActionSpec(
            name="subscription.language",
            effect=True,
            inputs={**_PHONE, "language": Input()},
            outcomes={
                "changed": {},
                "not_found": {},
                "pending": {},
                "unavailable": {},
                "not_allowed": {},
            },
        ),
        ActionSpec(
            name="subscription.register",
            effect=True,
            inputs={**_PHONE, "birth_date": Input(secret=True), "language": Input()},
            outcomes={
                "staged": {},
                "not_verified": {},
                "not_found": {},
                "already_subscribed": {},
                "pending": {},
                "unavailable": {},
                "not_allowed": {},
            },
        ),
        ActionSpec(
            name="account.open",
            effect=True,
            inputs={
                **_PHONE,
                "first_name": Input(),
                "last_name": Input(),
                "birth_date": Input(secret=True),
                "language": Input(),
                "national_id": Input(required=False, secret=True),
                "gender": Input(required=False),
                "product": Input(required=False),
            },
            outcomes={
                "opened": {"account_number": "string"},
                "existing_customer": {},
                "rejected": {},
                "pending": {},
                "unavailable": {},
                "not_allowed": {},
            },
        ),
        ActionSpec(
            name="pin.verify",
            effect=True,  # it counts the attempt
            inputs={**_PHONE, "pin": Input(secret=True)},
            outcomes={
                "verified": {},
                "wrong": {"attempts_left": "int"},
                "locked": {},
                "not_set": {},
                "pending": {},
                "unavailable": {},
                "not_allowed": {},
            },
        ),
        ActionSpec(
            name="pin.change",
            effect=True,
            inputs={**_PHONE, "old_pin": Input(secret=True), "new_pin": Input(secret=True)},
            outcomes={
                "changed": {},
                "wrong": {"attempts_left": "int"},  # the old one, which counts as an attempt of pin.verify
                "locked": {},
                "not_set": {},
                "pending": {},
                "unavailable": {},
                "not_allowed": {},
            },
        ),
        ActionSpec(
            name="pin.set",
            effect=True,
            inputs={**_PHONE, "birth_date": Input(secret=True), "pin": Input(secret=True)},
            outcomes={
                "set": {},
                "not_verified": {},
                "already_set": {},
                "not_found": {},
                "pending": {},
                "unavailable": {},
                "not_allowed": {},
            },
        ),
    )
}
