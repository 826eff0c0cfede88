"""The platform's tables. Migrations make them; a test holds the two together.

Ids are UUIDs as text, times are aware UTC. A column that ends in `_sealed` holds personal data under the key
ring, with `sealed_at(table, column, row id)` as its context: moved to another row, a value does not open.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
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
    # In clear for phone numbers and the bank's own ids; a keyed digest for everything else, which is then sealed.
    Column("value", String(128), nullable=False),
    Column("value_sealed", Text),
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
    # NULL for an account that the bank had opened before.
    Column("kyc_tier", Integer),
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
    # JSON: what `services/policies.py` reads. Every process writes at its start what its settings say.
    Column("rules", Text, nullable=False, server_default="{}"),
)

# How often something that a policy limits by the day has happened.
policy_counters = Table(
    "policy_counters",
    metadata,
    Column("policy_id", ForeignKey("policies.id"), primary_key=True),
    Column("action", String(32), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("used", Integer, nullable=False),
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

# `hash_sealed` is a slow salted hash; `set_by` is the workflow that has set it.
pins = Table(
    "pins",
    metadata,
    Column("user_id", ForeignKey("users.id"), primary_key=True),
    Column("hash_sealed", Text, nullable=False),
    Column("set_by", String(128), nullable=False),
    Column("set_at", UtcDateTime, nullable=False),
)

# What the attempts at a PIN came to; the id is that of the workflow. Old ones go with the next attempt.
pin_attempts = Table(
    "pin_attempts",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("user_id", ForeignKey("users.id"), nullable=False, index=True),
    Column("outcome", String(16), nullable=False),
    Column("attempts_left", Integer, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
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
    # What was asked, for whoever takes the operation up again. NULL in what was begun before this column.
    Column("request_sealed", Text),
    Column("state", String(16), nullable=False),
    Column("reconciling", Boolean, nullable=False),
    Column("told_pending", Boolean, nullable=False),
    Column("bank_reference", String(128)),
    # Counted once per operation, however often it is taken up: reserved, locked, passed, failed, released.
    Column("gate", String(16)),
    Column("retries", Integer, nullable=False, server_default="0"),
    # The day of whose limit this opening takes up room. NULL: of none, or it was given back.
    Column("counted_on", Date),
    Column("result_sealed", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    CheckConstraint("state IN ('open', 'in_doubt', 'done', 'refused', 'failed')", name="state"),
)
UNFINISHED = ("open", "in_doubt")
Index(
    "uq_operations_unfinished",
    operations.c.phone_number,
    unique=True,
    sqlite_where=operations.c.state.in_(UNFINISHED),
    postgresql_where=operations.c.state.in_(UNFINISHED),
)

# How often an entity was changed: what a staged change was made against.
entity_versions = Table(
    "entity_versions",
    metadata,
    Column("entity", String(32), primary_key=True),
    Column("entity_id", String(UUID_LENGTH), primary_key=True),
    Column("version", Integer, nullable=False),
)

# Wrong answers at a gate (`subject`, a digest): dates of birth, per phone number and per customer of the bank, and
# PINs, per user.
gate_counters = Table(
    "gate_counters",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("counted_at", UtcDateTime, nullable=False),
    Column("locked_until", UtcDateTime),
)

staged_changes = Table(
    "staged_changes",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    # NULL where staff asked, and no subscriber.
    Column("operation_id", ForeignKey("operations.id"), index=True),
    Column("kind", String(32), nullable=False),
    Column("entity", String(32), nullable=False),
    Column("entity_id", String(UUID_LENGTH), nullable=False, index=True),
    # The entity's version that `before` shows.
    Column("base_version", Integer, nullable=False, server_default="0"),
    Column("before_sealed", Text, nullable=False),
    Column("after_sealed", Text, nullable=False),
    # What it takes to apply the change and to tell of it, besides `after`.
    Column("context_sealed", Text),
    Column("version", Integer, nullable=False),
    Column("maker", String(64), nullable=False),
    Column("maker_reason", Text),
    Column("checker", String(64)),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    Column("decided_at", UtcDateTime),
    Column("expires_at", UtcDateTime, nullable=False),
    # When the subscriber and the dashboard had been told of the decision.
    Column("told_at", UtcDateTime),
    CheckConstraint("maker <> checker", name="four_eyes"),
    CheckConstraint("state IN ('pending', 'approved', 'rejected', 'expired')", name="state"),
    CheckConstraint(
        "state NOT IN ('approved', 'rejected') OR checker IS NOT NULL", name="decided_by_someone"
    ),
)
Index(
    "uq_staged_changes_pending",
    staged_changes.c.kind,
    staged_changes.c.entity,
    staged_changes.c.entity_id,
    unique=True,
    sqlite_where=staged_changes.c.state == "pending",
    postgresql_where=staged_changes.c.state == "pending",
)

notifications = Table(
    "notifications",
    metadata,
    # The id is also the message id that the SMS sender sees, for every attempt the same.
    Column("id", String(UUID_LENGTH), primary_key=True),
    # One of the two: what the message tells of.
    Column("operation_id", ForeignKey("operations.id")),
    Column("change_id", ForeignKey("staged_changes.id")),
    Column("event", String(32), nullable=False),
    Column("language", String(16), nullable=False),
    Column("phone_sealed", Text, nullable=False),
    Column("text_sealed", Text, nullable=False),
    Column("parts", Integer, nullable=False, server_default="1"),
    Column("state", String(16), nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    # The worker that has begun an attempt and not noted how it went.
    Column("attempt_by", String(64)),
    # Attempts of which nobody knows how they went.
    Column("uncertain", Integer, nullable=False, server_default="0"),
    Column("sender_ref", String(128), index=True),
    # What the sender's delivery report said last: pending, delivered, failed.
    Column("delivery", String(16)),
    # A code: why the sender refused it, or why it was not delivered.
    Column("failure", String(128)),
    # Whether operators heard of the failure.
    Column("failure_told", Boolean, nullable=False, server_default=false()),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("reported_at", UtcDateTime),
    CheckConstraint("state IN ('queued', 'sent', 'failed', 'superseded')", name="state"),
    CheckConstraint("delivery IN ('pending', 'delivered', 'failed')", name="delivery"),
    CheckConstraint("(operation_id IS NULL) <> (change_id IS NULL)", name="tells_of_one_thing"),
    UniqueConstraint("operation_id", "event"),
    UniqueConstraint("change_id", "event"),
)
UNTOLD = notifications.c.failure_told.is_(false()) & (
    (notifications.c.state == "failed") | (notifications.c.delivery == "failed")
)
Index("ix_notifications_untold", notifications.c.id, sqlite_where=UNTOLD, postgresql_where=UNTOLD)

# Append-only by a trigger, and a chain: see `platform/audit.py`.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("seq", BigInteger, nullable=False, unique=True),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("actor", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("entity", String(32), nullable=False),
    Column("entity_id", String(UUID_LENGTH), nullable=False, index=True),
    Column("request_id", String(128), nullable=False),
    Column("reason", String(128)),
    Column("before_sealed", Text),
    Column("after_sealed", Text),
    Column("hash", String(64), nullable=False),
)

# One row: the last entry of the chain, and a seal on it.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("seal", String(64), nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

# Texts that staff changed, over those of the flow files.
translation_overrides = Table(
    "translation_overrides",
    metadata,
    Column("key", String(256), primary_key=True),
    Column("language", String(16), primary_key=True),
    Column("text", Text, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# What flows folders held when they were published, whole: sessions go on in what they began with. Append-only.
flow_revisions = Table(
    "flow_revisions",
    metadata,
    # A digest of the content.
    Column("id", String(16), primary_key=True),
    # JSON: what `flow/stored.py` writes.
    Column("content", Text, nullable=False),
    Column("flows", Integer, nullable=False),
    Column("states", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# Each time that a revision was made the one of new sessions; the last one is current. Append-only.
flow_publications = Table(
    "flow_publications",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("revision", ForeignKey("flow_revisions.id"), nullable=False),
    Column("how", String(16), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("note", Text),
    CheckConstraint("how IN ('folder', 'published', 'rolled_back')", name="how"),
)

# Staff. `role` is what they may do: viewer, maker, checker, admin.
operators = Table(
    "operators",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("name", String(48), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    CheckConstraint("role IN ('viewer', 'maker', 'checker', 'admin')", name="role"),
)

# Keys of operators, and of programs (without an operator). Only the digest is kept; it says nothing of the key.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(UUID_LENGTH), primary_key=True),
    Column("name", String(48), nullable=False, unique=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("operator_id", ForeignKey("operators.id"), index=True),
    # Words with spaces between; NULL where the operator's role tells.
    Column("scopes", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

# The processes that run workflows, each with its last sign of life.
workers = Table(
    "workers",
    metadata,
    Column("executor_id", String(64), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
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
