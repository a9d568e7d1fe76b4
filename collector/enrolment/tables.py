"""The enrolment room's tables in the registry's database. They change through ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from collector.registry.tables import Base


class CodeRow(Base):
    """A one-time code, as its SHA-256, and what became of it. ``agent_name`` empty: a new agent, numbered."""

    __tablename__ = "enrolment_codes"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    school_id: Mapped[str] = mapped_column(ForeignKey("schools.id"))
    agent_name: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
    agent_id: Mapped[str | None] = mapped_column(String(64))
    token_digest: Mapped[str | None] = mapped_column(String(64))


class AgentStateRow(Base):
    """What an agent said of itself last, and whether it was asked for a new token."""

    __tablename__ = "agent_states"

    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    version: Mapped[str] = mapped_column(String(32))
    address: Mapped[str] = mapped_column(String(64))
    clock_offset_ms: Mapped[int | None] = mapped_column(BigInteger)
    applied: Mapped[str] = mapped_column(String(32))
    refused: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(Text)
    rotate_asked_at: Mapped[datetime | None]
    packaged: Mapped[str] = mapped_column(String(32))
    order_id: Mapped[str] = mapped_column(String(16))
    order_state: Mapped[str] = mapped_column(String(16))
    order_reason: Mapped[str] = mapped_column(Text)


class CentralRow(Base):
    """One state of the configuration of the county, of a school or of an agent; the highest number holds.

    ``document`` is JSON, its secrets sealed.
    """

    __tablename__ = "central_configurations"

    scope: Mapped[str] = mapped_column(String(8), primary_key=True)
    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    set_at: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(String(64))
