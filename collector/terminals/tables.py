"""The terminals' tables in the registry's database. They change through ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Float, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from collector.registry.tables import Base


class SchoolCodeRow(Base):
    """The short code by which a terminal says its school. No secret: it hangs on the wall as a QR code."""

    __tablename__ = "school_codes"

    school_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    code: Mapped[str] = mapped_column(String(16), unique=True)
    created_at: Mapped[datetime]


class TerminalTestRow(Base):
    """A browser's test: begun, and what came of it. Rates are payload in bit/s, as the collector counted."""

    __tablename__ = "terminal_tests"
    __table_args__ = (Index("ix_terminal_tests_school_id_started_at", "school_id", "started_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    school_id: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))
    family: Mapped[str] = mapped_column(String(8))
    place: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]
    down_bits_per_second: Mapped[int | None] = mapped_column(BigInteger)
    up_bits_per_second: Mapped[int | None] = mapped_column(BigInteger)
    idle_rtt_seconds: Mapped[float | None] = mapped_column(Float)
    down_rtt_seconds: Mapped[float | None] = mapped_column(Float)
    up_rtt_seconds: Mapped[float | None] = mapped_column(Float)
