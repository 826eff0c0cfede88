"""Every error that the engine raises on purpose.

::

    UssdError                    code
    ├── SettingsError            settings_invalid        this machine or its settings are wrong; nothing starts
    │   └── InvalidSettings      settings_invalid        config.yaml or USSD__* has findings; holds all of them
    ├── FlowError                flow_invalid            a flow folder cannot be used
    │   └── InvalidFlows         flow_invalid            a flow folder has findings; holds all of them
    ├── GuardError               expression_invalid      an expression is no CEL, or cannot be computed
    ├── IllegalMove              illegal_move            an edge that the compiled flow does not have
    ├── BadCallback              bad_callback            a gateway's request is no callback at all (HTTP 400)
    ├── SessionConflict          session_conflict        caller or service code changed within a session
    ├── SessionCorrupt           session_corrupt         a stored session cannot be read
    ├── ReplayDiverged           replay_diverged         inputs played again no longer lead where they led
    ├── StoreUnavailable         store_unavailable       the session store does not answer
    ├── TurnTooLong              turn_too_long           a turn takes more steps than one may
    ├── DatabaseUnavailable      database_unavailable    the platform's database does not answer
    ├── BankUnavailable          cbs_unavailable         the bank did not answer; nothing was changed there
    ├── SmsUnavailable           sms_unavailable         the sender did not accept; trying again may help
    ├── SmsRejected              sms_rejected            the sender refused for good
    ├── BadPosition              bad_position            no position in the feed of events
    ├── ListenerTooSlow          listener_too_slow       a listener takes events slower than they come
    ├── SealBroken               seal_broken             sealed data does not open: another key, place or content
    ├── StepFailed               step_failed             a step of a workflow failed in a way nobody planned
    └── Refusal                  (its own)               a rule of the business says no
        ├── CustomerNotFound     customer_not_found
        ├── IdentityNotVerified  identity_not_verified
        ├── AlreadySubscribed    already_subscribed
        ├── CustomerExists       customer_exists
        ├── AccountRejected      rejected
        ├── IdempotencyKeyReused idempotency_key_reused
        └── UnknownFlow          unknown_flow

Those that one module alone raises and explains stand in that module, the others here.
Messages are for a person: what is wrong, where, and what to do. None of them holds personal data.
"""

from __future__ import annotations

from typing import ClassVar


class UssdError(Exception):
    """The root. `code` is stable: it stands in logs, in API answers and in documentation."""

    code: ClassVar[str] = "ussd_error"


class SettingsError(UssdError):
    code = "settings_invalid"


class FlowError(UssdError):
    code = "flow_invalid"


class IllegalMove(UssdError):
    code = "illegal_move"


class BadCallback(UssdError):
    """`field` is the wire name of the field that is missing or wrong; `reason` says how."""

    code = "bad_callback"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class SessionConflict(UssdError):
    code = "session_conflict"


class SessionCorrupt(UssdError):
    code = "session_corrupt"


class StoreUnavailable(UssdError):
    code = "store_unavailable"


class DatabaseUnavailable(UssdError):
    code = "database_unavailable"


class BankUnavailable(UssdError):
    """The bank did not answer, and the call certainly changed nothing there."""

    code = "cbs_unavailable"


class SmsUnavailable(UssdError):
    code = "sms_unavailable"


class SmsRejected(UssdError):
    code = "sms_rejected"


class BadPosition(UssdError):
    code = "bad_position"


class ListenerTooSlow(UssdError):
    """Nothing is lost: the listener may resume after the last event that it took."""

    code = "listener_too_slow"


class Refusal(UssdError):
    """A rule of the business says no. Not a fault: it is answered, not logged as an error."""

    code = "refused"


class CustomerNotFound(Refusal):
    code = "customer_not_found"


class IdentityNotVerified(Refusal):
    code = "identity_not_verified"


class AlreadySubscribed(Refusal):
    code = "already_subscribed"


class CustomerExists(Refusal):
    code = "customer_exists"


class AccountRejected(Refusal):
    code = "rejected"


class IdempotencyKeyReused(Refusal):
    code = "idempotency_key_reused"
