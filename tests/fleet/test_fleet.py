"""Short forms of the fleet: a small county, and two collectors of which one is killed."""

from __future__ import annotations

import pytest

from tests.collector.postgres import program
from tests.fleet.__main__ import play
from tests.fleet.driver import Pace
from tests.fleet.kills import holds
from tests.fleet.kills import play as play_kills


@pytest.mark.lab
@pytest.mark.fault(13)
def test_a_county_with_outages_skewed_clocks_and_a_backlog_is_stored_once() -> None:
    found = play(40, Pace(8.0, push_every=4.0, beat_every=4.0, connections=32), backlog=(5, 0.2))
    assert found["stored_points"] == found["acknowledged_points"] > 5 * 12 * 25
    assert found["set_aside"] == 0
    assert found["backlog_points"] == 5 * 12 * 25
    assert found["sent_again"] > 0


@pytest.mark.lab
@pytest.mark.needs("influxd")
@pytest.mark.fault(14)
@pytest.mark.skipif(program("pg_ctl") is None, reason="needs postgresql")
def test_one_of_two_collectors_killed_loses_nothing_and_tells_nothing_twice() -> None:
    found = play_kills(30, 16.0, 6.0)
    assert holds(found), found
    assert found["kills"] >= 1
    assert found["verdict_transitions"] > 0
