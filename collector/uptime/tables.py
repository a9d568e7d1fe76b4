"""The uptime room's tables in the registry's database. They change through ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from collector.registry.tables import Base


class DayRow(Base):
    """The minutes of one UTC day (days since 1970) of one subject: zlib of one byte a minute."""

    __tablename__ = "uptime_days"

    day: Mapped[int] = mapped_column(Integer, primary_key=True)
    school_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject: Mapped[str] = mapped_column(String(80), primary_key=True)
    minutes: Mapped[bytes] = mapped_column(LargeBinary)


class OutageRow(Base):
    """An outage (state «down») or the absence of an agent («unknown»). Withdrawn ones stay, marked."""

    __tablename__ = "outages"
    __table_args__ = (Index("ix_outages_school_id_started_at", "school_id", "started_at"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    school_id: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(80))
    started_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    down_until: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16))
    cause: Mapped[str] = mapped_column(String(16))
    why: Mapped[str] = mapped_column(Text)
    live: Mapped[bool] = mapped_column(Boolean)
    recorded_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]


class CorrectionRow(Base):
    """What of an outage was said otherwise before, and why it was changed."""

    __tablename__ = "outage_corrections"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    outage_id: Mapped[int] = mapped_column(ForeignKey("outages.id"), index=True)
    at: Mapped[datetime]
    what: Mapped[str] = mapped_column(String(16))
    was: Mapped[str] = mapped_column(Text)
    became: Mapped[str] = mapped_column(Text)
    why: Mapped[str] = mapped_column(Text)


class CollectorRunRow(Base):
    """When a collector ran: where none did, nobody was measured by the centre."""

    __tablename__ = "collector_runs"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(index=True)


class MaintenanceRow(Base):
    """Announced maintenance of one school, or of all (NULL): outside availability."""

    __tablename__ = "maintenances"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    school_id: Mapped[str | None] = mapped_column(String(64))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(index=True)
    why: Mapped[str] = mapped_column(Text)
    announced_at: Mapped[datetime]
