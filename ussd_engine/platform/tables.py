"""The platform's tables. Migrations make them; a test holds the two together.

Ids are UUIDs as text, times are aware UTC. A column that ends in `_sealed` holds personal data under the key
ring, with `sealed_at(table, column, row id)` as its context: moved to another row, a value does not open.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out. SQLite keeps no zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the base class's signature
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the base class's signature
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def sealed_at(table: str, column: str, row_id: str) -> str:
    """The sealing context of one stored value."""
    return f"{table}.{column}:{row_id}"


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
UUID_LENGTH = 36

customers = Table(
    "customers",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)

identities = Table(
    "identities",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False, index=True),
    Column("type", String(32), nullable=False),
    Column("value", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("type", "value"),
)

profiles = Table(
    "profiles",
    metadata,
    Column("customer_id", ForeignKey("customers.id"), primary_key=True),
    Column("first_name", String(100), nullable=False),
    Column("last_name", String(100), nullable=False),
    Column("gender", String(16)),
    Column("date_of_birth_sealed", Text),
    Column("national_id_sealed", Text),
    Column("source", String(16), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

contacts = Table(
    "contacts",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("value_sealed", Text, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("customer_id", "kind"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False, index=True),
    Column("account_number", String(64), nullable=False, unique=True),
    Column("product", String(64)),
    Column("source", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

roles = Table(
    "roles",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
)

policies = Table(
    "policies",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
)

role_policies = Table(
    "role_policies",
    metadata,
    Column("role_id", ForeignKey("roles.id"), primary_key=True),
    Column("policy_id", ForeignKey("policies.id"), primary_key=True),
)

users = Table(
    "users",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False, unique=True),
    Column("role_id", ForeignKey("roles.id"), nullable=False),
    Column("status", String(16), nullable=False),
    Column("language", String(16), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("activated_at", UtcDateTime),
    CheckConstraint("status IN ('pending', 'active', 'rejected')", name="status"),
)

operations = Table(
    "operations",
    metadata,
    # The id is also the external id that the bank stores with an opening.
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("phone_number", String(16), nullable=False, index=True),
    Column("workflow_id", String(128), nullable=False, unique=True),
    Column("channel", String(16), nullable=False),
    Column("asked_digest", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempted_at", UtcDateTime),
    Column("reconciling", Boolean, nullable=False),
    Column("told_pending", Boolean, nullable=False),
    Column("bank_reference", String(128)),
    Column("result_sealed", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    CheckConstraint("state IN ('open', 'in_doubt', 'done', 'refused', 'failed')", name="state"),
)
UNFINISHED = ("open", "in_doubt")
Index(
    "uq_operations_unfinished",
    operations.c.kind,
    operations.c.phone_number,
    unique=True,
    sqlite_where=operations.c.state.in_(UNFINISHED),
    postgresql_where=operations.c.state.in_(UNFINISHED),
)

staged_changes = Table(
    "staged_changes",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("operation_id", ForeignKey("operations.id"), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("entity", String(32), nullable=False),
    Column("entity_id", String(UUID_LENGTH), nullable=False, index=True),
    Column("before_sealed", Text, nullable=False),
    Column("after_sealed", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("maker", String(64), nullable=False),
    Column("checker", String(64)),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime),
    Column("expires_at", UtcDateTime, nullable=False),
    CheckConstraint("maker <> checker", name="four_eyes"),
    CheckConstraint("state IN ('pending', 'approved', 'rejected', 'expired')", name="state"),
    CheckConstraint(
        "state NOT IN ('approved', 'rejected') OR checker IS NOT NULL", name="decided_by_someone"
    ),
)

notifications = Table(
    "notifications",
    metadata,
    # The id is also the message id that the SMS sender sees, for every attempt the same.
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("operation_id", ForeignKey("operations.id"), nullable=False),
    Column("event", String(32), nullable=False),
    Column("language", String(16), nullable=False),
    Column("phone_sealed", Text, nullable=False),
    Column("text_sealed", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("sender_ref", String(128)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    CheckConstraint("state IN ('queued', 'sent', 'failed')", name="state"),
    UniqueConstraint("operation_id", "event"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("actor", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("entity", String(32), nullable=False),
    Column("entity_id", String(UUID_LENGTH), nullable=False, index=True),
    Column("request_id", String(128), nullable=False),
    Column("reason", String(128)),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key_digest", String(64), primary_key=True),
    Column("body_digest", String(64), nullable=False),
    # Raised when an attempt changed nothing and may be made again.
    Column("attempt", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

engine_facts = Table(
    "engine_facts",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(64), nullable=False),
)
