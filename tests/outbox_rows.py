"""Messages as they stand in the outbox, without the work that puts them there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import insert

from tests.database_fixtures import KEYS
from ussd_engine.charset import parts
from ussd_engine.platform.tables import UUID_LENGTH, notifications, operations, sealed_at
from ussd_engine.sealing import KeyRing

if TYPE_CHECKING:
    from sqlalchemy import Connection

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
PHONE = "+254711000001"
TEXT = "Dear Jane Sample, your account is open"


@dataclass(frozen=True)
class Message:
    """`age_s`: how long before NOW it was made."""

    id: str
    state: str = "sent"
    sender_ref: str | None = None
    delivery: str | None = None
    failure: str | None = None
    age_s: float = 0


def put(connection: Connection, message: Message, keys: KeyRing = KEYS) -> None:
    """The message, and the operation that it tells of."""
    made_at = NOW - timedelta(seconds=message.age_s)
    connection.execute(
        insert(operations).values(
            id=operation_id(message),
            kind="account.open",
            phone_number=PHONE,
            workflow_id=f"w-{message.id}",
            channel="ussd",
            asked_digest="d",
            state="done",
            reconciling=False,
            told_pending=False,
            created_at=made_at,
        )
    )
    connection.execute(
        insert(notifications).values(
            id=message.id,
            operation_id=operation_id(message),
            event="account_opened",
            language="en",
            phone_sealed=keys.seal(PHONE.encode(), sealed_at("notifications", "phone_sealed", message.id)),
            text_sealed=keys.seal(TEXT.encode(), sealed_at("notifications", "text_sealed", message.id)),
            parts=parts(TEXT),
            state=message.state,
            attempts=1,
            sender_ref=message.sender_ref,
            delivery=message.delivery,
            failure=message.failure,
            created_at=made_at,
        )
    )


def operation_id(message: Message) -> str:
    """As long as an id may be."""
    return f"op-{message.id}"[:UUID_LENGTH]
