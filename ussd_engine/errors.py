"""Every error that the engine raises on purpose.

::

    UssdError                    code
    ├── SettingsError            settings_invalid        this machine or its settings are wrong; nothing starts
    │   └── InvalidSettings      settings_invalid        config.yaml or USSD__* has findings; holds all of them
    ├── FlowError                flow_invalid            a flow folder cannot be used
    │   ├── InvalidFlows         flow_invalid            a flow folder has findings; holds all of them
    │   └── BadTranscript        flow_invalid            a file is no transcript, or not one of these flows
    ├── BadVisits                visits_invalid          a file of counts of visits cannot be used
    ├── GuardError               expression_invalid      an expression is no CEL, or cannot be computed
    ├── IllegalMove              illegal_move            an edge that the compiled flow does not have
    ├── BadCallback              bad_callback            a gateway's request is no callback at all (HTTP 400)
    ├── SessionConflict          session_conflict        caller or service code changed within a session
    ├── SessionCorrupt           session_corrupt         a stored session cannot be read
    ├── ReplayDiverged           replay_diverged         inputs played again no longer lead where they led
    ├── StoreUnavailable         store_unavailable       the session store does not answer
    ├── TurnTooLong              turn_too_long           a turn takes more steps than one may
    ├── DatabaseUnavailable      database_unavailable    the platform's database does not answer
    ├── Busy                     busy                    other work stands in the way; nothing was changed
    ├── BankUnavailable          cbs_unavailable         the bank did not answer; nothing was changed there
    ├── NumberChecksUnavailable  number_checks_unavailable  the mobile operator gave no clear answer on a number
    ├── SmsUnavailable           sms_unavailable         the sender did not accept; trying again may help
    │   └── SmsUncertain         sms_uncertain           it may have accepted: trying again may send it twice
    ├── SmsRejected              sms_rejected            the sender refused for good
    ├── BadPosition              bad_position            no position in the feed of events
    ├── ListenerTooSlow          listener_too_slow       a listener takes events slower than they come
    ├── SealBroken               seal_broken             sealed data does not open: another key, place or content
    ├── RuleBroken               rule_broken             a flow under test did what none may; holds the way there
    ├── CannotSave               cannot_save             what was played cannot be written down there
    ├── WorkFailed               work_failed             an operation met a fault of the engine's own
    ├── IdentityTaken            identity_taken          an identity stands with another customer; staff decide
    └── Refusal                  (its own)               a rule of the business says no
        ├── CustomerNotFound     customer_not_found
        ├── IdentityNotVerified  identity_not_verified
        ├── AlreadySubscribed    already_subscribed
        ├── CustomerExists       customer_exists
        ├── AccountRejected      rejected
        ├── PinExists            pin_exists
        ├── NotAllowed           not_allowed
        ├── IdempotencyKeyReused idempotency_key_reused
        ├── StaffRefused         staff_refused           a change of operators or keys that cannot be
        ├── UnknownName          unknown_name            no operator, key or revision of this name
        ├── NothingToRollBack    nothing_to_roll_back    no earlier revision of the flows, or it is current
        ├── RevisionChanged      revision_changed        another one became current meanwhile
        ├── UnknownFlow          unknown_flow
        ├── TextRefused          text_refused
        ├── PinNotFound          pin_not_found
        ├── ChangeNotFound       change_not_found
        ├── ChangeDecided        change_decided
        ├── ChangeStale          change_stale
        ├── ChangeExpired        change_expired
        ├── ChangeConflict       change_conflict
        ├── SelfApproval         self_approval
        ├── OperationNotFound    operation_not_found
        └── OperationFinished    operation_finished

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


class Busy(UssdError):
    """Other work stands in the way, and did not end in time; nothing was changed."""

    code = "busy"


class BankUnavailable(UssdError):
    """The bank did not answer, and the call certainly changed nothing there."""

    code = "cbs_unavailable"


class NumberChecksUnavailable(UssdError):
    """The mobile operator gave no clear answer about a number."""

    code = "number_checks_unavailable"


class SmsUnavailable(UssdError):
    code = "sms_unavailable"


class SmsUncertain(SmsUnavailable):
    """The message went out and no answer tells what became of it: it may be accepted, and sent twice if tried again."""

    code = "sms_uncertain"


class SmsRejected(UssdError):
    """`reason` is the sender's own code, such as InvalidPhoneNumber: it is kept and shown to staff."""

    code = "sms_rejected"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the SMS sender refused the message: {reason}")
        self.reason = reason


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


class PinExists(Refusal):
    code = "pin_exists"


class IdempotencyKeyReused(Refusal):
    code = "idempotency_key_reused"


class NotAllowed(Refusal):
    """The policy of the role does not allow the action, or no further one today."""

    code = "not_allowed"
