"""The probe against a real responder on loopback."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from agent.capacity.wire import Family
from agent.commands.capacity import status_of, text_of
from agent.probe import NoData, ProbeFailed, Run, Site
from agent.probes.capacity import Capacity, Settings
from collector.responder.settings import SlotSettings
from config.clock import SystemClock
from config.measurements import check
from config.points import encode
from config.school import Line, School
from config.settings import SettingsError
from config.units import BitsPerSecond, Seconds
from tests.agent.capacity.far_end import FarEnd, a_run, far_end, number

pytestmark = pytest.mark.quiet

QUICK: dict[str, Any] = {"search": Seconds(1.0), "verify": Seconds(1.0)}


@pytest.mark.parametrize(("family", "address"), [("ipv4", "127.0.0.1"), ("ipv6", "::1")])
def test_both_directions_are_measured_and_never_judge(family: Family, address: str) -> None:
    settings = Settings(mode="search", max_rate=BitsPerSecond(200_000_000), cpu_limit=1.0, families=(family,))
    with far_end((address,), **QUICK) as served:
        points = Capacity(
            settings, served.site(School(id="s1", lines=(Line(id="l1", interface="lo"),)))
        ).measure(a_run())
    assert [(point.tags["family"], point.tags["direction"]) for point in points] == [
        (family, "down"),
        (family, "up"),
    ]
    for point in points:
        check(point)
        assert encode(point)
        assert "line" not in point.tags
        assert point.fields["counts_for_line"] is False
        assert "no line" in str(point.fields["note"])
        assert point.fields["bound"] == "lower"
        assert 50e6 < number(point, "ip_bits_per_second") < 250e6
        assert number(point, "goodput_bits_per_second") <= number(point, "ip_bits_per_second")
        assert point.fields["congestion_control"]
        assert text_of(point).startswith(point.tags["direction"])


def test_a_verify_run_of_what_loopback_carries_passes() -> None:
    settings = Settings(
        mode="verify", rate=BitsPerSecond(20_000_000), families=("ipv4",), directions=("down",)
    )
    with far_end(verify=Seconds(3.0)) as served:
        (point,) = Capacity(settings, served.site()).measure(a_run())
    assert point.fields["passed"] is True
    assert point.fields["asked_bits_per_second"] == 19_000_000
    assert point.fields["bound"] == "lower"
    assert number(point, "bytes") < 19_000_000 / 8 * 3 * 1.2
    assert status_of([point]) == 0


def test_a_family_that_the_responder_lacks_is_unknown_beside_what_was_measured() -> None:
    settings = Settings(mode="search", max_rate=BitsPerSecond(50_000_000), directions=("down",))
    with far_end(**QUICK) as served:
        measured, missing = Capacity(settings, served.site()).measure(a_run())
    assert measured.tags["family"] == "ipv4"
    assert missing.tags["family"] == "ipv6"
    assert missing.fields["bound"] == "none"
    assert "no ipv6 address" in str(missing.fields["note"])
    assert "no result" in text_of(missing)


def test_the_byte_cap_ends_a_test() -> None:
    settings = Settings(mode="search", max_rate=None, families=("ipv4",))
    with far_end(max_bytes=20_000_000) as served:
        points = Capacity(settings, served.site()).measure(a_run())
    for point in points:
        assert point.fields["stop_reason"] == "bytes"
        assert point.fields["bound"] == "lower"


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_stream_that_is_cut_gives_nothing_since_the_others_do_not_make_up_for_it(direction: Any) -> None:
    settings = Settings(
        mode="verify", rate=BitsPerSecond(60_000_000), families=("ipv4",), directions=(direction,), streams=2
    )
    with far_end() as served:
        cutting = threading.Timer(1.5, lambda: _a_stream(served).shutdown(socket.SHUT_RDWR))
        cutting.start()
        with pytest.raises(ProbeFailed, match="a stream was cut"):
            Capacity(settings, served.site()).measure(a_run())


def _a_stream(served: FarEnd) -> socket.socket:
    (session,) = served.responder._sessions.values()
    assert session._load is not None
    return session._load.socks[0]


@pytest.mark.parametrize(
    ("county_line", "limited_by", "bound"),
    [(45_000_000, "far_end", "lower"), (10_000_000_000, "nothing", "upper")],
)
def test_a_full_line_at_the_far_end_is_no_upper_bound(
    monkeypatch: pytest.MonkeyPatch, county_line: int, limited_by: str, bound: str
) -> None:
    """Loopback stands for the responder's own line; the sender, held below what is asked, for a full one."""
    monkeypatch.setattr("agent.capacity.estimate.VERIFY_HEADROOM", 0.8)
    monkeypatch.setattr("collector.responder.session.VERIFY_HEADROOM", 0.8)
    slots = SlotSettings(county_line=BitsPerSecond(county_line))
    settings = Settings(mode="verify", rate=BitsPerSecond(60_000_000), families=("ipv4",), cpu_limit=1.0)
    with far_end(slots=slots, **QUICK) as served:
        points = Capacity(settings, served.site()).measure(a_run())
    assert [point.tags["direction"] for point in points] == ["down", "up"]
    for point in points:
        assert (point.fields["passed"], point.fields["limited_by"]) == (False, limited_by)
        assert point.fields["bound"] == bound


def test_a_responder_that_may_not_see_its_interfaces_tests_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(address: str) -> str:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr("collector.responder.own_line.interface_of", refused)
    slots = SlotSettings(county_line=BitsPerSecond(5_000_000))
    settings = Settings(mode="verify", rate=BitsPerSecond(10_000_000), families=("ipv4",), cpu_limit=1.0)
    with far_end(slots=slots, **QUICK) as served:
        points = Capacity(settings, served.site()).measure(a_run())
    assert [point.fields["limited_by"] for point in points] == ["nothing", "nothing"]


def test_an_agent_that_sends_beyond_its_tickets_rate_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(mode="verify", rate=BitsPerSecond(10_000_000), families=("ipv4",), directions=("up",))
    with far_end() as served:
        monkeypatch.setattr("agent.capacity.tcp.pace", lambda *_: None)
        (point,) = Capacity(settings, served.site()).measure(a_run())
    assert (point.fields["stop_reason"], point.fields["bound"]) == ("bytes", "none")


def test_without_a_collector_there_is_nothing_to_measure() -> None:
    with pytest.raises(NoData, match="needs a collector"):
        Capacity(Settings(mode="search"), Site(school=School(id="s1"))).measure(a_run())


def test_a_dead_collector_is_a_failure() -> None:
    with far_end() as served:
        site = served.site()
    with pytest.raises(ProbeFailed, match="gives no ticket"):
        Capacity(Settings(mode="search"), site).measure(a_run())


def test_a_refused_ticket_says_why() -> None:
    with far_end(max_rate=BitsPerSecond(10**6)) as served, pytest.raises(NoData, match="at most 1 Mbit/s"):
        Capacity(Settings(mode="verify", rate=BitsPerSecond(10**7)), served.site()).measure(a_run())


def test_an_agent_that_shuts_down_stops_testing_at_once() -> None:
    stop = threading.Event()
    run = Run(clock=SystemClock(), stop=stop, deadline_seconds=60, window_seconds=1)
    settings = Settings(mode="verify", rate=BitsPerSecond(10**7), families=("ipv4",))
    with far_end() as served:
        threading.Timer(1.5, stop.set).start()
        points = Capacity(settings, served.site()).measure(run)
    assert points[0].fields["stop_reason"] == "stopped"
    assert "passed" not in points[0].fields
    assert points[0].fields["bound"] == "none"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(mode="verify"), "rate: is missing"),
        (Settings(mode="search", directions=()), "directions: is empty"),
        (Settings(lines=("l9",)), "l9 is no line; allowed: none"),
    ],
)
def test_settings_that_contradict(settings: Settings, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Capacity(settings, Site(school=School(id="s1")))
