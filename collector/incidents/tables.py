"""The incidents room's tables in the registry's database. They change through ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from collector.registry.tables import Base


class IncidentRow(Base):
    """An incident. ``body`` is all of it as JSON; the columns are what is searched by.

    ``open_key`` is the incident's key until it is resolved, then NULL: unique, so that two collectors never
    open the same twice. ``number`` grows with each change: the compare-and-set goes by it.
    """

    __tablename__ = "incidents"
    __table_args__ = (Index("ix_incidents_school_id_started_at", "school_id", "started_at"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    open_key: Mapped[str | None] = mapped_column(String(300), unique=True)
    kind: Mapped[str] = mapped_column(String(32))
    school_id: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(16), index=True)
    started_at: Mapped[datetime] = mapped_column(index=True)
    resolved_at: Mapped[datetime | None]
    parent_id: Mapped[int | None] = mapped_column(Integer, index=True)
    number: Mapped[int] = mapped_column(Integer)
    body: Mapped[str] = mapped_column(Text)


class IncidentStepRow(Base):
    """One thing that happened to an incident: its history for people."""

    __tablename__ = "incident_steps"

    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    what: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)


class BaselineRow(Base):
    """How good something was before (a port's speed, an IPv6 level): what «worse than before» is told by."""

    __tablename__ = "incident_baselines"

    school_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]


class SilenceRow(Base):
    """When nobody is to be told of some incidents. ``body`` is all of it as JSON."""

    __tablename__ = "incident_silences"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    ends_at: Mapped[datetime | None] = mapped_column(index=True)
    body: Mapped[str] = mapped_column(Text)
