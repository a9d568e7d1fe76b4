"""A real Alertmanager receives and shows our alerts: firing, told again, resolved."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.incidents.book import IncidentBook
from collector.messages.channels import Failure, NotDelivered
from collector.messages.room import MessageRoom
from collector.registry import Registry
from config.clock import SystemClock
from tests.collector.messages.county import CHINA, change, incident, message_settings, opened_registry
from tests.collector.messages.sinks import Recorder, secret_file, serving
from tests.collector.running import wait_until

ROUTES = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@contextlib.contextmanager
def alertmanager(folder: Path) -> Iterator[int]:
    """Debian's Alertmanager on loopback, alone."""
    config = folder / "alertmanager.yml"
    config.write_text(ROUTES)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "prometheus-alertmanager", f"--config.file={config}", f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _ready(port), 20)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _ready(port: int) -> bool:
    try:
        return _get(port, "/-/ready")[0] == 200
    except OSError:
        return False


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def alerts(port: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_get(port, "/api/v2/alerts?active=true")[1])
    return found


def opened_room(registry: Registry, folder: Path, url: str, repeat: str = "60s") -> MessageRoom:
    settings = message_settings(
        channels={"alertmanager": {"am": {"url_file": secret_file(folder, "am", url), "repeat": repeat}}},
        recipients={"alerts": {"channel": "am"}},
        poll="0.05s",
    )
    return MessageRoom(registry, settings, CHINA, public_url="https://x.example")


@pytest.mark.needs("prometheus-alertmanager")
def test_alertmanager_shows_an_incident_until_it_is_over(tmp_path: Path) -> None:
    registry = opened_registry(tmp_path)
    with alertmanager(tmp_path) as port:
        room = opened_room(registry, tmp_path, f"http://127.0.0.1:{port}")
        now = _now()
        broken = incident(started_at=now - timedelta(minutes=4))
        with registry.writing() as connection:
            room.on_change(connection, [change("opened", broken, at=now)])
        assert room.senders[0].step()
        wait_until(lambda: len(alerts(port)) == 1)
        shown = alerts(port)[0]
        assert shown["labels"] == {
            "alertname": "line_down", "job": "xiaotong", "incident": "42", "severity": "critical",
            "subject": "line/wan", "school": "s1",
        }  # fmt: skip
        assert shown["annotations"]["summary"] == "【紧急】第一小学：线路中断（线路 wan 电信）"
        assert shown["generatorURL"] == "https://x.example/incidents/42"
        over = incident(state="resolved", started_at=broken.started_at, resolved_at=now)
        with registry.writing() as connection:
            room.on_change(connection, [change("resolved", over, at=now)])
        assert room.senders[0].step()
        wait_until(lambda: not alerts(port))
    registry.close()


@pytest.mark.needs("prometheus-alertmanager")
def test_an_open_incident_is_told_again_before_its_alert_ends(tmp_path: Path) -> None:
    """Alertmanager lost everything: what is open is there again after the next repeat."""
    registry = opened_registry(tmp_path)
    IncidentBook(registry).begin([incident(0, state="open", number=0)])
    with alertmanager(tmp_path) as port:
        room = opened_room(registry, tmp_path, f"http://127.0.0.1:{port}", "0.5s")
        room.start()
        try:
            wait_until(lambda: len(alerts(port)) == 1)
            first = alerts(port)[0]
            wait_until(lambda: alerts(port)[0]["endsAt"] > first["endsAt"])
        finally:
            room.stop()
        wait_until(lambda: not alerts(port))
    registry.close()


def test_what_alertmanager_refuses_is_told(tmp_path: Path) -> None:
    registry = opened_registry(tmp_path)
    for status, failure in ((400, Failure.CONTENT), (500, Failure.UNREACHABLE)):
        with serving(Recorder(status)) as url:
            room = opened_room(registry, tmp_path, url)
            letter = room._again(room.channels["am"], "alerts", incident(), _now())
            with pytest.raises(NotDelivered) as caught:
                room.channels["am"].send(letter)
        assert caught.value.failure is failure
    registry.close()


def _now() -> datetime:
    return datetime.fromtimestamp(SystemClock().wall_ns() / 1e9, UTC)
