"""Orders to upgrade agents, and what agents say of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
SAID = (("packaged", sa.String(32)), ("order_id", sa.String(16)), ("order_state", sa.String(16)))


def upgrade() -> None:
    """Make the table, and the columns."""
    op.create_table(
        "rollouts",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("first", sa.Text(), nullable=False),
        sa.Column("settle_seconds", sa.Float(), nullable=True),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("well_at", TIME, nullable=True),
        sa.Column("rest_at", TIME, nullable=True),
        sa.Column("stopped_at", TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_rollouts"),
    )
    for name, kind in (*SAID, ("order_reason", sa.Text())):
        op.add_column("agent_states", sa.Column(name, kind, nullable=False, server_default=""))
    op.execute("INSERT INTO revisions (kind, number) VALUES ('rollouts', 0)")


def downgrade() -> None:
    """Drop them."""
    op.execute("DELETE FROM revisions WHERE kind = 'rollouts'")
    for name in ("order_reason", "order_state", "order_id", "packaged"):
        op.drop_column("agent_states", name)
    op.drop_table("rollouts")
