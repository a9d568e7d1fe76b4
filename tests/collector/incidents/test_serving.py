"""Incidents of a running collector: pages, API, commands, and who may do what."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from collector.commands.incidents import command as incidents_command
from collector.commands.silence import command as silence_command
from tests.collector.running import Running, running, settings_in, wait_until

MAC = "02:00:00:00:00:66"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("incidents")
    settings = settings_in(folder, incidents={"every": 0.2, "settle": 0.0})
    with running(settings) as started:
        yield started


@pytest.fixture(scope="module")
def rogue(collector: Running) -> dict[str, Any]:
    """A stranger advertises at s1: the incident, and how long it took from the point to be open."""
    began = time.monotonic()
    line = f'router_advertisement,interface=br0,mac={MAC} expected=false,router="fe80::66",prefix="{SCRIPT}"'
    assert collector.write(f"{line} {time.time_ns()}").status == 204
    wait_until(lambda: bool(listed(collector)))
    (found,) = listed(collector)
    return found | {"took_seconds": time.monotonic() - began}


def listed(collector: Running, query: str = "?open=true") -> list[dict[str, Any]]:
    answer = collector.request("GET", f"/api/v1/incidents{query}", agent=None)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["incidents"]
    return [each for each in found if each["state"] != "pending"]


def post(collector: Running, path: str, body: object, **headers: str) -> Any:
    kind = {"Content-Type": "application/json", **headers}
    return collector.request("POST", path, json.dumps(body), agent=None, headers=kind)


def form(collector: Running, number: int, **fields: str) -> Any:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return collector.request("POST", f"/incidents/{number}", urlencode(fields), agent=None, headers=kind)


def test_a_rogue_router_is_an_incident_within_fifteen_seconds(rogue: dict[str, Any]) -> None:
    assert rogue["took_seconds"] < 15
    assert (rogue["kind"], rogue["school_id"], rogue["subject"]) == ("rogue_router", "s1", f"router/{MAC}")
    assert rogue["facts"]["values"]["mac"] == MAC


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.fault(17)
def test_pages_tell_it_and_escape_what_agents_say(
    collector: Running, rogue: dict[str, Any], language: str
) -> None:
    for path in ("/incidents", f"/incidents/{rogue['id']}"):
        answer = collector.request("GET", f"{path}?lang={language}", agent=None)
        assert answer.status == 200
        assert MAC in answer.body.decode()
        assert SCRIPT not in answer.body.decode()
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    words = {"en": "rogue router", "zh-CN": "路由器"}[language]
    assert words in answer.body.decode()


def test_it_is_taken_once_noted_and_keeps_the_carrier_s_ticket(
    collector: Running, rogue: dict[str, Any]
) -> None:
    number = rogue["id"]
    one = f"/api/v1/incidents/{number}"
    taken = post(collector, f"{one}/acknowledge", {})
    assert (taken.status, taken.json["state"]) == (200, "acknowledged")
    assert post(collector, f"{one}/acknowledge", {}).status == 409
    assert form(collector, number, action="acknowledge").status == 409
    assert form(collector, number, action="ticket", text="GD-7").status == 303
    assert post(collector, f"{one}/note", {"text": SCRIPT}).status == 200
    shown = collector.request("GET", one, agent=None).json
    assert (shown["incident"]["carrier_ticket"], shown["incident"]["note"]) == ("GD-7", SCRIPT)
    assert [each["what"] for each in shown["steps"]] == ["opened", "acknowledged", "noted", "noted"]
    assert SCRIPT not in collector.request("GET", f"/incidents/{number}", agent=None).body.decode()


@pytest.mark.parametrize(
    ("asked", "body", "status"),
    [
        ("GET /api/v1/incidents/999", None, 404),
        ("GET /incidents/999", None, 404),
        ("POST /api/v1/incidents/999/acknowledge", {}, 404),
        ("POST /api/v1/incidents/1/note", {"texts": "x"}, 400),
        ("GET /api/v1/incidents?before=x", None, 400),
        ("POST /api/v1/silences", {"why": "x"}, 400),
        ("POST /api/v1/silences", {"why": "x", "weekly": "SUN"}, 400),
        ("POST /api/v1/silences", {"why": "x", "weekly": "SU 22:00-06:00", "school": "s9"}, 404),
        ("POST /api/v1/silences", {"why": "x", "weekly": "SU 22:00-06:00", "line": "l1"}, 400),
        ("POST /api/v1/silences", {"why": "x", "ends_at": "2020-01-01T00:00:00Z"}, 400),
        ("POST /api/v1/silences", {"why": "x", "ends_at": "2090-01-01T00:00:00"}, 400),
        ("POST /api/v1/silences", {"why": "x", "kind": "moon", "weekly": "SU 22:00-06:00"}, 400),
        ("DELETE /api/v1/silences/77", None, 404),
    ],
)
def test_what_cannot_be_done_is_refused(
    collector: Running, rogue: dict[str, Any], asked: str, body: object, status: int
) -> None:
    assert rogue["id"]
    method, path = asked.split()
    text = b"" if body is None else json.dumps(body)
    answer = collector.request(method, path, text, agent=None, headers={"Content-Type": "application/json"})
    assert answer.status == status, answer.body


def test_another_site_s_page_takes_nothing(collector: Running, rogue: dict[str, Any]) -> None:
    answer = post(
        collector, f"/api/v1/incidents/{rogue['id']}/note", {"text": "x"}, **{"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status == 403


def test_a_silence_by_the_api_is_listed_and_ended(collector: Running) -> None:
    made = post(collector, "/api/v1/silences", {"why": "router", "school": "s2", "weekly": "SU 22:00-06:00"})
    assert (made.status, made.json["weekly"]) == (201, "SU 22:00-06:00")
    number = made.json["id"]
    kept = collector.request("GET", "/api/v1/silences", agent=None).json["silences"]
    assert [each["id"] for each in kept] == [number]
    assert collector.request("DELETE", f"/api/v1/silences/{number}", agent=None).status == 200
    assert collector.request("GET", "/api/v1/silences", agent=None).json["silences"] == []


def test_the_commands_do_the_same(collector: Running, rogue: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "collector.yaml"
    config.write_text(f"data_directory: {collector.rooms.settings.data_directory}\n")
    number = str(rogue["id"])

    def run(command: Any, *words: str) -> tuple[int, str]:
        done = CliRunner(env={"LANG": "en", "COLUMNS": "200"}).invoke(
            command, [*words, "--config", str(config)]
        )
        return done.exit_code, done.output

    status, text = run(incidents_command, "--json", "--open")
    assert status == 1
    assert [each["id"] for each in json.loads(text)["incidents"] if each["state"] != "pending"] == [
        rogue["id"]
    ]
    assert run(incidents_command, "--school", "s2")[0] == 0
    assert run(incidents_command, "--school", "s9")[0] == 2
    assert run(incidents_command, "note", number, "seen") == (0, f"incident {number}: noted\n")
    assert run(incidents_command, "ticket", number, "GD-8") == (0, f"incident {number}: ticket kept\n")
    assert run(incidents_command, "ack", "999")[0] == 2
    status, text = run(incidents_command, "show", number)
    assert status == 0
    assert MAC in text
    assert "GD-8" in text
    assert run(silence_command, "add", "--weekly", "SU 22:00-06:00", "--why", "x") == (0, "silence 2: kept\n")
    assert "SU 22:00-06:00" in run(silence_command, "list")[1].replace("\n", "")
    assert run(silence_command, "end", "2") == (0, "silence 2: ended\n")
    assert run(silence_command, "end", "2")[0] == 2
    assert run(silence_command, "add", "--why", "x")[0] == 2
    assert run(silence_command, "add", "--line", "l1", "--weekly", "SU 22:00-06:00", "--why", "x")[0] == 2
