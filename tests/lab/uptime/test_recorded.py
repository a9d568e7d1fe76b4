"""The lab's own count of points finds what is lost and what is there too often; its scenarios can be read."""

from __future__ import annotations

from pathlib import Path

from collector.batch import Row, Series, batch_of
from collector.store.embedded import EmbeddedStore
from collector.store.upkeep import Retention
from config.points import Point, encode
from tests.lab.uptime.recorded import DAY, compared
from tests.lab.uptime.scenario import SCENARIOS, load

SECOND = 10**9


def ping(second: int, rtt: float) -> Point:
    tags = {"target": "outside", "family": "ipv4"}
    return Point("ping", tags, {"sent": 20, "lost": 0, "rtt_median_seconds": rtt}, second * SECOND)


def test_each_point_is_missed_and_each_repeat_seen(tmp_path: Path) -> None:
    measured = [ping(second, 0.001 * second) for second in range(1, 6)]
    book = tmp_path / "recorded"
    book.write_text("".join(f"{point.time_ns} {encode(point)}\n" for point in measured))
    # the second is lost, the fourth is there twice, an hour apart: a clock that was put right twice
    there = [measured[0], measured[2], measured[3], ping(3604, 0.004), measured[4]]
    tags = {"school": "s1", "agent": "a1", **measured[0].tags}
    rows: list[Row] = [(0, point.time_ns, dict(point.fields)) for point in there]
    store = EmbeddedStore(
        tmp_path / "points.db", retention=Retention(7 * DAY, 90 * DAY, 400 * DAY, 3650 * DAY)
    )
    store.write([batch_of("s1", "a1", 0, [Series("ping", tags)], rows)])
    store.close()
    found = compared(book, tmp_path, "s1", [])
    assert found.recorded == 5
    assert [dict(fields)["rtt_median_seconds"] for _, _, fields in found.missing] == [0.002]
    assert [dict(fields)["rtt_median_seconds"] for _, _, fields in found.too_many] == [0.004]
    assert compared(book, tmp_path, "s1", [(1.5, 2.5)]).missing == []


def test_every_scenario_can_be_read_and_names_schools_that_are_there() -> None:
    for path in SCENARIOS.glob("*.yaml"):
        scenario = load(path)
        schools = {school.id for school in scenario.county.schools}
        assert {each.school for each in scenario.expect} <= schools
        assert set(scenario.silent) | set(scenario.clock_off) | set(scenario.power_cut_now) <= schools
