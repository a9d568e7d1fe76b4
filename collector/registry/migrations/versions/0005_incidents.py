"""Incidents, their steps, baselines, silences."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.String(64)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    _incidents()
    op.create_table(
        "incident_steps",
        sa.Column("incident_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_incident_steps_incident_id"),
        sa.PrimaryKeyConstraint("incident_id", "number", "what", name="pk_incident_steps"),
    )
    op.create_table(
        "incident_baselines",
        sa.Column("school_id", ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("school_id", "name", name="pk_incident_baselines"),
    )
    op.create_table(
        "incident_silences",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ends_at", TIME, nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incident_silences"),
    )
    op.create_index("ix_incident_silences_ends_at", "incident_silences", ["ends_at"])


def downgrade() -> None:
    """Drop them."""
    for table in ("incident_silences", "incident_baselines", "incident_steps", "incidents"):
        op.drop_table(table)


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("open_key", sa.String(300), nullable=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("school_id", ID, nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("resolved_at", TIME, nullable=True),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
        sa.UniqueConstraint("open_key", name="uq_incidents_open_key"),
    )
    op.create_index("ix_incidents_school_id_started_at", "incidents", ["school_id", "started_at"])
    op.create_index("ix_incidents_state", "incidents", ["state"])
    op.create_index("ix_incidents_started_at", "incidents", ["started_at"])
    op.create_index("ix_incidents_parent_id", "incidents", ["parent_id"])
