"""A real responder and a real ticket route on loopback or any address, for tests."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from agent.probe import Run, Site
from collector.responder.denied import Denied
from collector.responder.office import TestOver, TicketOffice, TicketRequest
from collector.responder.server import Responder, listening
from collector.responder.settings import ResponderSettings
from config.clock import SystemClock
from config.points import FieldValue, Point
from config.school import School
from config.units import Seconds

KEY = b"k" * 32
TOKEN = "t" * 43


class FarEnd:
    """A responder that serves, the office that issues its tickets, and the URL of the latter."""

    def __init__(self, responder: Responder, office: TicketOffice, url: str, port: int) -> None:
        self.responder = responder
        self.office = office
        self.url = url
        self.port = port

    def site(self, school: School | None = None) -> Site:
        """An agent's site beside it."""
        return Site(school=school or School(id="s1"), collector_url=self.url, collector_token=TOKEN)


@contextmanager
def far_end(addresses: Sequence[str] = ("127.0.0.1",), **changes: Any) -> Iterator[FarEnd]:
    """Serve until the block ends; ``changes`` are ResponderSettings. The route is on the first address."""
    settings = ResponderSettings(**({"max_tests": 8} | changes))
    listeners = listening(addresses, 0)
    port = listeners[0].getsockname()[1]
    settings = msgspec.structs.replace(settings, port=port)
    responder = Responder(settings, KEY, listeners)
    responder.start()
    office = TicketOffice(settings, KEY)
    route = _Server(addresses[0], _handler(office))
    thread = threading.Thread(target=route.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield FarEnd(responder, office, _url(addresses[0], route.server_port), port)
    finally:
        route.shutdown()
        thread.join()
        route.server_close()
        responder.stop()


@contextmanager
def iperf3_server(port: int) -> Iterator[None]:
    """An iperf3 server on that port of loopback."""
    program = subprocess.Popen(("iperf3", "-s", "-p", str(port)), stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield
    finally:
        program.kill()
        program.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            time.sleep(0.2)  # iperf3 serves one at a time: let it take leave of this one
        except OSError:
            assert time.monotonic() < deadline, "iperf3 does not listen"
            time.sleep(0.05)
        else:
            return


def a_run(seconds: float = 60.0) -> Run:
    """A run with that deadline."""
    return Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=seconds, window_seconds=1.0)


def field(point: Point, name: str) -> FieldValue:
    """A field that has to be there."""
    return point.fields[name]


def number(point: Point, name: str) -> float:
    """A field that has to be a number."""
    value = point.fields[name]
    assert isinstance(value, int | float)
    return value


class _Server(ThreadingHTTPServer):
    """A ThreadingHTTPServer of the address's own family."""

    def __init__(self, address: str, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), handler)


def _url(address: str, port: int) -> str:
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _handler(office: TicketOffice) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/over"):
                office.over("s1", msgspec.json.decode(body, type=TestOver))
                self._answer(204, b"")
                return
            try:
                wanted = msgspec.json.decode(body, type=TicketRequest)
                grant = office.issue(
                    "agent-1", "s1", wanted, self.headers["Host"].rpartition(":")[0].strip("[]")
                )
                self._answer(200, msgspec.json.encode(grant))
            except Denied as denied:
                self._answer(denied.status, msgspec.json.encode({"reason": denied.reason}))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            return

    return Handler


def main(address: str, until: str = "stdin") -> None:
    """Serve on that address; print the URL of the ticket route; end with standard input, or when killed."""
    with far_end((address,), verify=Seconds(3.0), tickets_per_hour=10_000) as served:
        print(served.url, flush=True)
        if until == "stdin":
            sys.stdin.read()
        else:
            threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
