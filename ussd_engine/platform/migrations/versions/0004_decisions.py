"""A staged change says for good who asked for what, and what was decided; an opening knows whether it was counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ussd_engine.platform.migrations.staged_changes import guard_changes

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("operations", sa.Column("counted_on", sa.Date(), nullable=True))
    guard_changes()
