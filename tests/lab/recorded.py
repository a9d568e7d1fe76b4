"""A county as it was recorded in the lab: kept as lines, and shown again where no lab can stand.

The file holds JSON, one value a line: first what the county declared, then every point as the collector had
stored it. Shown again, the points are dated so that the recording ends now, and follow one another as they
did; every page says that they are recorded.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import yaml
from rich.console import Console

from collector.registry import Registry
from collector.store.embedded import EmbeddedStore
from collector.store.upkeep import Retention
from config import settings
from config.measurements import schema
from config.points import Point, encode
from config.school import School
from tests.lab.netns import LabError

if TYPE_CHECKING:
    from tests.lab.play import Play

RECORDING = Path(__file__).with_name("recorded_county.jsonl.gz")
OUTLINE = Path(__file__).with_name("demo_outline.geojson")
NOTICE = "录制的数据，不是实时数据 · Recorded in the lab, not live"
HEARTBEAT = "/api/v1/heartbeat"
WRITE = "/api/v2/write?org=xiaotong&bucket=raw&precision=ns"
COLLECTOR = Path(sys.executable).parent / "xiaotong-collector"
NOT_OURS = ("agent", "school")
_KEEP_FOREVER = Retention(*[10 * 365 * 86400.0] * 4)
_START_SECONDS = 30.0
_TURN_SECONDS = 2.0


class Recording(NamedTuple):
    """What was declared, and the points with their school, by time."""

    plans: tuple[str, ...]
    schools: tuple[School, ...]
    points: tuple[tuple[str, Point], ...]

    @property
    def start_ns(self) -> int:
        """When the first point was measured."""
        return self.points[0][1].time_ns

    @property
    def length_ns(self) -> int:
        """From the first point to the last."""
        return self.points[-1][1].time_ns - self.start_ns


def keep(data: Path, play: Play, console: Console) -> None:
    """Write what the store in ``data`` holds of the county that ``play`` played."""
    with closing(Registry.open(f"sqlite:///{data / 'registry.db'}")) as registry:
        schools = tuple(registry.schools().values())
    with closing(EmbeddedStore(data / "points.db", retention=_KEEP_FOREVER)) as store:
        points = sorted(_stored(store, schools), key=lambda each: each[1].time_ns)
    with gzip.open(RECORDING, "wt", encoding="utf-8") as file:
        head = {"plans": play.stage.plans, "schools": msgspec.to_builtins(schools)}
        file.write(json.dumps(head, ensure_ascii=False) + "\n")
        for school, point in points:
            file.write(json.dumps([school, msgspec.to_builtins(point)], ensure_ascii=False) + "\n")
    console.print(f"{len(points)} points of {len(schools)} schools, {RECORDING.stat().st_size} bytes")


def load() -> Recording:
    """Read the recording."""
    with gzip.open(RECORDING, "rt", encoding="utf-8") as file:
        head, *rest = (json.loads(line) for line in file)
    schools = settings.convert(head["schools"], tuple[School, ...], str(RECORDING))
    points = tuple((school, msgspec.convert(point, Point)) for school, point in rest)
    return Recording(tuple(head["plans"]), schools, points)


def show(port: int, console: Console) -> None:
    """Serve the recorded county on ``port`` until Ctrl-C. Raises LabError, OSError for a port in use."""
    socket.create_server(("127.0.0.1", port)).close()
    recording = load()
    with tempfile.TemporaryDirectory(prefix="xiaotong-demo-") as name:
        folder = Path(name)
        tokens = _prepare(folder, recording, port)
        with (folder / "collector.log").open("wb") as log:
            command = [str(COLLECTOR), "serve", "--config", "collector.yaml"]
            collector = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_until_it_serves(collector, port, folder / "collector.log")
            console.print(f"A recorded county: http://127.0.0.1:{port}/   Ctrl-C ends.")
            console.print("Run as root, the county is a live one in network namespaces.")
            for lines in _turns(recording):
                for school, written in lines.items():
                    _post(port, WRITE, tokens[school], "\n".join(written))
                for token in tokens.values():
                    _post(port, HEARTBEAT, token, _beat())
                if collector.poll() is not None:
                    raise LabError(f"the collector ended with status {collector.returncode}")
        finally:
            collector.terminate()
            collector.wait(10)


def _stored(store: EmbeddedStore, schools: Iterable[School]) -> Iterator[tuple[str, Point]]:
    for school in schools:
        for measurement in schema():
            for series in store.points(school.id, measurement, start_ns=0, end_ns=2**62):
                tags = {name: value for name, value in series.tags.items() if name not in NOT_OURS}
                for raw in series.points:
                    yield school.id, Point(measurement, tags, raw.fields, raw.time_ns)


def _prepare(folder: Path, recording: Recording, port: int) -> dict[str, str]:
    """Settings, schools and a token for each school."""
    written: dict[str, Any] = {
        "data_directory": str(folder / "data"),
        "listen": {"port": port},
        "access": {"anonymous": "display"},
        "notice": NOTICE,
        "verdicts": {"plans": list(recording.plans)},
        "web": {"map": str(OUTLINE)},
    }
    (folder / "collector.yaml").write_text(yaml.safe_dump(written, allow_unicode=True), encoding="utf-8")
    (folder / "data").mkdir(mode=0o700)
    with closing(Registry.open(f"sqlite:///{folder / 'data/registry.db'}")) as registry:
        registry.put_schools(recording.schools)
        return {school.id: registry.add_agent(school.id) for school in recording.schools}


def _wait_until_it_serves(collector: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and collector.poll() is None:
        with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as asked:
            asked.request("GET", "/health")
            if asked.getresponse().status == http.client.OK:
                return
        time.sleep(0.1)
    raise LabError(f"the collector does not serve: {log.read_text().strip().rpartition(chr(10))[2]}")


def _turns(recording: Recording) -> Iterator[dict[str, list[str]]]:
    """First the whole recording up to now; then again and again, each point when its time has come."""
    shift_ns = time.time_ns() - recording.start_ns - recording.length_ns
    due = 0
    while True:
        lines: dict[str, list[str]] = {}
        while due < len(recording.points) and recording.points[due][1].time_ns + shift_ns <= time.time_ns():
            school, point = recording.points[due]
            dated = msgspec.structs.replace(point, time_ns=point.time_ns + shift_ns)
            lines.setdefault(school, []).append(encode(dated))
            due += 1
        yield lines
        if due == len(recording.points):
            due, shift_ns = 0, shift_ns + recording.length_ns + round(_TURN_SECONDS * 1e9)
        time.sleep(_TURN_SECONDS)


def _beat() -> str:
    """Every agent of the county ran all the time."""
    return json.dumps(
        {"boot_id": "recorded", "wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns(),
         "uptime_seconds": time.monotonic(), "version": "recorded", "state": "running"}
    )  # fmt: skip


def _post(port: int, path: str, token: str, body: str) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("POST", path, body.encode(), {"Authorization": f"Token {token}"})
        answer = connection.getresponse()
        if answer.status >= http.client.BAD_REQUEST:
            raise LabError(f"the collector refused what was recorded: {answer.status} {answer.read(300)!r}")
