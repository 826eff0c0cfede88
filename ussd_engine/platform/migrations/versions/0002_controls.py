"""What a bank's risk, audit and operations people ask for: changes of any kind, a chained audit log, staff, limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from ussd_engine.platform.audit import chain_of_old_rows
from ussd_engine.platform.migrations.append_only import allow_changes, forbid_changes
from ussd_engine.platform.tables import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _new_tables()
    op.add_column("identities", sa.Column("value_sealed", sa.Text(), nullable=True))
    op.add_column("accounts", sa.Column("kyc_tier", sa.Integer(), nullable=True))
    op.add_column("policies", sa.Column("rules", sa.Text(), server_default="{}", nullable=False))
    _operations()
    _staged_changes()
    _notifications()
    _audit_log()


def _new_tables() -> None:
    op.create_table(
        "entity_versions",
        sa.Column("entity", sa.String(length=32), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("entity", "entity_id", name=op.f("pk_entity_versions")),
    )
    op.create_table(
        "gate_counters",
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("counted_at", UtcDateTime(), nullable=False),
        sa.Column("locked_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_gate_counters")),
    )
    op.create_table(
        "policy_counters",
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["policy_id"], ["policies.id"], name=op.f("fk_policy_counters_policy_id")),
        sa.PrimaryKeyConstraint("policy_id", "action", "day", name=op.f("pk_policy_counters")),
    )
    op.create_table(
        "translation_overrides",
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", "language", name=op.f("pk_translation_overrides")),
    )
    op.create_table(
        "operators",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=48), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'maker', 'checker', 'admin')", name=op.f("ck_operators_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operators")),
        sa.UniqueConstraint("name", name=op.f("uq_operators_name")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=48), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("operator_id", sa.String(length=36), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.id"], name=op.f("fk_api_keys_operator_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("name", name=op.f("uq_api_keys_name")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_index(op.f("ix_api_keys_operator_id"), "api_keys", ["operator_id"], unique=False)
    op.create_table(
        "workers",
        sa.Column("executor_id", sa.String(length=64), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("executor_id", name=op.f("pk_workers")),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("seal", sa.String(length=64), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_head_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )


def _operations() -> None:
    op.add_column("operations", sa.Column("request_sealed", sa.Text(), nullable=True))
    op.drop_column("operations", "attempted_at")
    op.add_column("operations", sa.Column("gate", sa.String(length=16), nullable=True))
    op.add_column("operations", sa.Column("retries", sa.Integer(), server_default="0", nullable=False))
    # A registration that was under way beside an opening for the same number makes room for it.
    op.execute(
        "UPDATE operations SET state = 'failed' WHERE kind = 'subscription.register' AND state = 'open'"
        " AND EXISTS (SELECT 1 FROM operations AS other WHERE other.phone_number = operations.phone_number"
        " AND other.kind = 'account.open' AND other.state IN ('open', 'in_doubt'))"
    )
    unfinished = sa.text("state IN ('open', 'in_doubt')")
    op.drop_index("uq_operations_unfinished", table_name="operations")
    op.create_index(
        "uq_operations_unfinished",
        "operations",
        ["phone_number"],
        unique=True,
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )


def _staged_changes() -> None:
    # SQLite's table is made anew, and its checks have to be named for that.
    checks = (
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'rejected', 'expired')", name=op.f("ck_staged_changes_state")
        ),
        sa.CheckConstraint(
            "state NOT IN ('approved', 'rejected') OR checker IS NOT NULL",
            name=op.f("ck_staged_changes_decided_by_someone"),
        ),
        sa.CheckConstraint("maker <> checker", name=op.f("ck_staged_changes_four_eyes")),
    )
    with op.batch_alter_table("staged_changes", table_args=checks) as table:
        table.alter_column("operation_id", existing_type=sa.String(length=36), nullable=True)
        table.drop_constraint("uq_staged_changes_operation_id", type_="unique")
        table.add_column(sa.Column("base_version", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("context_sealed", sa.Text(), nullable=True))
        table.add_column(sa.Column("maker_reason", sa.Text(), nullable=True))
        table.add_column(sa.Column("told_at", UtcDateTime(), nullable=True))
    op.create_index(op.f("ix_staged_changes_operation_id"), "staged_changes", ["operation_id"])
    op.create_index(op.f("ix_staged_changes_created_at"), "staged_changes", ["created_at"])
    pending = sa.text("state = 'pending'")
    op.create_index(
        "uq_staged_changes_pending",
        "staged_changes",
        ["kind", "entity", "entity_id"],
        unique=True,
        sqlite_where=pending,
        postgresql_where=pending,
    )


def _notifications() -> None:
    state = sa.CheckConstraint("state IN ('queued', 'sent', 'failed')", name=op.f("ck_notifications_state"))
    with op.batch_alter_table("notifications", table_args=(state,)) as table:
        table.alter_column("operation_id", existing_type=sa.String(length=36), nullable=True)
        table.add_column(sa.Column("change_id", sa.String(length=36), nullable=True))
        table.add_column(sa.Column("parts", sa.Integer(), server_default="1", nullable=False))
        table.add_column(sa.Column("delivery", sa.String(length=16), nullable=True))
        table.add_column(sa.Column("failure", sa.String(length=128), nullable=True))
        table.add_column(sa.Column("reported_at", UtcDateTime(), nullable=True))
        table.create_foreign_key(op.f("fk_notifications_change_id"), "staged_changes", ["change_id"], ["id"])
        table.create_check_constraint(
            op.f("ck_notifications_delivery"), "delivery IN ('pending', 'delivered', 'failed')"
        )
        table.create_check_constraint(
            op.f("ck_notifications_tells_of_one_thing"), "(operation_id IS NULL) <> (change_id IS NULL)"
        )
        table.create_unique_constraint(op.f("uq_notifications_change_id_event"), ["change_id", "event"])
    op.create_index(op.f("ix_notifications_state"), "notifications", ["state"])
    op.create_index(op.f("ix_notifications_sender_ref"), "notifications", ["sender_ref"])


def _audit_log() -> None:
    """What stands there becomes the first part of the chain, in the order of its times."""
    allow_changes("audit_log")
    with op.batch_alter_table("audit_log") as table:
        table.add_column(sa.Column("seq", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("before_sealed", sa.Text(), nullable=True))
        table.add_column(sa.Column("after_sealed", sa.Text(), nullable=True))
        table.add_column(sa.Column("hash", sa.String(length=64), nullable=True))
    chain_of_old_rows(op.get_bind(), context.config.attributes["keys"])
    with op.batch_alter_table("audit_log") as table:
        table.alter_column("seq", existing_type=sa.BigInteger(), nullable=False)
        table.alter_column("hash", existing_type=sa.String(length=64), nullable=False)
        table.create_unique_constraint(op.f("uq_audit_log_seq"), ["seq"])
    forbid_changes("audit_log")
