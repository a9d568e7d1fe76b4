"""Runs the migrations on the connection that ``database.open_engine`` hands over."""

from __future__ import annotations

from alembic import context

from collector.registry.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=False,
)
context.run_migrations()
