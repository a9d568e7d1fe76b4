"""Schools, lines, agents and tokens; evidence, standings and transitions of verdicts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(64)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make every table of the first version."""
    _schools()
    _agents()
    _verdicts()
    revisions = op.create_table(
        "revisions",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_revisions"),
    )
    op.bulk_insert(revisions, [{"kind": "schools", "number": 0}, {"kind": "agents", "number": 0}])


def _schools() -> None:
    op.create_table(
        "schools",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("level", sa.String(32), nullable=False),
        sa.Column("area", sa.String(16), nullable=False),
        sa.Column("declared", sa.Text(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_schools"),
    )
    op.create_table(
        "school_versions",
        sa.Column("school_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("declared", sa.Text(), nullable=False),
        sa.Column("from_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["school_id"], ["schools.id"], name="fk_school_versions_school_id"),
        sa.PrimaryKeyConstraint("school_id", "number", name="pk_school_versions"),
    )
    op.create_table(
        "lines",
        sa.Column("school_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("declared", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["school_id"], ["schools.id"], name="fk_lines_school_id"),
        sa.PrimaryKeyConstraint("school_id", "id", name="pk_lines"),
    )


def _agents() -> None:
    op.create_table(
        "agents",
        sa.Column("id", ID, nullable=False),
        sa.Column("school_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.Column("seen_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["school_id"], ["schools.id"], name="fk_agents_school_id"),
        sa.PrimaryKeyConstraint("id", name="pk_agents"),
    )
    op.create_index("ix_agents_school_id", "agents", ["school_id"])
    op.create_table(
        "agent_tokens",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("agent_id", ID, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name="fk_agent_tokens_agent_id"),
        sa.PrimaryKeyConstraint("digest", name="pk_agent_tokens"),
    )
    op.create_index("ix_agent_tokens_agent_id", "agent_tokens", ["agent_id"])


def _verdicts() -> None:
    op.create_table(
        "evidence",
        sa.Column("school_id", ID, nullable=False),
        sa.Column("series", sa.String(400), nullable=False),
        sa.Column("slot", sa.String(100), nullable=False),
        sa.Column("strength", sa.BigInteger(), nullable=False),
        sa.Column("written_at", TIME, nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school_id", "series", "slot", name="pk_evidence"),
    )
    op.create_index("ix_evidence_written_at", "evidence", ["written_at"])
    op.create_table(
        "standings",
        sa.Column("school_id", ID, nullable=False),
        sa.Column("plan", ID, nullable=False),
        sa.Column("target", sa.String(80), nullable=False),
        sa.Column("answer", sa.String(16), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("school_id", "plan", "target", name="pk_standings"),
    )
    op.create_table(
        "transitions",
        sa.Column("school_id", ID, nullable=False),
        sa.Column("plan", ID, nullable=False),
        sa.Column("target", sa.String(80), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("was", sa.String(16), nullable=True),
        sa.Column("answer", sa.String(16), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school_id", "plan", "target", "number", name="pk_transitions"),
    )
    op.create_index("ix_transitions_plan_at", "transitions", ["plan", "at"])
