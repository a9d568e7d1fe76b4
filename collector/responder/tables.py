"""The tables of capacity tests in the registry's database. They change through ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from collector.registry.tables import Base


class CapacityTestRow(Base):
    """A test that was granted. Its share is taken until ``until``; ``state`` says what ``bytes`` are."""

    __tablename__ = "capacity_tests"
    __table_args__ = (Index("ix_capacity_tests_school_id_granted_at", "school_id", "granted_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    school_id: Mapped[str] = mapped_column(String(64))
    line: Mapped[str] = mapped_column(String(64))
    responder: Mapped[str] = mapped_column(String(64))
    direction: Mapped[str] = mapped_column(String(8))
    family: Mapped[str] = mapped_column(String(8))
    mode: Mapped[str] = mapped_column(String(8))
    bits_per_second: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    granted_at: Mapped[datetime] = mapped_column(index=True)
    until: Mapped[datetime] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(String(8))


class CapacityOrderRow(Base):
    """An admin's «now»: so many tests of a line (empty: of every one) are still to be granted."""

    __tablename__ = "capacity_orders"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    school_id: Mapped[str] = mapped_column(String(64), index=True)
    line: Mapped[str] = mapped_column(String(64))
    forced: Mapped[bool] = mapped_column(Boolean)
    at: Mapped[datetime]
    tests_left: Mapped[int] = mapped_column(Integer)


class CapacityTriggerRow(Base):
    """The latest that asks for a verify of a line at once."""

    __tablename__ = "capacity_triggers"

    school_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    line: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]
    why: Mapped[str] = mapped_column(Text)


class CapacityPortRow(Base):
    """The speed that a line's port had when last heard of: a change is noticed after a restart too."""

    __tablename__ = "capacity_ports"

    school_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    line: Mapped[str] = mapped_column(String(64), primary_key=True)
    bits_per_second: Mapped[int] = mapped_column(BigInteger)


class SuppressionRow(Base):
    """A time without tests, of one school or (empty) of all."""

    __tablename__ = "capacity_suppressions"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    school_id: Mapped[str] = mapped_column(String(64))
    starts: Mapped[datetime]
    ends: Mapped[datetime] = mapped_column(index=True)
    why: Mapped[str] = mapped_column(Text)
