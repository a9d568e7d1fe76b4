"""Rules: the shipped ones, a county's own over them, and silences by the week."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from collector.incidents.model import Incident
from collector.incidents.quiet import exam_on, quiet_until
from collector.incidents.rules import KindRules, load_rules
from collector.incidents.silences import Silence, silenced, weekly_of
from config.calendar import CalendarSettings, Days, SchoolCalendar
from config.settings import SettingsError

ROOT = Path(__file__).parents[3]
ZONE = ZoneInfo("Asia/Shanghai")
SUNDAY = datetime(2026, 3, 8, 22, 0, tzinfo=ZONE)


def incident(kind: str = "line_down", school: str = "s1", subject: str = "line/l1") -> Incident:
    return Incident(1, kind, school, subject, "critical", "open", SUNDAY, SUNDAY)  # type: ignore[arg-type]


def test_a_county_s_own_keys_lie_over_the_shipped_ones_one_by_one(tmp_path: Path) -> None:
    own = tmp_path / "rules.yaml"
    own.write_text("quiet_hours: ['21:00-06:30']\nrules:\n  line_down: {for: 10min, whom: [hotline]}\n")
    rules, shipped = load_rules(own), load_rules()
    assert rules.quiet_hours == ("21:00-06:30",)
    assert float(rules.rules.line_down.holds_for) == 600
    assert rules.rules.line_down.whom == ("hotline",)
    assert rules.rules.line_down.clear == shipped.rules.line_down.clear
    assert rules.rules.school_silent == shipped.rules.school_silent


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: {line_down: {fore: 1min}}", "key rules.line_down.fore: is unknown; allowed here: clear"),
        ("rules: {moon_full: {for: 1min}}", "key rules.moon_full: is unknown; allowed here: below_target"),
        ("rules: {line_down: {for: 3}}", "key rules.line_down.for: '3' is not a duration"),
        ("rules: {line_down: {severity: bad}}", "allowed: critical, info, warning"),
        ("rules: {line_down: {whom: []}}", "key rules.line_down.whom: at least one group is allowed"),
        ("rules: {data_gap: {escalate_after: 1h}}", "key rules.data_gap.escalate_to: is missing"),
        ("rules: {carrier_down: {schools: 1}}", "key rules.carrier_down.schools"),
        ("rules: {latency_under_load: {added: 50ms}}", "clears_below: at most added is allowed"),
        ("flapping_slot: 2h", "key flapping_slot: 10s to 1h is allowed"),
        ("- a", "keys with values are allowed"),
    ],
)
def test_rules_that_cannot_be_used_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    own = tmp_path / "rules.yaml"
    own.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_rules(own)
    assert message in str(refused.value)
    assert str(own) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("page", ["incidents.md", "incidents.zh-CN.md"])
def test_the_documented_table_is_the_shipped_rules(page: str) -> None:
    """`for`, `clear`, severity, hours, escalation and repeat of every kind, as the page lists them."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    rows = {
        cells[0].strip("` "): [cell.strip() for cell in cells[1:]]
        for line in text.splitlines()
        if (cells := re.findall(r"\|([^|]+)", line)) and cells[0].strip().startswith("`")
    }
    rules = load_rules().rules
    for kind in KindRules.__struct_fields__:
        rule = getattr(rules, kind)
        wanted = [_span(rule.holds_for), _span(rule.clear), rule.severity, rule.hours]
        wanted += [_span(rule.escalate_after), _span(rule.repeat_every)]
        assert rows[kind][-6:] == wanted, kind


def _span(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return "–"


@pytest.mark.parametrize(
    ("text", "hours", "on"),
    [
        ("SU 22:00-06:00", 0, True),
        ("SU 22:00-06:00", 7.9, True),
        ("SU 22:00-06:00", 8, False),
        ("SU 22:00-06:00", -0.1, False),
        ("SU 22:00-06:00", 24, False),
        ("MO,SU 21:00-23:00", 0.5, True),
        ("mo,tu 00:00-05:00", 3, True),
        ("TU 00:00-05:00", 3, False),
    ],
)
def test_a_weekly_silence_holds_at_its_local_hours(text: str, hours: float, on: bool) -> None:
    silence = Silence(SUNDAY - timedelta(days=30), "x", "wang", SUNDAY, weekly=weekly_of(text))
    assert silence.is_on(SUNDAY + timedelta(hours=hours), ZONE) is on


@pytest.mark.parametrize("text", ["SU", "22:00-06:00", "SUN 22:00-06:00", "SU 25:00-26:00", "SU 22:00-22:00"])
def test_a_week_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed is like"):
        weekly_of(text)


@pytest.mark.parametrize(
    ("about", "covered"),
    [
        ({}, True),
        ({"school_id": "s1"}, True),
        ({"school_id": "s2"}, False),
        ({"school_id": "s1", "line": "l1"}, True),
        ({"school_id": "s1", "line": "l2"}, False),
        ({"kind": "line_down"}, True),
        ({"kind": "data_gap"}, False),
        ({"ends_at": SUNDAY}, False),
    ],
)
def test_a_silence_covers_what_it_names(about: dict[str, object], covered: bool) -> None:
    silence = Silence(SUNDAY - timedelta(days=1), "x", "wang", SUNDAY, **about)  # type: ignore[arg-type]
    assert (silenced(incident(), [silence], SUNDAY, ZONE) is silence) is covered


def test_quiet_hours_put_low_severity_off_until_they_end() -> None:
    rules = load_rules()
    night = datetime(2026, 3, 8, 23, 30, tzinfo=ZONE)
    morning = datetime(2026, 3, 9, 7, 0, tzinfo=ZONE).astimezone(UTC)
    assert quiet_until(rules, "warning", night, ZONE) == morning
    assert quiet_until(rules, "warning", night + timedelta(hours=7), ZONE) == morning
    assert quiet_until(rules, "warning", night + timedelta(hours=8), ZONE) is None
    assert quiet_until(rules, "critical", night, ZONE) is None


def test_exams_are_days_of_the_calendar() -> None:
    exams = (Days(starts=SUNDAY.date(), ends=SUNDAY.date(), name="高考"),)
    calendar = SchoolCalendar(CalendarSettings(public_holidays="none", exams=exams))
    assert exam_on(calendar, SUNDAY)
    assert not exam_on(calendar, SUNDAY + timedelta(hours=2))
