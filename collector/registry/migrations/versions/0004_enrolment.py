"""Codes that enrol agents, what agents say of themselves, configuration of agents by the county."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.String(64)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "enrolment_codes",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("school_id", ID, nullable=False),
        sa.Column("agent_name", ID, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME, nullable=True),
        sa.Column("agent_id", ID, nullable=True),
        sa.Column("token_digest", sa.String(64), nullable=True),
        sa.ForeignKeyConstraint(["school_id"], ["schools.id"], name="fk_enrolment_codes_school_id"),
        sa.PrimaryKeyConstraint("digest", name="pk_enrolment_codes"),
    )
    op.create_index("ix_enrolment_codes_expires_at", "enrolment_codes", ["expires_at"])
    op.create_table(
        "agent_states",
        sa.Column("agent_id", ID, nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("clock_offset_ms", sa.BigInteger(), nullable=True),
        sa.Column("applied", sa.String(32), nullable=False),
        sa.Column("refused", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rotate_asked_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name="fk_agent_states_agent_id"),
        sa.PrimaryKeyConstraint("agent_id", name="pk_agent_states"),
    )
    op.create_table(
        "central_configurations",
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("subject", ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("set_at", TIME, nullable=False),
        sa.Column("set_by", ID, nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", "number", name="pk_central_configurations"),
    )
    op.execute("INSERT INTO revisions (kind, number) VALUES ('central', 0)")


def downgrade() -> None:
    """Drop them."""
    op.execute("DELETE FROM revisions WHERE kind = 'central'")
    op.drop_table("central_configurations")
    op.drop_table("agent_states")
    op.drop_index("ix_enrolment_codes_expires_at", "enrolment_codes")
    op.drop_table("enrolment_codes")
