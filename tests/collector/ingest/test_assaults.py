"""The assaults of tests/collector/ingest/assaults.py, as small as they can be and still bite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collector.ingest import assaults
from tests.collector.running import running, settings_in


@pytest.mark.fault(2)
def test_a_thousand_slow_connections_are_cut_off_beside_a_normal_agent(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, listen={"header_deadline": 1.0}, ingest={"body_deadline": 1.0})
    with running(settings) as collector:
        at_once, served = assaults.slow_clients(collector, 1000, 8)
    assert at_once > 500
    assert served.pushes > 10


@pytest.mark.fault(6)
def test_random_values_of_a_tag_are_set_aside_while_another_agent_is_served(tmp_path: Path) -> None:
    with running(settings_in(tmp_path, ingest={"max_series_per_agent": 100})) as collector:
        aside, served = assaults.series_explosion(collector, 40_000, 10_000)
        collector.settle()
        assert len(collector.rooms.store.distinct("s1", "ping")) == 100
    assert aside == 40_000 - 100
    assert served.pushes > 5


@pytest.mark.fault(9)
def test_half_of_the_replies_are_lost_and_every_point_is_there_once(tmp_path: Path) -> None:
    with running(settings_in(tmp_path / "data")) as collector:
        dropped, points, twice = assaults.lost_replies(collector, tmp_path / "spool", 60)
    assert points == 600
    assert dropped > 15
    assert twice > 10


@pytest.mark.fault(13)
def test_a_fleet_that_comes_back_at_once_is_taken_whole_its_newest_points_first(tmp_path: Path) -> None:
    settings = settings_in(
        tmp_path, ingest={"max_bytes_in_flight": 40_000, "retry_after": 1.0}, journal={"segment_bytes": 2**20}
    )
    with running(settings) as collector:
        came = assaults.fleet_returns(collector, 16, 6)
    assert came.points == 16 * 6001
    assert came.live_seconds < came.seconds
    assert came.grown_bytes < 200 * 2**20
