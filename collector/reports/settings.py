"""The settings of reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from collector.messages.settings import EmailSettings

TimeOfDay = Annotated[str, msgspec.Meta(pattern=r"\A([01][0-9]|2[0-3]):[0-5][0-9]\Z")]


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A report of each past month, by e-mail."""

    channel: str
    """The name of an e-mail channel of messages.channels.email: its server and sender."""
    to: tuple[str, ...] = ()
    """Addresses; empty, those of the channel."""
    plan: str = ""
    """A plan's id; empty, the first of verdicts.plans."""
    school: str = ""
    """A school's id; empty, the county."""
    formats: tuple[Literal["xlsx", "pdf", "csv"], ...] = ("xlsx", "pdf")
    """What is attached; csv is the table of verdicts."""
    day: Annotated[int, msgspec.Meta(ge=1, le=28)] = 1
    """The day of the next month on which it goes out."""
    at: TimeOfDay = "08:00"
    """The time of that day, in the calendar's time zone."""
    language: Literal["zh_CN", "en"] = "zh_CN"
    """Its language."""


class ReportSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Reports of a month."""

    schedule: dict[str, Schedule] = {}
    """Reports by e-mail, each under a name of its own."""
    font_file: str = ""
    """A TrueType font (.ttf, .ttc) with Chinese characters for PDF; empty, one of the system's."""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    """Tries to send one report; between two lies an hour."""


def contradictions(settings: ReportSettings, channels: Mapping[str, EmailSettings]) -> list[str]:
    """What cannot be meant, one line each: key, what is allowed."""
    allowed = ", ".join(sorted(channels)) or "none is set up"
    return [
        f"key reports.schedule.{name}.channel: {each.channel} is no e-mail channel; allowed: {allowed}"
        for name, each in settings.schedule.items()
        if each.channel not in channels
    ]
