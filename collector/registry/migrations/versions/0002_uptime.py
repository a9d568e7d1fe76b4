"""Minutes, outages and their corrections, the collector's own runs, announced maintenance."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.String(64)
SUBJECT = sa.String(80)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the uptime room's tables."""
    op.create_table(
        "uptime_days",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("school_id", ID, nullable=False),
        sa.Column("subject", SUBJECT, nullable=False),
        sa.Column("minutes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", "school_id", "subject", name="pk_uptime_days"),
    )
    _outages()
    op.create_table(
        "collector_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_collector_runs"),
    )
    op.create_index("ix_collector_runs_seen_at", "collector_runs", ["seen_at"])
    op.create_table(
        "maintenances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("school_id", ID, nullable=True),
        sa.Column("starts_at", TIME, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("announced_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_maintenances"),
    )
    op.create_index("ix_maintenances_ends_at", "maintenances", ["ends_at"])


def downgrade() -> None:
    """Drop them."""
    for table in ("outage_corrections", "outages", "maintenances", "collector_runs", "uptime_days"):
        op.drop_table(table)


def _outages() -> None:
    op.create_table(
        "outages",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("school_id", ID, nullable=False),
        sa.Column("subject", SUBJECT, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("down_until", TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", TIME, nullable=False),
        sa.Column("withdrawn_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_outages"),
    )
    op.create_index("ix_outages_school_id_started_at", "outages", ["school_id", "started_at"])
    op.create_index("ix_outages_started_at", "outages", ["started_at"])
    op.create_table(
        "outage_corrections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("outage_id", sa.Integer(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("was", sa.Text(), nullable=False),
        sa.Column("became", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["outage_id"], ["outages.id"], name="fk_outage_corrections_outage_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outage_corrections"),
    )
    op.create_index("ix_outage_corrections_outage_id", "outage_corrections", ["outage_id"])
