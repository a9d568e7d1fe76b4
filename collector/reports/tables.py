"""The reports' table in the registry's database. It changes through ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from collector.registry.tables import Base


class ReportRunRow(Base):
    """A scheduled report of a month: claimed by one collector, then sent; an old claim may be taken over."""

    __tablename__ = "report_runs"

    schedule: Mapped[str] = mapped_column(String(64), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    claimed_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(Integer)
    sent_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(Text)
