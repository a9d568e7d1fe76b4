"""``make demo``: a county of six schools with different troubles, live as root, else as it was recorded."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from rich.console import Console

from tests.lab import recorded, scenario
from tests.lab.netns import Lab, Namespace
from tests.lab.play import Play, events
from tests.lab.stage import HTTP_PORT, LOOPBACK

DEMO = Path(__file__).with_name("demo.yaml")
PAUSE_SECONDS = 40.0
_CONNECT_SECONDS = 5.0
_PIECE_BYTES = 65536


def run(port: int, console: Console, *, live: bool | None = None, lab: str | None = None) -> None:
    """Show the county until Ctrl-C. Raises LabError, and OSError for a port that is in use."""
    if live is None:
        live = os.geteuid() == 0
    if live:
        _show_live(port, console, lab)
    else:
        recorded.show(port, console)


def record(seconds: float, console: Console) -> None:
    """Run the county for so long and keep what its collector stored."""
    with standing() as play:
        _happen(play, seconds)
        data = play.stage.end_collector()
        recorded.keep(data, play, console)


def _show_live(port: int, console: Console, lab: str | None) -> None:
    with Door(port) as door:
        console.print("Building a county of six schools in network namespaces …")
        with standing(lab) as play:
            door.open_to(play.county.centre)
            console.print(f"The county's page: http://127.0.0.1:{port}/   Ctrl-C takes it down.")
            while True:
                _happen(play, 0.0)


@contextlib.contextmanager
def standing(lab: str | None = None) -> Iterator[Play]:
    """The county, its collector and its agents, running."""
    with Lab(lab) as built:
        play = Play(built, "demo", scenario.load(DEMO))
        play.county.wait_for_ipv6()
        play.stage.open()
        yield play


def _happen(play: Play, seconds: float) -> None:
    """Let everything happen once, and go on until ``seconds`` and a pause are over."""
    waiting = sorted(events(play.scenario.timeline), key=lambda event: event.at)
    length = max(waiting[-1].at + PAUSE_SECONDS, seconds)
    started = time.monotonic()
    while (now := time.monotonic() - started) < length:
        while waiting and waiting[0].at <= now:
            play.let_happen(waiting.pop(0))
        time.sleep(0.2)


class Door:
    """A port of this host's loopback that leads to the collector inside a namespace."""

    def __init__(self, port: int) -> None:
        self._behind: Namespace | None = None
        door = self

        class Visitor(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                door.lead(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", port), Visitor)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Door:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def open_to(self, behind: Namespace) -> None:
        """From now on visitors are led to the collector in ``behind``."""
        self._behind = behind

    def lead(self, visitor: socket.socket) -> None:
        """Carry bytes both ways until either side ends."""
        if self._behind is None:
            return
        with (
            contextlib.suppress(OSError),
            self._behind.connect(LOOPBACK, HTTP_PORT, _CONNECT_SECONDS) as collector,
        ):
            collector.settimeout(None)
            back = threading.Thread(target=_carry, args=(collector, visitor), daemon=True)
            back.start()
            _carry(visitor, collector)
            back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
