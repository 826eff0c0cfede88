"""Of attempts at a PIN not only the last one is known again."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from ussd_engine.platform.tables import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pin_attempts",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("attempts_left", sa.Integer(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_pin_attempts_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pin_attempts")),
    )
    op.create_index(op.f("ix_pin_attempts_user_id"), "pin_attempts", ["user_id"])
    kept = sa.text(
        "INSERT INTO pin_attempts (id, user_id, outcome, attempts_left, made_at)"
        " SELECT attempt_id, user_id, attempt_outcome, attempts_left, :now FROM pins WHERE attempt_id IS NOT NULL"
    )
    op.execute(kept.bindparams(sa.bindparam("now", datetime.now(UTC), UtcDateTime())))
    with op.batch_alter_table("pins") as table:
        table.drop_column("attempt_id")
        table.drop_column("attempt_outcome")
        table.drop_column("attempts_left")
