"""The tables of messages in the registry's database. They change through ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from collector.registry.tables import Base


class MessageRow(Base):
    """A message to one recipient. ``key`` tells a repeat; ``body`` is what it says: JSON, not yet in words.

    ``batch`` is the key of the letter that carries it, its own or that of several merged into one. ``state``:
    waiting, sending, sent, given_up, dropped.
    """

    __tablename__ = "messages"
    __table_args__ = (Index("ix_messages_channel_state_id", "channel", "state", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    key: Mapped[str] = mapped_column(String(160), unique=True)
    channel: Mapped[str] = mapped_column(String(64))
    recipient: Mapped[str] = mapped_column(String(64))
    severity: Mapped[str] = mapped_column(String(16))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(index=True)
    due_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16))
    batch: Mapped[str] = mapped_column(String(160))
    alone: Mapped[bool] = mapped_column(Boolean)
    tries: Mapped[int] = mapped_column(Integer)
    error: Mapped[str] = mapped_column(Text)
    done_at: Mapped[datetime | None]


class ChannelRow(Base):
    """A channel as all collectors share it: who holds it until when, and when it was used of late.

    ``used_at`` is a JSON list of seconds since 1970: what the channel's limits are kept by.
    """

    __tablename__ = "message_channels"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    held_until: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(Integer)
    error: Mapped[str] = mapped_column(Text)
    used_at: Mapped[str] = mapped_column(Text)
    delivered_at: Mapped[datetime | None]
