"""Terminals' tests and scheduled reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.String(64)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables of the terminals' tests, and of the reports that were sent."""
    op.create_table(
        "school_codes",
        sa.Column("school_id", ID, nullable=False),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("school_id", name="pk_school_codes"),
        sa.UniqueConstraint("code", name="uq_school_codes_code"),
    )
    op.create_table(
        "terminal_tests",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("school_id", ID, nullable=False),
        sa.Column("address", ID, nullable=False),
        sa.Column("family", sa.String(8), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("down_bits_per_second", sa.BigInteger(), nullable=True),
        sa.Column("up_bits_per_second", sa.BigInteger(), nullable=True),
        sa.Column("idle_rtt_seconds", sa.Float(), nullable=True),
        sa.Column("down_rtt_seconds", sa.Float(), nullable=True),
        sa.Column("up_rtt_seconds", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_terminal_tests"),
    )
    op.create_index("ix_terminal_tests_school_id_started_at", "terminal_tests", ["school_id", "started_at"])
    op.create_index("ix_terminal_tests_started_at", "terminal_tests", ["started_at"])
    op.create_table(
        "report_runs",
        sa.Column("schedule", ID, nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("claimed_at", TIME, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("schedule", "month", name="pk_report_runs"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("report_runs")
    op.drop_index("ix_terminal_tests_started_at", table_name="terminal_tests")
    op.drop_index("ix_terminal_tests_school_id_started_at", table_name="terminal_tests")
    op.drop_table("terminal_tests")
    op.drop_table("school_codes")
