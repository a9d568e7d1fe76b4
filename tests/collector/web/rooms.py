"""Real rooms with a school in them, for the pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from collector.batch import Batch, Row, Series
from collector.batch import batch_of as grouped
from collector.enrolment.room import EnrolmentRoom
from collector.ingest.liveness import Heartbeat, Liveness
from collector.registry import Registry
from collector.responder.office import TicketOffice
from collector.settings import CollectorSettings, VerdictSettings
from collector.store.embedded import EmbeddedStore
from collector.store.interface import Store
from collector.store.upkeep import Retention
from collector.uptime.room import UptimeRoom
from collector.verdicts.opening import open_room
from collector.verdicts.room import VerdictRoom
from collector.web.board import Board
from collector.web.events import Events
from config.clock import SystemClock
from config.points import FieldValue, Point
from config.school import Line, School

DAY = 86400.0
SCRIPT = '<script>document.title="stolen"</script><img src=x onerror="alert(1)">'


@dataclass(frozen=True)
class PagesOnly:
    """The rooms that pages look into, without those that take points in."""

    registry: Registry
    store: Store
    verdicts: VerdictRoom
    liveness: Liveness
    enrolment: EnrolmentRoom
    settings: CollectorSettings
    board: Board
    events: Events
    uptime: UptimeRoom | None = None
    tickets: TicketOffice | None = None

    def take(self, points: list[Point], school_id: str = "sample") -> None:
        """What ingest does with points."""
        now = SystemClock().wall_ns()
        self.store.write([batch_of(school_id, points, now)])
        self.verdicts.on_points(school_id, points)

    def close(self) -> None:
        self.store.close()
        self.registry.close()


def open_pages(
    directory: Path, name: str = "样例小学", settings: CollectorSettings | None = None
) -> PagesOnly:
    settings = settings or CollectorSettings(str(directory), verdicts=VerdictSettings(plans=("shandan",)))
    registry = Registry.open(f"sqlite:///{directory / 'registry.db'}")
    registry.put_school(School(id="sample", name=name, classes=12, lines=(Line(id="line1"),)))
    store = EmbeddedStore(
        directory / "points.db", retention=Retention(7 * DAY, 90 * DAY, 400 * DAY, 3650 * DAY)
    )
    verdicts = open_room(registry, settings.verdicts)
    liveness = Liveness(SystemClock())
    uptime = UptimeRoom(
        registry, store, liveness, verdicts.calendar, settings.uptime, heartbeat_seconds=settings.heartbeat
    )
    board = Board(registry, store, verdicts, uptime)
    events = Events(board, settings.web.streams, settings.web.keep_alive)
    enrolment = EnrolmentRoom(registry, settings, SystemClock())
    return PagesOnly(registry, store, verdicts, liveness, enrolment, settings, board, events, uptime)


def heartbeat(rooms: PagesOnly) -> None:
    """Of the sample school's agent."""
    heartbeat_of(rooms, "sample")


def heartbeat_of(rooms: PagesOnly, school_id: str) -> None:
    """Of a school's first agent, which is enrolled where it is not."""
    if school_id not in rooms.registry.enrolled():
        rooms.registry.add_agent(school_id)
    clock = SystemClock()
    beat = Heartbeat("boot", clock.wall_ns(), clock.monotonic_ns(), 1.0, "0.1.0", "running")
    rooms.liveness.heartbeat(f"{school_id}-1", school_id, beat)


def interface_points(windows: int, missing: range = range(0), interface: str = "eth0") -> list[Point]:
    """Windows of 10 s until now on a line, the ``missing`` ones left out; 60 Mbit/s down at most."""
    now_ns = int(datetime.now(UTC).timestamp()) * 10**9
    return [
        Point(
            "interface",
            {"interface": interface, "role": "line", "line": "line1"},
            _fields(30e6 + 25e6 * (number % 7) / 6),
            now_ns - (windows - number) * 10**10,
        )
        for number in range(windows)
        if number not in missing
    ]


def _fields(rate: float) -> dict[str, FieldValue]:
    return {
        "window_seconds": 10.0, "samples": 10, "samples_dropped": 0, "refresh_seconds": 1.0,
        "rx_bits_per_second_sum": rate * 10, "tx_bits_per_second_sum": rate * 2,
        "rx_peak_bits_per_second": round(rate), "tx_peak_bits_per_second": round(rate / 5),
        "peak_seconds": 10.0, "port_bits_per_second": 10**9, "operational": True,
    }  # fmt: skip


def batch_of(school_id: str, points: list[Point], now_ns: int) -> Batch:
    own = {"school": school_id, "agent": "sample-1"}
    series = [Series(point.measurement, {**point.tags, **own}) for point in points]
    rows: list[Row] = [(number, point.time_ns, dict(point.fields)) for number, point in enumerate(points)]
    return grouped(school_id, "sample-1", now_ns, series, rows)
