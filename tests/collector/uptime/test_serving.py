"""Through a real collector: points pushed over HTTP, outages and availability by API and command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from collector.main import main
from collector.registry import Registry
from collector.uptime.minutes import SCHOOL
from config.points import Point, encode
from config.school import Line, School
from tests.collector.running import Running, running, settings_in, wait_until

MINUTE_NS = 60 * 10**9


def minute_of_pings(end_ns: int, well: bool) -> str:
    fields: dict[str, Any] = {
        "sent": 20,
        "lost": 0 if well else 20,
        "place": "outside",
        "window_seconds": 60.0,
    }
    hop = {**fields, "place": "next_hop", "lost": 0}
    return "\n".join(
        encode(Point("ping", {"target": target, "family": "ipv4"}, told, end_ns))
        for target, told in (("gateway", hop), ("web", fields))
    )


def push_history(collector: Running, minutes: int = 40, dead: range = range(10, 20)) -> None:
    """Minutes until now, some of them dead."""
    first = time.time_ns() // MINUTE_NS - minutes
    lines = [minute_of_pings((first + n + 1) * MINUTE_NS, n not in dead) for n in range(minutes)]
    assert collector.push("\n".join(lines), 1).status == 204
    collector.settle()


@pytest.fixture
def quick(tmp_path: Path) -> Any:
    return settings_in(tmp_path, uptime={"minute": 60.0})


def test_api_and_command_tell_the_same(quick: Any, tmp_path: Path) -> None:
    with running(quick) as collector:
        push_history(collector)

        def told() -> list[dict[str, Any]]:
            collector.rooms.uptime.tick()
            answer = collector.request("GET", "/api/v1/schools/s1/outages")
            assert answer.status == 200
            found: list[dict[str, Any]] = answer.json["outages"]
            return found

        wait_until(lambda: any(each["subject"] == "school" and each["to"] for each in told()))
        (outage,) = [each for each in told() if each["subject"] == "school"]
        assert (outage["minutes"], outage["state"], outage["cause"], outage["live"]) == (
            10,
            "down",
            "carrier",
            False,
        )
        available = collector.request("GET", "/api/v1/schools/s1/availability").json["subjects"]
        (whole,) = [each["all_hours"] for each in available if each["subject"] == "school"]
        assert whole["down_minutes"] == 10
        assert whole["availability"] is None  # a month of which minutes are known
        now = collector.request("GET", "/api/v1/schools/s1/outages").json["now"]
        assert now["state"] == "heard"
        for path, status in (
            ("nobody/outages", 404),
            ("s1/outages?month=2026-13", 400),
            ("s1/availability?month=x", 400),
        ):
            assert collector.request("GET", f"/api/v1/schools/{path}").status == status
    config = tmp_path / "collector.yaml"
    config.write_text(f"data_directory: {tmp_path}\n")
    done = CliRunner().invoke(main, ["outages", "--school", "s1", "--json", "--config", str(config)])
    assert done.exit_code == 1, done.output
    (said,) = msgspec.json.decode(done.output)["schools"]
    assert [each["id"] for each in said["outages"] if each["subject"] == "school"] == [outage["id"]]
    table = CliRunner(env={"LANG": "en", "COLUMNS": "200"}).invoke(main, ["outages", "--config", str(config)])
    assert "carrier" in table.output
    chinese = CliRunner(env={"LANG": "zh_CN.UTF-8", "COLUMNS": "200"}).invoke(
        main, ["outages", "--config", str(config)]
    )
    assert "运营商" in chinese.output


def impossible(end_ns: int) -> list[Point]:
    """Points that fit their measurements and that no honest agent writes."""
    pinged, of_line = {"target": "web", "family": "ipv4"}, {"interface": "e", "role": "line", "line": "l1"}
    answered: dict[str, Any] = {"sent": 20, "lost": 0, "place": "outside"}
    found: list[Point] = []
    for n, span in enumerate((-1e308, -1e200, -1e11, 1e10, 1e290, 1e308)):
        length: dict[str, Any] = {"window_seconds": span}
        rates = {"samples": 1, "rx_bits_per_second_sum": 1e9}
        found += [
            Point("ping", pinged, {**answered, **length}, end_ns - n),
            Point("agent", {}, {"boot_id": f"boot-{n}", "uptime_seconds": span}, end_ns - n),
            Point("interface", of_line, {**rates, **length}, end_ns - n),
        ]
    for minute in range(20):  # a plateau of 1e300 bit/s
        at = end_ns - (20 - minute) * MINUTE_NS
        told = {**answered, "lost": 0 if minute < 14 else 10, "window_seconds": 60.0}
        found.append(Point("ping", {**pinged, "line": "l1"}, told, at))
        if minute >= 14:
            rate = {"window_seconds": 60.0, "samples": 1, "rx_bits_per_second_sum": 1e300}
            found.append(Point("interface", of_line, rate, at))
    return found


@pytest.mark.fault(10)
def test_points_that_cannot_be_cost_nobody(quick: Any) -> None:
    with running(quick) as collector:
        rooms = collector.rooms
        rooms.registry.put_schools([School("s1", lines=(Line("l1"),)), School("s2", lines=(Line("l1"),))])
        end_ns = time.time_ns()
        for sequence, point in enumerate(impossible(end_ns)):
            assert collector.push(encode(point), sequence).headers.get("x-xiaotong-set-aside") is None
        assert collector.write(minute_of_pings(end_ns, well=True), agent="b1").status == 204
        collector.settle()
        rooms.uptime.tick()
        rooms.verdicts.tick()
        day = end_ns // (86400 * 10**9)
        for school_id in ("s1", "s2"):
            days = rooms.uptime.records.days(school_id, day - 1, day)[SCHOOL]
            assert any(b"u" in codes for codes in days.values())
        assert rooms.consumer.failures.total == rooms.uptime.failures.total == 0


def test_of_a_school_never_measured_no_minute_is_zero(tmp_path: Path) -> None:
    config = tmp_path / "collector.yaml"
    config.write_text(f"data_directory: {tmp_path}\n")
    registry = Registry.open(f"sqlite:///{tmp_path}/registry.db")
    registry.put_school(School("s1", name="第一小学"))
    registry.close()
    # a month that is over: every minute of it is asked, none is known
    asked = ["outages", "--month", "2026-05", "--config", str(config)]
    done = CliRunner().invoke(main, [*asked, "--json"])
    assert done.exit_code == 3
    (said,) = msgspec.json.decode(done.output)["schools"]
    (subject,) = said["availability"]
    for hours in (subject["school_hours"], subject["all_hours"]):
        assert hours["scheduled_minutes"] == hours["unknown_minutes"] > 0
        assert {hours[f"{name}_minutes"] for name in ("up", "degraded", "down", "one_line")} == {None}
        assert hours["availability"] is None
    table = CliRunner(env={"LANG": "en", "COLUMNS": "200"}).invoke(main, asked)
    (row,) = [line for line in table.output.splitlines() if "s1" in line]
    assert [cell.strip() for cell in row.split("│")[-3:-1]] == ["–", "–"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["outages", "--school", "nobody"], "school nobody: is not known"),
        (["outages", "--month", "2026-13"], "--month 2026-13: is no month"),
        (
            ["maintenance", "add", "--from", "2020-01-01T00:00", "--to", "2020-01-02T00:00", "--why", "x"],
            "has passed",
        ),
        (["maintenance", "add", "--from", "x", "--to", "y", "--why", "z"], "is no time"),
    ],
)
def test_what_the_commands_refuse(tmp_path: Path, arguments: list[str], said: str) -> None:
    config = tmp_path / "collector.yaml"
    config.write_text(f"data_directory: {tmp_path}\n")
    done = CliRunner().invoke(main, [*arguments, "--config", str(config)])
    assert done.exit_code == 2
    assert said in done.output + (done.stderr if done.stderr_bytes else "")


def test_announced_maintenance_is_outside(tmp_path: Path) -> None:
    config = tmp_path / "collector.yaml"
    config.write_text(f"data_directory: {tmp_path}\n")
    given = [
        "maintenance",
        "add",
        "--from",
        "2090-05-01T22:00",
        "--to",
        "2090-05-02T02:00",
        "--why",
        "new switch",
    ]
    assert CliRunner().invoke(main, [*given, "--config", str(config)]).exit_code == 0
