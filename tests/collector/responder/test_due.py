"""A real collector decides, a real agent's probe asks and tests, a real responder serves."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from agent.capacity import iperf3
from agent.capacity.order import NotNow
from agent.probe import NoData, ProbeFailed, Site
from agent.probes.capacity import Capacity, Settings
from collector.commands.capacity import command
from collector.responder.ledger import Ledger
from collector.responder.office import TicketRequest
from collector.settings import CollectorSettings
from config.points import encode
from config.school import Line, School
from config.units import BitsPerSecond
from tests.agent.capacity.far_end import a_run, iperf3_server, number
from tests.collector.running import Running, running, settings_in, wait_until

DECLARED = School("s1", classes=4, lines=(Line(id="l1"),))
SEARCH = msgspec.json.encode(TicketRequest("search", "0" * 64, "down", "ipv4", "l1", now=True))


@pytest.fixture
def settings(tmp_path: Path) -> CollectorSettings:
    slots = {"in_lessons": True, "county_line": 200_000_000}
    responder = {"listen": ["127.0.0.1"], "port": 0, "search": 1.0, "verify": 1.0, "slots": slots}
    return settings_in(tmp_path, responder=responder, verdicts={"plans": ["shandan"]})


@pytest.fixture
def county(settings: CollectorSettings) -> Iterator[Running]:
    with running(settings) as found:
        found.rooms.registry.put_schools([DECLARED, School("s2")])
        yield found


def site(county: Running, agent: str = "a1") -> Site:
    return Site(
        school=DECLARED,
        collector_url=f"http://127.0.0.1:{county.port}",
        collector_token=county.tokens[agent],
    )


def test_an_agent_tests_what_the_collector_wants_and_no_more(county: Running) -> None:
    ledger = Ledger(county.rooms.registry)
    at = county.rooms.clock.wall_ns() / 1e9
    ledger.order("s1", "l1", datetime.fromtimestamp(at, UTC), forced=False, tests=2)
    probe = Capacity(Settings(families=("ipv4",), busy_cpu=1.0), site(county))
    points = probe.measure(a_run(30.0))
    ordered = points[:2]
    assert all("note" in point.fields and point.fields["bound"] != "none" for point in ordered), ordered
    assert [point.tags["direction"] for point in ordered] == ["down", "up"]
    assert {point.tags["mode"] for point in ordered} == {"search"}
    for point in ordered:
        assert point.fields["cap_bits_per_second"] == 100_000_000  # half of the county's line
        assert point.fields["counts_for_line"] is False  # loopback is no line
    granted = ledger.tests_since("s1", datetime.fromtimestamp(at - 60, UTC))
    assert [test.direction for test in granted][:2] == ["down", "up"]
    moved = number(points[0], "bytes")  # at the IP layer; the responder counts what TCP carries
    county.push("\n".join(map(encode, points)), 1)
    county.settle()

    def charged() -> int:
        return ledger.tests_since("s1", datetime.fromtimestamp(at - 60, UTC))[0].bytes

    wait_until(lambda: 0.8 * moved < charged() < 1.2 * moved)
    _ask_until_refused(probe)
    with pytest.raises(NoData, match="no test now"):  # told to come later: not asked again meanwhile
        probe.measure(a_run(30.0))


def _ask_until_refused(probe: Capacity) -> None:
    for _ in range(20):
        try:
            probe.measure(a_run(30.0))
        except NoData:
            return
    pytest.fail("never refused")


def test_a_school_that_is_not_declared_with_lines_gets_no_test(county: Running) -> None:
    with pytest.raises(NotNow, match="no test is due"):
        Capacity(Settings(), site(county, "b1")).measure(a_run(30.0))


def test_one_by_the_agents_own_schedule_is_granted_within_the_slots(county: Running) -> None:
    wanted = Settings(
        mode="search", families=("ipv4",), max_rate=BitsPerSecond(20_000_000), busy_cpu=1.0, lines=()
    )
    points = Capacity(wanted, site(county)).measure(a_run(60.0))
    assert [point.tags["direction"] for point in points] == ["down", "up"]
    assert all(point.fields["bound"] == "lower" for point in points)


def test_an_admin_orders_suppresses_and_resumes_from_the_command_line(
    county: Running, tmp_path: Path
) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text(f"data_directory: {tmp_path}\nresponder: {{}}\n")

    def said(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(command, [*words, "--config", str(file)])
        return done.exit_code, done.output

    assert said("suppress", "--until", "2001-01-01")[0] == 2
    assert said("now", "nowhere") == (2, "error: school nowhere: is not known; «schools list» names them\n")
    status, text = said("now", "s1", "--line", "l9", "--force")
    assert (status, "allowed: l1" in text) == (2, True)
    assert said("suppress", "--until", "2099-01-01", "--why", "exams")[0] == 0
    with pytest.raises(NotNow, match="suppressed until 2098-12-31T16:00\\+0000: exams"):
        Capacity(Settings(), site(county)).measure(a_run(30.0))
    assert "1 suppressions ended" in said("resume")[1]
    assert "2 tests of s1 are ordered" in said("now", "s1", "--force")[1]
    point = Capacity(Settings(families=("ipv4",), busy_cpu=1.0), site(county)).measure(a_run(16.0))[0]
    assert point.tags["mode"] == "search"
    status, text = said("list", "s1", "--json")
    assert msgspec.json.decode(text)[0]["line"] == "l1"


def test_a_test_that_never_began_costs_nothing_and_gives_its_slot_to_the_next_at_once(tmp_path: Path) -> None:
    """One test at a time; a slot that nobody gives back is held for minutes here."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    alone = {"enabled": False, "host": "127.0.0.1", "port": port, "ticket_valid": 600.0}
    with running(settings_in(tmp_path, responder={**alone, "slots": {"in_lessons": True}})) as county:
        county.rooms.registry.put_schools([DECLARED, School("s2", lines=(Line(id="l1"),))])
        wanted = Settings(mode="search", families=("ipv4",), directions=("down",))
        for agent in ("a1", "b1", "a1"):
            with pytest.raises(ProbeFailed, match="no connection to the responder"):
                Capacity(wanted, site(county, agent)).measure(a_run())
        tests = Ledger(county.rooms.registry).tests_since("s1", datetime(2000, 1, 1, tzinfo=UTC))
        assert [test.bytes for test in tests] == [0, 0]
        held = county.request("POST", "/api/v1/tickets", SEARCH)
        assert held.status == 200
        refused = county.request("POST", "/api/v1/tickets", SEARCH, agent="b1")
        assert (refused.status, refused.json) == (503, {"reason": "1 tests run"})
        over = msgspec.json.encode({"test_id": held.json["test_id"]})
        assert county.request("POST", "/api/v1/tickets/over", over, agent="b1").status == 204  # not its own
        assert county.request("POST", "/api/v1/tickets", SEARCH, agent="b1").status == 503
        assert county.request("POST", "/api/v1/tickets/over", over, agent=None).status == 401
        assert county.request("POST", "/api/v1/tickets/over", b'{"test_id": "x"}').status == 400
        assert county.request("POST", "/api/v1/tickets/over", over).status == 204
        assert county.request("POST", "/api/v1/tickets", SEARCH, agent="b1").status == 200


@pytest.mark.needs("iperf3")
def test_iperf3_waits_for_a_slot_and_its_bytes_count(county: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = iperf3.Server(host="127.0.0.1", port=port, seconds=1, streams=1)
    settings = Settings(
        mode="search", method="iperf3", iperf3=server, families=("ipv4",), directions=("down",), tries=1
    )
    with pytest.raises(ProbeFailed, match="iperf3: "):  # no server: nothing moved
        Capacity(settings, site(county)).measure(a_run())
    with iperf3_server(port):
        (point,) = Capacity(settings, site(county)).measure(a_run())
    assert point.fields["cap_bits_per_second"] == 100_000_000  # half of the county's line
    assert 50_000_000 < number(point, "ip_bits_per_second") < 110_000_000
    assert (point.fields["bound"], point.fields["limited_by"]) == ("lower", "rate_cap")
    ledger = Ledger(county.rooms.registry)
    nothing, test = ledger.tests_since("s1", datetime(2000, 1, 1, tzinfo=UTC))
    assert (nothing.bytes, test.responder, test.mode) == (0, "county", "search")
    assert 0.9 * number(point, "bytes") < test.bytes <= number(point, "bytes")
    county.rooms.registry.put_schools([DECLARED, School("s2", lines=(Line(id="l1"),))])
    assert county.request("POST", "/api/v1/tickets", SEARCH).status == 200
    with pytest.raises(NoData, match="100 Mbit/s of 100 Mbit/s are in use"):
        Capacity(settings, site(county, "b1")).measure(a_run(16.0))


def test_what_a_person_ran_is_shown_as_it_runs_and_recorded_when_they_ask_for_it(
    county: Running, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(county.tokens["a1"])
    file = tmp_path / "agent.yaml"
    file.write_text(
        f"school: {{id: s1, lines: [{{id: l1}}]}}\nstate_directory: {tmp_path}\n"
        "probes: {capacity: {busy_cpu: 1.0}}\n"
        f"collector: {{url: 'http://127.0.0.1:{county.port}', token_file: {token}}}\n"
    )
    argv = [sys.executable, "-c", "from agent.main import main; main()", "capacity", "--config", str(file)]
    asked = ["--most", "20M", "--direction", "down", "--family", "ipv4", "--record", "--force"]
    status, shown = on_a_terminal([*argv, *asked])
    assert status == 0, shown
    assert re.search(r"down ipv4 .*[0-9.]+ Mbit/s  estimate [0-9.]+ Mbit/s  [0-9.]+ MB", shown), shown
    assert "recorded: it counts" in shown
    (fields,) = county.stored("capacity").values()
    assert fields["cap_bits_per_second"] == 20_000_000
    assert fields["bound"] == "lower"


def on_a_terminal(argv: list[str]) -> tuple[int, str]:
    """Run a command whose standard error is a terminal of 120 columns; its status, and what that showed."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    process = subprocess.Popen(
        argv, stderr=theirs, stdout=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm", "LANG": "C.UTF-8"}
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the kernel's word for: nobody writes any more
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    return process.wait(30), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
