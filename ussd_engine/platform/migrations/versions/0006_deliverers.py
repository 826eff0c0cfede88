"""Each attempt at a message is taken before it is made, and operators hear of every message that fails."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("notifications") as table:
        table.add_column(sa.Column("attempt_by", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("uncertain", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("failure_told", sa.Boolean(), server_default=sa.false(), nullable=False))
        table.drop_constraint(op.f("ck_notifications_state"), type_="check")
        table.create_check_constraint(
            op.f("ck_notifications_state"), "state IN ('queued', 'sent', 'failed', 'superseded')"
        )
    # What failed in former times is no news.
    op.execute("UPDATE notifications SET failure_told = true WHERE state = 'failed' OR delivery = 'failed'")
    untold = sa.text("failure_told IS false AND (state = 'failed' OR delivery = 'failed')")
    op.create_index(
        "ix_notifications_untold", "notifications", ["id"], sqlite_where=untold, postgresql_where=untold
    )
