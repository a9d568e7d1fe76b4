"""The tables of the registry's database. Changes go through a file in ``migrations/versions``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Integer, MetaData, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC; SQLite has no time zones, so it keeps it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        found: datetime = value
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables, with names for every constraint so that migrations can name them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcTime()}


class SchoolRow(Base):
    """A school as it is declared now. ``declared`` is the whole of it but its lines, as JSON."""

    __tablename__ = "schools"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    level: Mapped[str] = mapped_column(String(32))
    area: Mapped[str] = mapped_column(String(16))
    declared: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime]


class SchoolVersionRow(Base):
    """What was declared of a school from a moment on, lines included: the dated past of ``schools``."""

    __tablename__ = "school_versions"

    school_id: Mapped[str] = mapped_column(ForeignKey("schools.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    declared: Mapped[str] = mapped_column(Text)
    from_at: Mapped[datetime]


class LineRow(Base):
    """A line of a school. ``declared`` is the whole of it as JSON."""

    __tablename__ = "lines"

    school_id: Mapped[str] = mapped_column(ForeignKey("schools.id"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    place: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(16))
    carrier: Mapped[str] = mapped_column(Text)
    declared: Mapped[str] = mapped_column(Text)


class AgentRow(Base):
    """An agent of a school."""

    __tablename__ = "agents"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    school_id: Mapped[str] = mapped_column(ForeignKey("schools.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]


class TokenRow(Base):
    """A token that opens for an agent, as its SHA-256; two are valid while one replaces the other."""

    __tablename__ = "agent_tokens"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class RevisionRow(Base):
    """Counts the changes of one kind of thing, so that other processes see that their copy is old."""

    __tablename__ = "revisions"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)


class EvidenceRow(Base):
    """One piece of a school's evidence book: ``series`` and ``slot`` name its place, ``evidence`` is JSON.

    A place is overwritten only by what is at least as strong, so that two collectors leave the stronger one.
    ``written_at`` lets other collectors read what is new.
    """

    __tablename__ = "evidence"

    school_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    series: Mapped[str] = mapped_column(String(400), primary_key=True)
    slot: Mapped[str] = mapped_column(String(100), primary_key=True)
    strength: Mapped[int] = mapped_column(BigInteger)
    written_at: Mapped[datetime] = mapped_column(index=True)
    evidence: Mapped[str] = mapped_column(Text)


class StandingRow(Base):
    """How a target stands now. ``number`` grows with each transition: the compare-and-set goes by it."""

    __tablename__ = "standings"

    school_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    plan: Mapped[str] = mapped_column(String(64), primary_key=True)
    target: Mapped[str] = mapped_column(String(80), primary_key=True)
    answer: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime]
    number: Mapped[int] = mapped_column(Integer)


class TransitionRow(Base):
    """One change of an answer, with the verdict and its evidence as they were then, as JSON."""

    __tablename__ = "transitions"
    __table_args__ = (Index("ix_transitions_plan_at", "plan", "at"),)

    school_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    plan: Mapped[str] = mapped_column(String(64), primary_key=True)
    target: Mapped[str] = mapped_column(String(80), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    was: Mapped[str | None] = mapped_column(String(16))
    answer: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime]
    verdict: Mapped[str] = mapped_column(Text)
