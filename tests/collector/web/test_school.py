"""One school's page: its past over any span, its tests, its month, and tests ordered by hand."""

from __future__ import annotations

import dataclasses
import http.client
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from collector.responder.ledger import Ledger
from collector.responder.office import TicketOffice
from collector.responder.settings import ResponderSettings
from collector.responder.slot_room import SlotRoom, VerdictsOf
from collector.store.interface import Aggregate, StoredWindow
from collector.uptime.daily import Daily
from collector.web.capacity_view import test_views as views_of
from collector.web.capacity_view import tests_of as capacity_of
from collector.web.desk import TestDesk
from collector.web.routes import page_routes
from collector.web.throughput import POINTS, throughput
from config.calendar import CalendarSettings, SchoolCalendar
from config.school import School
from tests.collector.web import county
from tests.collector.web.rooms import PagesOnly, open_pages
from tests.collector.web.serving import Client, serving

NS = 10**9
DAY = 86400
ALWAYS_LESSONS = SchoolCalendar(CalendarSettings(school_hours=("00:00-23:59",)))


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesOnly]:
    opened = open_pages(tmp_path_factory.mktemp("school"))
    county.fill(opened, 4)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(rooms: PagesOnly) -> Iterator[Client]:
    with serving(page_routes(rooms)) as made:
        yield made


def test_a_year_is_drawn_of_kept_windows_with_true_means(rooms: PagesOnly) -> None:
    now = int(time.time()) // 3600 * 3600
    tags = {"school": "s9", "agent": "a", "interface": "eth0", "role": "line", "line": "line1"}
    windows = [
        StoredWindow(
            tags,
            (now - hour * 3600) * NS,
            {
                "samples": Aggregate(360, 3600.0, 10, 10),
                "rx_bits_per_second_sum": Aggregate(360, 3600 * 5e6, 5e7, 5e7),
                "rx_bits_per_second_max": Aggregate(360, 360 * 8e6, 1e6, 9e6),
            },
        )
        for hour in range(1, 365 * 24)
        if not 1000 <= hour < 1200
    ]
    rooms.store.put_windows(3600, "interface", windows)
    (series,) = throughput(rooms.store, "s9", now - 365 * DAY, now).interfaces
    assert POINTS / 2 < len(series.times) <= POINTS
    assert {round(each or 0) for each in series.rx_bits_per_second} == {5_000_000}
    assert set(series.rx_max_bits_per_second) == {9e6}
    assert set(series.tx_bits_per_second) == {None}
    gaps = [after - before for before, after in zip(series.times, series.times[1:], strict=False)]
    assert max(gaps) > 150 * 3600


def test_an_old_test_keeps_its_figures_and_says_so(rooms: PagesOnly) -> None:
    now = datetime.now(UTC)
    figures = {"ip_bits_per_second": 9e7, "idle_rtt_seconds": 0.012, "loaded_rtt_seconds": 0.092}
    fields = {name: Aggregate(1, value, value, value) for name, value in figures.items()}
    tags = {"school": "s8", "agent": "a", "line": "old", "direction": "down", "mode": "search"}
    start = int(now.timestamp()) // 300 * 300 - 20 * DAY
    rooms.store.put_windows(300, "capacity", [StoredWindow(tags, start * NS, fields)])
    tests = [each for each in capacity_of(rooms.store, "s8", now) if each.tags["line"] == "old"]
    (view,) = views_of(tests, "en", ZoneInfo("Asia/Shanghai"))
    assert (view.result, view.latency, view.grade) == ("90 Mbit/s", "12 → 92 ms", "C")
    assert view.remark == "older than six days: its figures alone are kept"


@pytest.mark.parametrize(
    "query", ["span=x", "from=5&to=1", "span=nan", "span=inf", "from=0&to=99999999", "to=1e300", "span=-5"]
)
def test_a_span_that_is_none_is_refused(client: Client, query: str) -> None:
    assert client.get(f"/schools/s0/throughput?{query}").status_code == 400


def test_tests_show_what_they_did_to_the_round_trip(client: Client) -> None:
    page = client.get("/schools/s0?lang=en").text.partition('id="tests-title"')[2]
    assert "12 → 81 ms" in page
    assert "limited by the host&#39;s CPU" in page
    assert page.count("<tr><td>") >= 3


def test_the_month_is_a_calendar_with_its_outages(client: Client, rooms: PagesOnly) -> None:
    page = client.get("/schools/s1?lang=en").text
    today = datetime.now(UTC).astimezone(rooms.verdicts.calendar.time_zone)
    assert re.search(rf'<span class="day">{today.day}</span>', page)
    assert page.count('class="day"') >= 28
    last = client.get(f"/schools/s1?lang=en&month={(today.replace(day=1) - timedelta(days=1)):%Y-%m}").text
    both = page + last
    assert "Cause: power cut" in both
    assert "found when the agent&#39;s record arrived" in both
    assert client.get("/schools/s1?month=2026-99").status_code == 200


def test_each_day_counts_its_own_minutes(rooms: PagesOnly) -> None:
    room = rooms.uptime
    assert room is not None
    daily = Daily(rooms.registry, rooms.verdicts.calendar, room.settings)
    now = datetime.now(UTC)
    start, end = room.report.month(None, now)
    school = rooms.registry.schools()["s2"]
    days = daily.days(school, start, end, now)
    (whole,) = room.report.availability(start, end, now, school_id="s2", subject="")
    assert sum((day.tally for day in days[1:]), days[0].tally) == whole.of().all_hours
    assert len(days) >= 28


def test_checks_ports_and_access_points_are_listed(client: Client) -> None:
    page = client.get("/schools/s0?lang=en").text
    assert page.count('class="sign check-') == 15
    assert "11 / 12" in page
    assert "trunk" in page
    assert "Level 0" in page


# --- tests by hand


class Office:
    """The real office."""

    def __init__(self, rooms: PagesOnly) -> None:
        self.ledger = Ledger(rooms.registry)
        slots = SlotRoom(
            ResponderSettings(), self.ledger, rooms.registry, VerdictsOf(rooms.verdicts),
            rooms.verdicts.calendar, salt=b"s" * 32, now=lambda: datetime.now(UTC),
        )  # fmt: skip
        self.office = TicketOffice(ResponderSettings(), b"k" * 32, slots=slots)

    def orders(self, school: str) -> list[tuple[int, bool]]:
        since = datetime(2026, 3, 1, tzinfo=UTC)
        return [(order.left, order.forced) for order in self.ledger.standing(school, since, since).orders]


@pytest.fixture
def office(rooms: PagesOnly) -> Office:
    return Office(rooms)


def test_lessons_are_warned_of_and_need_insisting(rooms: PagesOnly, office: Office) -> None:
    desk = TestDesk(office.office, ALWAYS_LESSONS, lambda: datetime(2026, 3, 4, 3, 0, tzinfo=UTC))
    school = rooms.registry.schools()["s0"]
    assert desk.warns
    assert desk.order(school, forced=False) == "lessons"
    assert office.orders("s0") == []
    assert desk.order(school, forced=True) == "ordered"
    assert office.orders("s0") == [(2, True)]
    assert desk.order(School("none"), forced=True) == "no_line"
    assert TestDesk(None, ALWAYS_LESSONS).order(school, forced=True) == "none"


def test_the_agent_gets_the_test_that_was_asked_for_by_hand(rooms: PagesOnly, office: Office) -> None:
    night = SchoolCalendar(CalendarSettings(school_hours=()))
    assert TestDesk(office.office, night).order(rooms.registry.schools()["s1"], forced=True) == "ordered"
    slots = office.office._slots
    assert slots is not None
    chosen = slots.choose("s1", ["line1"], ["ipv4"])
    assert (chosen.need.line, chosen.need.why) == ("line1", "ordered by an admin")


def test_the_button_orders_and_only_from_our_own_pages(
    rooms: PagesOnly, office: Office, tmp_path: Path
) -> None:
    with serving(page_routes(dataclasses.replace(rooms, tickets=office.office))) as client:
        page = client.get("/schools/s3?lang=en").text
        action = re.search(r'<form method="post" action="([^"]+)"', page)
        assert action is not None
        for headers, status in (
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-origin"}, 303),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
            connection.request("POST", action[1], headers=headers)
            answer = connection.getresponse()
            assert answer.status == status
            connection.close()
        assert len(office.orders("s3")) == 1
        assert "Tests are ordered" in client.get("/schools/s3?lang=en&tests=ordered").text
