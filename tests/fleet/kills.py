"""``python -m tests.fleet.kills [SCHOOLS] [SECONDS] [KILL_EVERY]``: two collectors, PostgreSQL and influxd
under a fleet, one of the two killed with -9 again and again, in turns.

Ends with status 1 when a point that was acknowledged is not in InfluxDB or not in its windows, when a verdict
changed twice at once, or when a message was lost, written twice, or sent again more often than somebody was
killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sqlite3
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from tests.collector.messages.sinks import Recorder, serving
from tests.collector.postgres import postgres
from tests.collector.running import wait_until
from tests.collector.store.influxd import influxd, proxy
from tests.fleet.agents import Agent
from tests.fleet.county import Collector, enrol, give_faults
from tests.fleet.driver import Driver, Pace

FIELD_OF = {"ping": "sent", "interface": "samples", "probe": "runs", "agent": "uptime_seconds"}
RULES = {
    "quiet_hours": [],
    "rules": {"below_target": {"gather": "0s"}, "many_at_once": {"schools": 10_000}},
}
WINDOWS = ("xiaotong_5m", "xiaotong_1h", "xiaotong_1d")
FLIP_SECONDS = 15.0
FLIPPING = 20


def play(schools: int, seconds: float, kill_every: float) -> dict[str, Any]:
    """One run; what was found in the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xiaotong-kills-")))
        server = stack.enter_context(postgres(durable=True))
        url = server.database_of("fleet").render_as_string()
        influx = stack.enter_context(influxd(folder / "influx"))
        front = stack.enter_context(proxy(influx))
        sink = Recorder()
        sink_url = stack.enter_context(serving(sink))
        settings = _settings(folder, url, front.port, sink_url)
        collectors = [Collector(folder / name, **settings) for name in ("a", "b")]
        agents = enrol(url, schools)
        flipping = agents[10 : 10 + FLIPPING]
        give_faults([agent for agent in agents if agent not in flipping], seconds)
        for each in collectors:
            stack.callback(each.stop)
            each.start()
        driver = Driver(agents, [each.port for each in collectors], Pace(seconds, 20.0, connections=64))
        counts, kills = asyncio.run(_run(driver, collectors, flipping, seconds, kill_every))
        for each in collectors:
            wait_until(lambda one=each: one.metric("journal_waiting_bytes") == 0, 120)  # type: ignore[misc]
        wait_until(lambda: not _waiting(url), 120)
        wait_until(lambda: not any(map(_windows_waiting, collectors)), 120)
        return {
            "schools": schools,
            "seconds": seconds,
            "kills": kills,
            "acknowledged_points": counts.acknowledged_points,
            "stored_points": _stored(influx, "xiaotong", "count({})"),
            "points_in_windows": [_stored(influx, bucket, "sum({}__count)") for bucket in WINDOWS],
            "failed_requests": counts.failed,
            "sent_again": counts.resent,
            **_verdicts(url),
            **_messages(url, sink),
        }


def _settings(folder: Path, url: str, influx_port: int, sink_url: str) -> dict[str, Any]:
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES))
    for name, text in (("url", f"{sink_url}/"), ("secret", "0123456789abcdef0123456789abcdef")):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    hook = {"url_file": str(folder / "url"), "secret_file": str(folder / "secret"), "a_minute": 10_000}
    channels = {"webhook": {"office": hook}, "inside_networks": ["127.0.0.0/8"], "timeout": "1s"}
    return {
        "registry": {"url": url},
        "store": {
            "engine": "influxdb", "influxdb": {"url": f"http://127.0.0.1:{influx_port}"},
            "fold_every": "200ms",
        },
        "incidents": {"rules": str(folder / "rules.yaml"), "settle": "1s"},
        "messages": {
            "channels": channels, "recipients": {"duty": {"channel": "office"}},
            "lease": "5s", "poll": "500ms",
        },
    }  # fmt: skip


async def _run(
    driver: Driver, collectors: Sequence[Collector], flipping: Sequence[Agent], seconds: float, every: float
) -> tuple[Any, int]:
    killing = asyncio.create_task(_kill(collectors, seconds, every))
    changing = asyncio.create_task(_flip(flipping))
    counts = await driver.run()
    kills = await killing
    changing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await changing
    return counts, kills


async def _kill(collectors: Sequence[Collector], seconds: float, every: float) -> int:
    """Kill one, start it again, then the other; never both at once."""
    until, kills = time.monotonic() + seconds, 0
    for each in itertools.cycle(collectors):
        await asyncio.sleep(every)
        if time.monotonic() >= until:
            return kills
        await asyncio.to_thread(each.kill)
        kills += 1
        await asyncio.to_thread(each.start)
    return kills


async def _flip(agents: Sequence[Agent]) -> None:
    while True:
        await asyncio.sleep(FLIP_SECONDS)
        for agent in agents:
            slow = agent.port_bits_per_second == 100_000_000
            agent.port_bits_per_second = 1_000_000_000 if slow else 100_000_000


def _stored(port: int, bucket: str, what: str) -> int:
    """What one field of each measurement adds up to."""
    return sum(
        _asked(port, bucket, f"SELECT {what.format(field)} FROM {name}") for name, field in FIELD_OF.items()
    )


def _windows_waiting(collector: Collector) -> int:
    with contextlib.closing(sqlite3.connect(collector.folder / "data/windows.db", timeout=30)) as db:
        return int(db.execute("SELECT count(*) FROM waiting").fetchone()[0])


def _asked(port: int, bucket: str, text: str) -> int:
    query = urllib.parse.urlencode({"db": bucket, "q": text})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/query?{query}", timeout=60) as answer:
        found = json.load(answer)["results"][0]
    return int(found["series"][0]["values"][0][1]) if "series" in found else 0


def _rows(url: str, query: str) -> list[Any]:
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            return list(connection.execute(sa.text(query)))
    finally:
        engine.dispose()


def _waiting(url: str) -> int:
    found = _rows(url, "SELECT count(*) FROM messages WHERE state IN ('waiting', 'sending')")
    return int(found[0][0])


def _verdicts(url: str) -> dict[str, Any]:
    """Each transition goes from the answer before to another, and their numbers have no gap and no double."""
    rows = _rows(
        url,
        "SELECT school_id, plan, target, number, was, answer FROM transitions "
        "ORDER BY school_id, plan, target, number",
    )
    wrong = 0
    for _, group in itertools.groupby(rows, key=lambda row: tuple(row[:3])):
        before: str | None = None
        for number, row in enumerate(group, 1):
            wrong += row.number != number or row.was != before or row.answer == before
            before = row.answer
    return {"verdict_transitions": len(rows), "verdict_transitions_wrong": wrong}


def _messages(url: str, sink: Recorder) -> dict[str, Any]:
    """What the outbox says was sent, and what came at the receiver, by the letters' keys."""
    letters = Counter(head["X-Xiaotong-Key"] for _, head, _ in sink.requests)
    kept = _rows(url, "SELECT batch, count(*) FROM messages WHERE state = 'sent' GROUP BY batch")
    batches = {row[0] for row in kept}
    return {
        "messages_sent": sum(int(row[1]) for row in kept),
        "letters_sent": len(batches),
        "letters_lost": len(batches - letters.keys()),
        "letters_repeated_under_their_key": sum(letters.values()) - len(letters),
        "open_incidents_twice": len(
            _rows(
                url,
                "SELECT open_key FROM incidents WHERE open_key IS NOT NULL GROUP BY 1 HAVING count(*) > 1",
            )
        ),
    }


def holds(found: dict[str, Any]) -> bool:
    """Nothing lost, nothing twice."""
    return (
        found["acknowledged_points"] == found["stored_points"]
        and found["points_in_windows"] == [found["stored_points"]] * len(WINDOWS)
        and not found["verdict_transitions_wrong"]
        and not found["letters_lost"]
        and not found["open_incidents_twice"]
        and found["letters_repeated_under_their_key"] <= found["kills"]
    )


def main(arguments: list[str]) -> int:
    """The command."""
    schools, seconds, every = (*map(float, arguments), *(100.0, 600.0, 60.0)[len(arguments) :])
    found = play(int(schools), seconds, every)
    print(json.dumps(found, indent=2))
    return 0 if holds(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
