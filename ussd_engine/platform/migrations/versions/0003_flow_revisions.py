"""Flows are published: every revision is kept, and which one was current when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ussd_engine.platform.migrations.append_only import forbid_changes
from ussd_engine.platform.tables import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "flow_revisions",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("flows", sa.Integer(), nullable=False),
        sa.Column("states", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flow_revisions")),
    )
    op.create_table(
        "flow_publications",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.String(length=16), nullable=False),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "how IN ('folder', 'published', 'rolled_back')", name=op.f("ck_flow_publications_how")
        ),
        sa.ForeignKeyConstraint(
            ["revision"], ["flow_revisions.id"], name=op.f("fk_flow_publications_revision")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_flow_publications")),
    )
    forbid_changes("flow_revisions")
    forbid_changes("flow_publications")
