"""The collector's side of a fleet: its processes, its schools and tokens, what it holds in the end."""

from __future__ import annotations

import contextlib
import http.client
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
import yaml

import config
from collector.registry import Registry
from collector.registry.copies import count_change
from collector.registry.tables import AgentRow, TokenRow
from collector.registry.tokens import digest_of, new_token
from config.school import Line, School
from tests.collector.running import wait_until
from tests.collector.store.influxd import answers
from tests.fleet.agents import NS, POINTS_A_MINUTE, Agent, Span

UP_SECONDS = 10 * 86400
"""How long every agent's host has been up when the run begins: longer than any backlog."""
NAMES = ("ping", "interface", "probe", "agent")


class Collector:
    """One collector process, started again as often as it is killed."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.port = _port()
        self._file = folder / "collector.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        value = {
            "data_directory": str(folder / "data"),
            "listen": {"port": self.port, "max_connections": 4096},
            "verdicts": {"plans": [str(_plan_in_force(folder))]},
            "heartbeat": "30s",
            **settings,
        }
        self._file.write_text(yaml.safe_dump(value), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        command = [sys.executable, "-c", "from collector.main import main; main()", "serve"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--config", str(self._file)], stderr=log, stdout=log)
        wait_until(lambda: self._ended() or answers(self.port, "/health"), 120)
        assert not self._ended(), (self.folder / "log").read_text()[-2000:]

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process is not None and not self._ended():
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def metric(self, name: str) -> float:
        """One of its own counts."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        found = re.search(rf"^xiaotong_{name} (\S+)$", text, re.MULTILINE)
        assert found is not None, name
        return float(found[1])

    def usage(self) -> tuple[float, int]:
        """CPU seconds and resident bytes of the process until now."""
        assert self.process is not None
        process = psutil.Process(self.process.pid)
        times = process.cpu_times()
        return times.user + times.system, process.memory_info().rss

    def stored_points(self) -> int:
        """Raw points in the embedded store."""
        file = self.folder / "data/points.db"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
            return sum(int(store.execute(f'SELECT count(*) FROM "raw_{n}"').fetchone()[0]) for n in NAMES)


def _port() -> int:
    """A free port below those that outgoing connections are given: a killed collector needs it again."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no free port")


def _plan_in_force(folder: Path) -> Path:
    """Xingqing's plan as if it had not lapsed: of one that has, nobody is told."""
    shipped = (Path(config.__file__).parent / "plans/xingqing.yaml").read_text(encoding="utf-8")
    lines = (line for line in shipped.splitlines() if not line.startswith("status"))
    file = folder / "xingqing.yaml"
    file.write_text("\n".join(lines).replace("ends: 2022-07-31", "ends: 2099-12-31"), encoding="utf-8")
    return file


@contextlib.contextmanager
def started(collectors: list[Collector]) -> Iterator[None]:
    """Run them until the block ends."""
    try:
        for each in collectors:
            each.start()
        yield
    finally:
        for each in collectors:
            each.stop()


def enrol(url: str, schools: int) -> list[Agent]:
    """Declare schools with a line each, and enrol an agent of each: the rows themselves, all at once."""
    chance = random.Random(20261122)
    now = datetime.now(UTC)
    tokens = [new_token() for _ in range(schools)]
    ids = [f"s{number:05d}" for number in range(schools)]
    with contextlib.closing(Registry.open(url)) as registry:
        line = Line("wan", carrier="电信")
        registry.put_schools(School(each, f"学校 {each}", lines=(line,)) for each in ids)
        with registry.writing() as connection:
            connection.execute(
                sa.insert(AgentRow),
                [{"id": f"{e}-1", "school_id": e, "name": f"{e}-1", "created_at": now} for e in ids],
            )
            connection.execute(
                sa.insert(TokenRow),
                [
                    {"digest": digest_of(token), "agent_id": f"{each}-1", "created_at": now}
                    for each, token in zip(ids, tokens, strict=True)
                ],
            )
            count_change(connection, "agents")
    offset = time.time_ns() - UP_SECONDS * NS
    return [Agent(n, token, random.Random(chance.random()), offset) for n, token in enumerate(tokens)]


def give_faults(agents: list[Agent], seconds: float) -> None:
    """Of a hundred: two lines that go down for a while, three clocks that are off, one who sends twice."""
    for number, agent in enumerate(agents):
        if number % 50 == 3:
            agent.away_from, agent.away_to = seconds * 0.3, seconds * 0.6
        if number % 33 == 4:
            agent.skew_ns = (-1) ** number * (30 + number * 37 % 20_000) * NS
        agent.resends = number % 100 == 5


def give_backlog(agents: list[Agent], hours: float) -> int:
    """Minutes that were measured while nobody listened; gives the points."""
    minutes = round(hours * 60)
    for agent in agents:
        agent.behind.append(Span(time.time_ns() - minutes * 60 * NS, minutes))
    return len(agents) * minutes * POINTS_A_MINUTE
