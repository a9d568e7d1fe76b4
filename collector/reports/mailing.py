"""Reports by e-mail: each schedule's report of each month goes out once, whichever collector is first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, time, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from collector.access import Who, audit
from collector.access.who import Via
from collector.messages.channels import Attachment, Letter, NotDelivered
from collector.messages.channels.email import Email, PartlyDelivered
from collector.messages.settings import ChannelSettings
from collector.pdf_fonts import NoChineseFont
from collector.registry import Registry
from collector.reports.content import CannotReport, Content, Gatherer
from collector.reports.making import MEDIA_TYPES, make, name_of
from collector.reports.settings import ReportSettings, Schedule
from collector.reports.tables import ReportRunRow
from collector.verdicts.ticker import Ticker
from config.settings import SettingsError
from config.words import message, translate

log = logging.getLogger(__name__)

TICK_SECONDS = 60.0
RETRY_AFTER = timedelta(hours=1)
"""A claim so old that was not sent is anybody's: its collector failed, or died."""
ERROR_CHARACTERS = 500


BY = Who("schedule of reports", via=Via.COMMAND)
"""Whom the log of who did what names for what went out by itself."""


class Mailer:
    """Looks now and then whether a report is due."""

    def __init__(
        self,
        registry: Registry,
        gatherer: Gatherer,
        settings: ReportSettings,
        channels: ChannelSettings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._registry = registry
        self._gatherer = gatherer
        self._settings = settings
        self._channels = channels
        self._zone = gatherer.zone
        self._now = now

    def tick(self) -> int:
        """Send what is due; gives how many went out."""
        return sum(self._turn(name, schedule) for name, schedule in self._settings.schedule.items())

    def _turn(self, name: str, schedule: Schedule) -> bool:
        month = due_month(schedule, self._now().astimezone(self._zone))
        if month is None or not self._claim(name, month):
            return False
        error = ""
        try:
            self._send(name, schedule, month)
        except PartlyDelivered as partly:
            error = str(partly)
        except (NotDelivered, CannotReport, NoChineseFont, SettingsError) as failed:
            log.warning("report not sent schedule=%s month=%s reason=%s", name, month, failed)
            self._note(name, month, error=str(failed))
            return False
        log.info("report sent schedule=%s month=%s", name, month)
        self._note(name, month, error=error, sent_at=self._now())
        return True

    def _send(self, name: str, schedule: Schedule, month: str) -> None:
        content = self._gatherer.gather(schedule.plan or None, month, schedule.school or None, self._now())
        channel = self._channels.email[schedule.channel]
        settings = msgspec.structs.replace(channel, to=schedule.to or channel.to)
        key = f"messages.channels.email.{schedule.channel}"
        files = tuple(self._file(content, schedule, each) for each in schedule.formats)
        mail = Email(settings, float(self._channels.timeout), key)
        mail.send(msgspec.structs.replace(_letter(name, schedule, content), attachments=files))

    def _file(self, content: Content, schedule: Schedule, format_: str) -> Attachment:
        font = self._settings.font_file
        data = make(content, format_, schedule.language, bom=True, font_file=font)
        return Attachment(name_of(content, format_, "verdicts"), MEDIA_TYPES[format_], data)

    def _claim(self, name: str, month: str) -> bool:
        """True when this collector is the one to send it now."""
        now, table = self._now(), ReportRunRow
        same = (table.schedule == name, table.month == month)
        with self._registry.writing() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            first = dialect.insert(table).values(
                schedule=name, month=month, claimed_at=now, attempts=1, sent_at=None, error=""
            )
            # PostgreSQL's driver gives no count of rows for an INSERT
            if connection.scalar(first.on_conflict_do_nothing().returning(table.attempts)) is not None:
                return True
            again = sa.update(table).where(
                *same, table.sent_at.is_(None), table.claimed_at <= now - RETRY_AFTER,
                table.attempts < self._settings.attempts,
            )  # fmt: skip
            done = connection.execute(again.values(claimed_at=now, attempts=table.attempts + 1))
            return done.rowcount == 1

    def _note(self, name: str, month: str, *, error: str, sent_at: datetime | None = None) -> None:
        change = sa.update(ReportRunRow).where(ReportRunRow.schedule == name, ReportRunRow.month == month)
        values: dict[str, Any] = {"error": error[:ERROR_CHARACTERS], "sent_at": sent_at}
        with self._registry.writing() as connection:
            connection.execute(change.values(values))
            if sent_at is not None:
                audit.record(connection, BY, "reports.mail", name, at=sent_at, month=month, refused=error)


def start_mailing(mailer: Mailer, stack: ExitStack) -> None:
    """Look for due reports from now on, in a thread that ``stack`` ends."""
    ticker = Ticker([mailer.tick], TICK_SECONDS)
    stack.callback(ticker.stop)
    ticker.start()


def due_month(schedule: Schedule, local_now: datetime) -> str | None:
    """The past month whose report is to go out by now; None before its day and time."""
    hour, minute = map(int, schedule.at.split(":"))
    due = datetime.combine(local_now.date().replace(day=schedule.day), time(hour, minute), local_now.tzinfo)
    if local_now < due:
        return None
    return f"{local_now.date().replace(day=1) - timedelta(days=1):%Y-%m}"


def _letter(name: str, schedule: Schedule, content: Content) -> Letter:
    say = schedule.language
    who = content.school.name or content.school.id if content.school else content.plan.county
    title = translate(
        message("School networks against the plan: {who}, {month}"), say, who=who, month=content.month
    )
    lines = [
        translate(
            message("{target}: {met} met, {not_met} not met, {unknown} unknown"), say,
            target=each.target.id, met=each.met, not_met=each.not_met, unknown=each.unknown,
        )
        for each in content.totals
        if each.schools
    ]  # fmt: skip
    return Letter(f"report-{name}-{content.month}", title, "\n".join(lines), "info")
