"""What the agent tells Prometheus, and that no client holds it up."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from agent import metrics
from agent.metrics import Metrics
from agent.runner import Outcome, Reporter
from agent.settings import MetricsSettings
from config.clock import SystemClock
from config.points import FieldValue, Point
from tests.collector.store.influxd import free_port

VITALS: dict[str, FieldValue] = {
    "version": "1.2.3",
    "resident_bytes": 30_000_000,
    "cpu_seconds": 1.5,
    "spool_batches": 2,
    "boot_id": "b",
}


@contextmanager
def listening(reporter: Reporter | None = None) -> Iterator[int]:
    """A listener on a free port."""
    port, stop = free_port(), threading.Event()
    totals = (reporter or Reporter(lambda _: None, SystemClock(), 60)).totals
    served = Metrics(MetricsSettings(f"127.0.0.1:{port}"), lambda: Point("agent", {}, VITALS, 1), totals)
    thread = threading.Thread(target=served.run, args=(stop,))
    thread.start()
    try:
        yield port
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def asked(port: int, method: str = "GET", path: str = "/metrics") -> tuple[int, str]:
    for attempt in range(100):
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                connection.request(method, path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
        except ConnectionRefusedError:
            if attempt == 99:
                raise
            threading.Event().wait(0.05)
    raise AssertionError


def test_vitals_and_probes_are_told() -> None:
    reporter = Reporter(lambda _: None, SystemClock(), 60)
    reporter.report(Outcome("ping", 1, 0.25), continuous=False)
    reporter.report(Outcome("ping", 2, 0.5, error="no route"), continuous=False)
    with listening(reporter) as port:
        status, text = asked(port)
    assert status == 200
    assert set(text.splitlines()) >= {
        'xiaotong_agent_info{version="1.2.3"} 1.0',
        "process_resident_memory_bytes 30000000.0",
        "# TYPE process_cpu_seconds_total counter",
        "process_cpu_seconds_total 1.5",
        "xiaotong_agent_spool_batches 2.0",
        'xiaotong_probe_runs_total{probe="ping"} 2',
        'xiaotong_probe_failures_total{probe="ping"} 1',
        'xiaotong_probe_duration_seconds{probe="ping"} 0.5',
        'xiaotong_probe_success{probe="ping"} 0.0',
    }
    assert "boot_id" not in text


def test_nothing_else_is_answered() -> None:
    with listening() as port:
        assert asked(port, path="/")[0] == 404
        assert asked(port, "POST")[0] == 405
        assert asked(port, path="/metrics?x=1")[0] == 200


@pytest.mark.fault(2)
def test_a_slow_client_holds_the_others_up_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CLIENT_SECONDS", 0.2)
    with listening() as port:
        asked(port)
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"GET /met")
            assert asked(port)[0] == 200


def test_an_address_in_use_is_told_and_the_agent_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        stop = threading.Event()
        served = Metrics(
            MetricsSettings(f"127.0.0.1:{taken.getsockname()[1]}"),
            lambda: Point("agent", {}, VITALS, 1),
            dict,
        )
        thread = threading.Thread(target=served.run, args=(stop,))
        thread.start()
        stop.set()
        thread.join(10)
    assert "no metrics listen=127.0.0.1" in caplog.text


@pytest.mark.parametrize("wrong", ["9108", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999", ":9108", "host:x"])
def test_an_address_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="address:port"):
        MetricsSettings(wrong)


def test_an_address_of_ipv6() -> None:
    assert MetricsSettings("[::1]:9108").address == ("::1", 9108)
