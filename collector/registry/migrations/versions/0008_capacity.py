"""Capacity tests: what was granted, ordered, noticed and suppressed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.String(64)
SHORT = sa.String(8)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "capacity_tests",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("school_id", ID, nullable=False),
        sa.Column("line", ID, nullable=False),
        sa.Column("responder", ID, nullable=False),
        sa.Column("direction", SHORT, nullable=False),
        sa.Column("family", SHORT, nullable=False),
        sa.Column("mode", SHORT, nullable=False),
        sa.Column("bits_per_second", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("granted_at", TIME, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("state", SHORT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_capacity_tests"),
    )
    op.create_index("ix_capacity_tests_school_id_granted_at", "capacity_tests", ["school_id", "granted_at"])
    op.create_index("ix_capacity_tests_granted_at", "capacity_tests", ["granted_at"])
    op.create_index("ix_capacity_tests_until", "capacity_tests", ["until"])
    op.create_table(
        "capacity_orders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("school_id", ID, nullable=False),
        sa.Column("line", ID, nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("tests_left", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_capacity_orders"),
    )
    op.create_index("ix_capacity_orders_school_id", "capacity_orders", ["school_id"])
    op.create_table(
        "capacity_triggers",
        sa.Column("school_id", ID, nullable=False),
        sa.Column("line", ID, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school_id", "line", name="pk_capacity_triggers"),
    )
    op.create_table(
        "capacity_ports",
        sa.Column("school_id", ID, nullable=False),
        sa.Column("line", ID, nullable=False),
        sa.Column("bits_per_second", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("school_id", "line", name="pk_capacity_ports"),
    )
    op.create_table(
        "capacity_suppressions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("school_id", ID, nullable=False),
        sa.Column("starts", TIME, nullable=False),
        sa.Column("ends", TIME, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_capacity_suppressions"),
    )
    op.create_index("ix_capacity_suppressions_ends", "capacity_suppressions", ["ends"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_capacity_suppressions_ends", table_name="capacity_suppressions")
    op.drop_table("capacity_suppressions")
    op.drop_table("capacity_ports")
    op.drop_table("capacity_triggers")
    op.drop_index("ix_capacity_orders_school_id", table_name="capacity_orders")
    op.drop_table("capacity_orders")
    op.drop_index("ix_capacity_tests_until", table_name="capacity_tests")
    op.drop_index("ix_capacity_tests_granted_at", table_name="capacity_tests")
    op.drop_index("ix_capacity_tests_school_id_granted_at", table_name="capacity_tests")
    op.drop_table("capacity_tests")
