"""``GET /metrics`` of the agent, for Prometheus: how it fares, what waits, what each probe does.

Answered by a few lines of our own over a plain socket, one client at a time: the library's HTTP server would
add its memory to an agent that has 128 MB for everything.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator

from agent.runner import Total
from agent.settings import MetricsSettings
from config.exposition import CONTENT_TYPE, Metric, single, text_of
from config.points import Point

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 4096
CLIENT_SECONDS = 2.0
LOOK_SECONDS = 1.0
"""How soon the thread sees that the agent stops."""

_VITALS = {
    "uptime_seconds": ("agent_uptime_seconds", "Since the agent started."),
    "resident_bytes": ("process_resident_memory_bytes", "Memory that the agent holds."),
    "cpu_seconds": ("process_cpu_seconds_total", "CPU that the agent used."),
    "bytes_written": ("agent_written_bytes_total", "Bytes that the agent had written to storage."),
    "spool_batches": ("agent_spool_batches", "Batches that the collector does not have yet."),
    "spool_bytes": ("agent_spool_bytes", "Their bytes."),
    "spool_dropped_points": ("agent_spool_dropped_points_total", "Points lost: too old, or no room."),
    "spool_damaged": ("agent_spool_damaged_total", "Damaged batches skipped."),
}


class Metrics:
    """The listener, for one thread."""

    def __init__(
        self, settings: MetricsSettings, vitals: Callable[[], Point], totals: Callable[[], dict[str, Total]]
    ) -> None:
        self._settings = settings
        self._vitals = vitals
        self._totals = totals

    def run(self, stop: threading.Event) -> None:
        """Answer until ``stop``. An address that cannot be used is told once."""
        try:
            listening = self._opened()
        except OSError as error:
            log.warning("no metrics listen=%s reason=%s", self._settings.listen, error.strerror or error)
            stop.wait()
            return
        with listening:
            listening.settimeout(LOOK_SECONDS)
            while not stop.is_set():
                try:
                    client, _ = listening.accept()
                except TimeoutError:
                    continue
                self._serve(client)

    def _opened(self) -> socket.socket:
        host, port = self._settings.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=4)

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                client.sendall(self._answer(_request_line(client)))
            except OSError as error:
                log.debug("metrics not sent reason=%s", error)

    def _answer(self, request_line: bytes) -> bytes:
        method, _, rest = request_line.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _response("404 Not Found", "only /metrics is here\n")
        if method != b"GET":
            return _response("405 Method Not Allowed", "only GET is allowed\n")
        return _response("200 OK", text_of(metrics_of(self._vitals(), self._totals())))


def metrics_of(vitals: Point, totals: dict[str, Total]) -> Iterator[Metric]:
    """What an ``agent`` point and the counts of the probes say."""
    version = str(vitals.fields["version"])
    yield Metric("agent_info", "The agent's version.", [({"version": version}, 1.0)])
    for field, (name, words) in _VITALS.items():
        value = vitals.fields.get(field)
        if isinstance(value, int | float):
            yield single(name, words, value)
    by_probe = [({"probe": name}, total) for name, total in sorted(totals.items())]
    yield Metric("probe_runs_total", "Runs of each probe.", [(who, total.runs) for who, total in by_probe])
    failures = [(who, total.failures) for who, total in by_probe]
    yield Metric("probe_failures_total", "Runs of each probe that failed.", failures)
    seconds = [(who, total.duration_seconds) for who, total in by_probe]
    yield Metric("probe_duration_seconds", "How long the last run of each probe took.", seconds)
    success = [(who, float(total.success)) for who, total in by_probe]
    yield Metric("probe_success", "Whether the last run of each probe succeeded.", success)


def _request_line(client: socket.socket) -> bytes:
    """The first line of a request, read to the end of its head: a client that is cut short sees no answer."""
    head = b""
    deadline = time.monotonic() + CLIENT_SECONDS
    while b"\r\n\r\n" not in head and len(head) < MAX_REQUEST_BYTES:
        client.settimeout(max(0.001, deadline - time.monotonic()))
        some = client.recv(MAX_REQUEST_BYTES - len(head))
        if not some:
            break
        head += some
    return head.partition(b"\r\n")[0]


def _response(status: str, text: str) -> bytes:
    body = text.encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body
