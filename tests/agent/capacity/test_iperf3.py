"""The other method, against a real iperf3 server on loopback."""

from __future__ import annotations

import socket

import pytest

from agent.capacity.iperf3 import Server, moved_bytes, parse
from agent.probe import ProbeFailed, Site
from agent.probes.capacity import Capacity, Settings
from config.measurements import check
from config.school import School
from config.settings import SettingsError
from config.units import BitsPerSecond
from tests.agent.capacity.far_end import a_run, iperf3_server, number

pytestmark = pytest.mark.quiet


@pytest.mark.needs("iperf3")
def test_both_directions_give_the_same_kind_of_point() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with iperf3_server(port):
        server = Server(host="127.0.0.1", port=port, seconds=1, streams=2)
        settings = Settings(mode="search", method="iperf3", iperf3=server, families=("ipv4",))
        points = Capacity(settings, Site(school=School(id="s1"))).measure(a_run())
    assert [point.tags["direction"] for point in points] == ["down", "up"]
    for point in points:
        check(point)
        assert point.tags["method"] == "iperf3"
        assert point.fields["bound"] == "lower"
        assert point.fields["counts_for_line"] is False
        assert number(point, "ip_bits_per_second") > number(point, "goodput_bits_per_second") > 1e6


@pytest.mark.needs("iperf3")
def test_a_search_goes_no_further_than_the_settings_allow() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = Settings(
        mode="search", method="iperf3", iperf3=Server(host="127.0.0.1", port=port, seconds=1, streams=2),
        families=("ipv4",), max_rate=BitsPerSecond(50_000_000),
    )  # fmt: skip
    with iperf3_server(port):
        points = Capacity(settings, Site(school=School(id="s1"))).measure(a_run())
    for point in points:
        assert point.fields["cap_bits_per_second"] == 50_000_000
        assert number(point, "ip_bits_per_second") < 60_000_000


def test_its_error_is_ours() -> None:
    with pytest.raises(ProbeFailed, match="iperf3: unable to connect"):
        parse('{"start": {}, "error": "unable to connect to server"}', "ipv4", "down")
    with pytest.raises(ProbeFailed, match="not its JSON"):
        parse("Segmentation fault", "ipv4", "down")


@pytest.mark.parametrize(
    ("said", "moved"),
    [
        (
            '{"intervals": [{"sum": {"bytes": 5}}, {"sum": {"bytes": 7}}], "error": "socket closed"}',
            12,
        ),
        ('{"intervals": [], "error": "unable to connect"}', 0),
        ("Segmentation fault", None),
    ],
)
def test_what_a_test_that_failed_moved(said: str, moved: int | None) -> None:
    assert moved_bytes(said) == moved


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(mode="search", method="iperf3"), "iperf3.host: is missing"),
        (Settings(method="iperf3", iperf3=Server(host="h")), "due needs method tcp"),
    ],
)
def test_settings_that_contradict(settings: Settings, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Capacity(settings, Site(school=School(id="s1")))
