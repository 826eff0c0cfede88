"""PINs of subscribers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ussd_engine.platform.tables import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pins",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("hash_sealed", sa.Text(), nullable=False),
        sa.Column("set_by", sa.String(length=128), nullable=False),
        sa.Column("set_at", UtcDateTime(), nullable=False),
        sa.Column("attempt_id", sa.String(length=128), nullable=True),
        sa.Column("attempt_outcome", sa.String(length=16), nullable=True),
        sa.Column("attempts_left", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_pins_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_pins")),
    )
