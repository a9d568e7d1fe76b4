"""The upgrades' table in the registry's database. It changes through ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Float, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from collector.registry.tables import Base


class RolloutRow(Base):
    """One order to upgrade; the highest number holds. Agents know it by its ``id``: numbers come again when
    the registry is restored from a backup. ``first`` is JSON: the ids of the agents that go first.
    """

    __tablename__ = "rollouts"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(8))
    version: Mapped[str] = mapped_column(String(32))
    first: Mapped[str] = mapped_column(Text)
    settle_seconds: Mapped[float | None] = mapped_column(Float)
    urgent: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(64))
    well_at: Mapped[datetime | None]
    rest_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(Text)
