"""Incidents of a running collector: pages, API, commands, and who may do what."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from collector.access import audit
from collector.commands.incidents import command as incidents_command
from collector.commands.silence import command as silence_command
from collector.incidents.baselines import Place
from collector.incidents.model import Facts, Incident, Quantity
from collector.messages.outbox import Entry
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
    return posted(collector, f"/incidents/{number}", **fields)


def posted(collector: Running, path: str, **fields: str) -> Any:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return collector.request("POST", path, urlencode(fields), agent=None, headers=kind)


def shown(collector: Running, path: str) -> str:
    answer = collector.request("GET", path, agent=None)
    assert answer.status == 200, answer.body
    return answer.body.decode()


def logged(collector: Running) -> list[tuple[str, str]]:
    """What the audit log says, the newest first."""
    with collector.rooms.registry.reading() as connection:
        return [(each.action, each.subject) for each in audit.entries(connection)]


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


def test_a_silence_by_the_page_is_local_logged_and_ended(collector: Running) -> None:
    wish = {
        "action": "add",
        "why": SCRIPT,
        "school": "s2",
        "ends_at": "2090-01-31T22:00",
        "kind": "line_down",
    }
    refused = posted(collector, "/silences", **{**wish, "ends_at": "tomorrow"})
    assert refused.status == 400
    assert b"ends_at: allowed is like" in refused.body
    assert posted(collector, "/silences", **{**wish, "school": "s9"}).status == 404
    assert posted(collector, "/silences", action="add", ends_at="2090-01-31T22:00").status == 400
    assert posted(collector, "/silences", action="x").status == 400
    assert posted(collector, "/silences", **wish).status == 303
    page = shown(collector, "/silences?lang=en")
    assert "2090-01-31 22:00" in page
    assert SCRIPT not in page
    (kept,) = collector.request("GET", "/api/v1/silences", agent=None).json["silences"]
    assert (kept["ends_at"], kept["kind"]) == ("2090-01-31T22:00:00+08:00", "line_down")
    number = str(kept["id"])
    assert posted(collector, "/silences", action="end", number="77").status == 404
    assert posted(collector, "/silences", action="end", number=number).status == 303
    assert "没有静默" in shown(collector, "/silences?lang=zh-CN")
    assert logged(collector)[:2] == [("silence.end", number), ("silence.add", number)]


def test_only_what_is_compared_is_accepted(collector: Running, rogue: dict[str, Any]) -> None:
    number = rogue["id"]
    assert form(collector, number, action="accept").status == 409
    refused = post(collector, f"/api/v1/incidents/{number}/accept", {})
    assert refused.status == 409
    assert "rogue_router has no normal" in refused.json["detail"]
    assert 'value="accept"' not in shown(collector, f"/incidents/{number}")


def test_a_slower_port_is_accepted_by_its_page(collector: Running) -> None:
    book, at = collector.rooms.incidents.book, datetime.now(UTC)
    facts = Facts(Quantity(100_000_000, "bit/s"), Quantity(1_000_000_000, "bit/s"))
    (one,) = book.begin(
        [Incident(0, "port_slower", "s2", "port/wan0", "warning", "open", at, at, facts=facts)]
    )
    assert 'value="accept"' in shown(collector, f"/incidents/{one.id}")
    assert form(collector, one.id, action="accept").status == 303
    assert logged(collector)[0] == ("incident.accept", str(one.id))
    assert book.baselines()[Place("s2", "port/wan0")] == 100_000_000
    assert "新的正常值" in shown(collector, f"/incidents/{one.id}?lang=zh-CN")


@pytest.mark.parametrize(("language", "title"), [("zh-CN", "网络报障单"), ("en", "Fault report")])
def test_the_fault_report_is_a_file_of_the_page(
    collector: Running, rogue: dict[str, Any], language: str, title: str
) -> None:
    path = f"/incidents/{rogue['id']}/fault-report"
    assert f"{path}.pdf" in shown(collector, f"/incidents/{rogue['id']}")
    answer = collector.request("GET", f"{path}.txt?lang={language}&contact=Wang+123", agent=None)
    text = answer.body.decode()
    assert answer.status == 200
    assert text.startswith(title)
    assert "Wang 123" in text
    assert SCRIPT not in text, "notes are among ourselves"
    assert "attachment" in answer.headers["content-disposition"]
    made = collector.request("GET", f"{path}.pdf?lang={language}", agent=None)
    assert (made.status, made.body[:5]) == (200, b"%PDF-")
    assert collector.request("GET", "/incidents/999/fault-report.pdf", agent=None).status == 404


def test_what_reached_nobody_stands_on_the_page(collector: Running) -> None:
    assert "given up" not in shown(collector, "/incidents?lang=en")
    room, now = collector.rooms.messages, datetime.now(UTC)
    room.outbox.put([Entry("k", "gone", "duty", "critical", "{}", now - timedelta(days=9))], now)
    room.outbox.give_up_old(now)
    assert "given up: 1." in shown(collector, "/incidents?lang=en")


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
    listed_now = json.loads(text)["incidents"]
    assert [each["id"] for each in listed_now if each["kind"] == "rogue_router"] == [rogue["id"]]
    assert run(incidents_command, "--school", "s2")[0] == 1
    assert run(incidents_command, "--school", "s9")[0] == 2
    assert run(incidents_command, "note", number, "seen") == (0, f"incident {number}: noted\n")
    assert run(incidents_command, "ticket", number, "GD-8") == (0, f"incident {number}: ticket kept\n")
    assert run(incidents_command, "ack", "999")[0] == 2
    assert "has no normal" in run(incidents_command, "accept", number)[1]
    assert run(incidents_command, "accept", "999")[0] == 2
    status, text = run(incidents_command, "show", number)
    assert status == 0
    assert MAC in text
    assert "GD-8" in text
    assert run(silence_command, "add", "--weekly", "SU 22:00-06:00", "--why", "x") == (0, "silence 3: kept\n")
    assert "SU 22:00-06:00" in run(silence_command, "list")[1].replace("\n", "")
    assert run(silence_command, "end", "3") == (0, "silence 3: ended\n")
    assert run(silence_command, "end", "3")[0] == 2
    assert run(silence_command, "add", "--why", "x")[0] == 2
    assert run(silence_command, "add", "--line", "l1", "--weekly", "SU 22:00-06:00", "--why", "x")[0] == 2
