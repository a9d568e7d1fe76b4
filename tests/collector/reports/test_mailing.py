"""A scheduled report reaches a real SMTP server once, with its files, and again after a failure."""

from __future__ import annotations

import email
import email.policy
import io
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from aiosmtpd.controller import Controller

from collector.messages.settings import ChannelSettings, EmailSettings
from collector.reports.mailing import Mailer, due_month
from collector.reports.settings import ReportSettings, Schedule, contradictions
from config.units import Seconds
from tests.collector.reports.county import County, county_of

DUE = datetime(2026, 12, 1, 0, 30, tzinfo=UTC)  # 08:30 in Shanghai


class Inbox:
    """Takes every mail, or refuses while ``refusing``."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.refusing = False

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refusing:
            return "451 try again later"
        made = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(made, EmailMessage)
        self.mails.append(made)
        self.recipients.append(envelope.rcpt_tos)
        return "250 OK"


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    made = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(made, hostname="127.0.0.1", port=port)
    controller.start()
    yield made, port
    controller.stop()


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    made = county_of(tmp_path, 8)
    yield made
    made.close()


def mailer(county: County, port: int, now: list[datetime]) -> Mailer:
    channel = EmailSettings("127.0.0.1", "net@example.cn", ("duty@example.cn",), port, security="none")
    channels = ChannelSettings(email={"office": channel}, timeout=Seconds(5))
    schedule = Schedule("office", to=("head@example.cn",), formats=("xlsx", "pdf"))
    settings = ReportSettings(schedule={"monthly": schedule})
    return Mailer(county.registry, county.gatherer(), settings, channels, now=lambda: now[0])


def test_it_goes_out_once_whoever_looks(county: County, inbox: tuple[Inbox, int]) -> None:
    box, port = inbox
    now = [DUE - timedelta(hours=1)]
    one, other = mailer(county, port, now), mailer(county, port, now)
    assert one.tick() == 0
    now[0] = DUE
    assert [one.tick(), other.tick(), one.tick()] == [1, 0, 0]
    (mail,) = box.mails
    assert box.recipients == [["head@example.cn"]]
    assert "2026-11" in str(mail["subject"])
    files = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
    assert set(files) == {"xiaotong-shandan-2026-11.xlsx", "xiaotong-shandan-2026-11.pdf"}
    assert files["xiaotong-shandan-2026-11.pdf"].startswith(b"%PDF-")
    assert openpyxl.load_workbook(io.BytesIO(files["xiaotong-shandan-2026-11.xlsx"])).worksheets


def test_a_failure_is_tried_again_after_an_hour(county: County, inbox: tuple[Inbox, int]) -> None:
    box, port = inbox
    now = [DUE]
    made = mailer(county, port, now)
    box.refusing = True
    assert made.tick() == 0
    box.refusing = False
    assert made.tick() == 0
    now[0] += timedelta(hours=1)
    assert made.tick() == 1
    assert len(box.mails) == 1


def test_each_month_has_its_own(county: County, inbox: tuple[Inbox, int]) -> None:
    box, port = inbox
    now = [DUE]
    made = mailer(county, port, now)
    assert made.tick() == 1
    now[0] = datetime(2027, 1, 1, 1, 0, tzinfo=UTC)
    assert made.tick() == 1
    assert len(box.mails) == 2


def test_the_day_and_time_are_the_countys() -> None:
    schedule = Schedule("office", day=3, at="08:00")
    zone = ZoneInfo("Asia/Shanghai")
    assert due_month(schedule, datetime(2026, 12, 3, 7, 59, tzinfo=zone)) is None
    assert due_month(schedule, datetime(2026, 12, 3, 8, 0, tzinfo=zone)) == "2026-11"
    assert due_month(schedule, datetime(2027, 1, 20, tzinfo=zone)) == "2026-12"


def test_a_schedule_needs_a_channel() -> None:
    settings = ReportSettings(schedule={"monthly": Schedule("nowhere")})
    assert contradictions(settings, {}) == [
        "key reports.schedule.monthly.channel: nowhere is no e-mail channel; allowed: none is set up"
    ]
