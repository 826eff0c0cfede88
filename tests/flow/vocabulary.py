"""Two sample actions for the flows of the tests: one that reads and one that changes something."""

from __future__ import annotations

from collections.abc import Mapping

from ussd_engine.flow.vocabulary import ActionSpec, Input

ACTIONS: Mapping[str, ActionSpec] = {
    "sample.lookup": ActionSpec(
        name="sample.lookup",
        effect=False,
        inputs={"phone": Input(phone=True)},
        outcomes={
            "found": {"full_name": "string", "visits": "int", "active": "bool"},
            "missing": {},
            "unavailable": {},
        },
    ),
    "sample.pay": ActionSpec(
        name="sample.pay",
        effect=True,
        inputs={
            "phone": Input(phone=True),
            "amount": Input("int"),
            "pin": Input(required=False, secret=True),
            "note": Input(required=False),
        },
        outcomes={"done": {"receipt": "string"}, "pending": {}, "unavailable": {}},
    ),
}
