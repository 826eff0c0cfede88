"""The bodies and queries of the staff routes: what is taken, what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ussd_engine.services.deliveries import Standing
from ussd_engine.web.api_models import PhoneNumber, Request

PAGE = 50
MOST = 200

Limit = Annotated[int, Field(ge=1, le=MOST)]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z-]{1,64}$")]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
ChangeState = Literal["pending", "approved", "rejected", "expired"]
OperationState = Literal["open", "in_doubt", "done", "refused", "failed"]


class Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ApprovalsQuery(Query):
    """`after`: go on behind the change with this id; the oldest come first."""

    state: ChangeState = "pending"
    limit: Limit = PAGE
    after: Id | None = None


class OperationsQuery(Query):
    """The newest come first."""

    state: OperationState = "in_doubt"
    limit: Limit = PAGE


class NotificationsQuery(Query):
    """`before`: go on behind the message with this id; the newest come first."""

    state: Standing | None = None
    limit: Limit = PAGE
    before: Id | None = None


class NoQuery(Query):
    """A route that takes no parameters."""


class ApproveRequest(Request):
    """`version` is that of the change as it was read; the reason, for later readers, is kept."""

    version: Annotated[int, Field(ge=1)]
    reason: Reason | None = None

    example: ClassVar[dict[str, object]] = {"version": 1}


class RejectRequest(Request):
    """`version` is that of the change as it was read; the reason, for later readers, is kept."""

    version: Annotated[int, Field(ge=1)]
    reason: Reason

    example: ClassVar[dict[str, object]] = {"version": 1, "reason": "the names do not match the document"}


class RetryRequest(Request):
    """Nothing needs to be said."""

    example: ClassVar[dict[str, object]] = {}


class OverrideRequest(Request):
    """Other words for a text of the flows; `text` null asks for those of the flow file again."""

    key: Annotated[str, Field(min_length=1, max_length=256)]
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$")]
    text: Annotated[str, Field(min_length=1, max_length=2000)] | None
    reason: Reason | None = None

    example: ClassVar[dict[str, object]] = {
        "key": "onboarding.welcome.menu",
        "language": "en",
        "text": "Hello",
    }


class PinResetRequest(Request):
    """Whose PIN is forgotten; the reason, such as how the subscriber was recognised, is for who decides."""

    phone_number: PhoneNumber
    reason: Reason

    example: ClassVar[dict[str, object]] = {
        "phone_number": "+254700000001",
        "reason": "came to the branch with the passport",
    }


class StagedAnswer(BaseModel):
    """The change waits for somebody else's decision."""

    status: Literal["staged"] = "staged"
    change_id: str


class ChangeEntry(BaseModel):
    """A staged change without what it changes."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    kind: str
    entity: str
    entity_id: str
    operation_id: str | None
    state: ChangeState
    version: int
    maker: str
    maker_reason: str | None
    checker: str | None
    reason: str | None
    created_at: datetime
    decided_at: datetime | None
    expires_at: datetime


class FieldChange(BaseModel):
    """One field that differs; `before` is null where nothing was."""

    field: str
    before: Any
    after: Any


class ChangeAnswer(ChangeEntry):
    """A staged change with its difference. `hidden`: the fields are personal, and the key may not decide on them."""

    hidden: bool
    difference: list[FieldChange]


class ChangesAnswer(BaseModel):
    approvals: list[ChangeEntry]


class OperationEntry(BaseModel):
    """An operation. `bank_reference` is what the bank calls it, `id` the external id that it was sent under."""

    id: str
    kind: str
    phone_masked: str
    channel: str
    state: OperationState
    reconciling: bool
    retries: int
    code: str | None
    bank_reference: str | None
    created_at: datetime
    finished_at: datetime | None


class OperationsAnswer(BaseModel):
    operations: list[OperationEntry]


class NotificationEntry(BaseModel):
    """An SMS, without its text and with a masked phone number."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    operation_id: str | None
    change_id: str | None
    event: str
    language: str
    phone_masked: str
    parts: int
    state: str
    attempts: int
    delivery: str | None
    failure: str | None
    created_at: datetime
    finished_at: datetime | None
    reported_at: datetime | None


class NotificationsAnswer(BaseModel):
    notifications: list[NotificationEntry]
