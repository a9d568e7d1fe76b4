"""The JSON API of a real collector on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from config.measurements import schema
from config.school import Line, School
from tests.collector.running import Answered, Running, running, settings_in, wait_until

MBIT = 1_000_000


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = settings_in(tmp_path_factory.mktemp("api"), verdicts={"plans": ("shandan",)})
    with running(settings) as started:
        lines = (Line(id="wan"),)
        started.rooms.registry.put_school(School("s1", name="第一小学", classes=12, lines=lines))
        now = time.time_ns()
        interface = "interface,interface=eth0,role=line,line=wan"
        peak = f"rx_peak_bits_per_second={150 * MBIT}i,peak_seconds=10,refresh_seconds=1"
        body = [
            f"{interface} {peak},rx_bytes=7i {now - 60 * 10**9}",
            f"{interface} rx_bytes=9i {now - 50 * 10**9}",
            f"probe,probe=ping success=true,duration_seconds=0.5,runs=1i,failures=0i {now}",
            f'probe,probe=ipv6 success=true,unknown="needs CAP_NET_RAW" {now}',
        ]
        assert started.write("\n".join(body)).status == 204
        started.settle()
        wait_until(lambda: bool(_verdict(started, "egress_per_class")["evidence"]))
        yield started


def get(collector: Running, path: str) -> Answered:
    return collector.request("GET", path, agent=None)


def _verdict(collector: Running, kind: str) -> dict[str, Any]:
    answer = get(collector, "/api/v1/schools/s1/verdicts?plan=shandan").json
    found: dict[str, Any] = next(each for each in answer["verdicts"] if each["kind"] == kind)
    return found


def test_the_schools(collector: Running) -> None:
    answer = get(collector, "/api/v1/schools")
    assert answer.headers["content-type"] == "application/json"
    first = {"id": "s1", "name": "第一小学", "level": "primary", "area": "rural"}
    assert answer.json["schools"][0] == first
    assert answer.json["plans"] == ["shandan"]


def test_a_school_as_declared(collector: Running) -> None:
    school = get(collector, "/api/v1/schools/s1").json
    assert (school["name"], school["classes"], school["lines"][0]["id"]) == ("第一小学", 12, "wan")


def test_verdicts_rest_on_evidence(collector: Running) -> None:
    answer = get(collector, "/api/v1/schools/s1/verdicts").json
    assert (answer["school"], answer["plan"]) == ("s1", "shandan")
    verdict = _verdict(collector, "egress_per_class")
    assert (verdict["verdict"], verdict["needed_bits_per_second"]) == ("met", 60 * MBIT)
    assert "班均出口带宽" in verdict["quote"]
    [evidence] = verdict["evidence"]
    assert (evidence["kind"], evidence["lower_bits_per_second"]) == ("passive_peak", 150 * MBIT)
    assert evidence["upper_bits_per_second"] is None
    assert 59 < evidence["age_seconds"] < 3600
    assert datetime.fromisoformat(verdict["since"]) <= datetime.now(UTC)


def test_an_unknown_says_what_would_settle_it(collector: Running) -> None:
    verdict = _verdict(collector, "two_fibre_networks")
    assert (verdict["verdict"], verdict["evidence"]) == ("unknown", [])
    assert verdict["settles"]["code"]
    assert verdict["reasons"][0]["code"]


def test_the_verdicts_show_how_probes_fared(collector: Running) -> None:
    probes = get(collector, "/api/v1/schools/s1/verdicts").json["probes"]
    found = {probe["name"]: probe for probe in probes}
    assert (found["ping"]["success"], found["ping"]["duration_seconds"]) == (True, 0.5)
    assert (found["ping"]["error"], found["ping"]["agent"]) == (None, "a1")
    assert found["ipv6"]["unknown"] == "needs CAP_NET_RAW"


def test_series_as_measured(collector: Running) -> None:
    answer = get(collector, "/api/v1/schools/s1/series?measurement=interface&fields=rx_bytes&line=wan").json
    assert answer["resolution_seconds"] is None
    [series] = answer["series"]
    assert series["tags"]["interface"] == "eth0"
    assert [point["fields"] for point in series["points"]] == [{"rx_bytes": 7}, {"rx_bytes": 9}]
    assert datetime.fromisoformat(series["points"][0]["at"]).tzinfo


def test_series_in_windows(collector: Running) -> None:
    start = (datetime.now(UTC) - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = f"/api/v1/schools/s1/series?measurement=interface&fields=rx_bytes&resolution=1d&from={start}"
    # windows of a day are made in one round of upkeep of twelve
    wait_until(lambda: bool(get(collector, path).json["series"]))
    [series] = get(collector, path).json["series"]
    counts = [window["fields"]["rx_bytes"] for window in series["points"]]
    assert sum(values["sum"] for values in counts) == 16
    assert max(values["max"] for values in counts) == 9


def test_series_of_other_tags_and_of_other_schools_are_empty(collector: Running) -> None:
    for path in ("s1/series?measurement=interface&line=other", "s2/series?measurement=interface"):
        assert get(collector, f"/api/v1/schools/{path}").json["series"] == []


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", f"measurement '' is not known; allowed: {', '.join(sorted(schema()))}"),
        ("measurement=nothing", "measurement 'nothing' is not known"),
        ("measurement=ping&fields=rtt", "'rtt' is no field of ping; allowed: sent"),
        ("measurement=probe&fields=error&resolution=5min", "'error' is no field of numbers of probe"),
        ("measurement=ping&school=s2", "'school' is no tag of ping"),
        ("measurement=ping&target=a&target=b", "each parameter may be given once"),
        ("measurement=ping&from=yesterday", "from: 'yesterday' is no time; allowed: ISO 8601"),
        ("measurement=ping&to=2026-11-22T08:00:00", "is no time; allowed: ISO 8601 with its offset"),
        ("measurement=ping&to=9999-12-31T23:59:59Z", "is no time"),
        ("measurement=ping&from=2026-11-22T08:00:00Z&to=2026-11-22T08:00:00Z", "from must be before to"),
        ("measurement=ping&resolution=5", "'5' is not a duration with its unit"),
        ("measurement=ping&resolution=0.5s", "whole seconds from 1s on"),
        ("measurement=ping&from=2020-01-01T00:00:00Z&resolution=raw", "at most 1 day"),
        ("measurement=ping&from=2020-01-01T00:00:00Z&resolution=1s", "at most 20000 windows"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(collector: Running, query: str, detail: str) -> None:
    answer = get(collector, f"/api/v1/schools/s1/series?{query}")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.json["detail"]


@pytest.mark.fault(5)
@pytest.mark.parametrize(
    "bad", ["..", "../s1", "..%2fs1", "%2e%2e%2f", "s1/../s1", "s1\0", "学校", "a" * 65, "s1 "]
)
@pytest.mark.parametrize("route", ["", "/verdicts", "/series?measurement=ping"])
def test_ids_that_could_be_paths_reach_nothing(collector: Running, bad: str, route: str) -> None:
    for encoded in (quote(bad, safe=""), quote(quote(bad, safe=""), safe="")):
        assert get(collector, f"/api/v1/schools/{encoded}{route}").status in (400, 404)


@pytest.mark.parametrize(
    "path", ["nobody", "nobody/verdicts", "nobody/series?measurement=ping", "s1/verdicts?plan=x"]
)
def test_what_is_not_known_is_404(collector: Running, path: str) -> None:
    answer = get(collector, f"/api/v1/schools/{path}")
    assert (answer.status, answer.json["status"]) == (404, 404)


def test_agents_and_when_they_were_heard(collector: Running) -> None:
    beat = '{"boot_id":"b","wall_ns":1,"monotonic_ns":1,"uptime_seconds":5,"version":"1","state":"running"}'
    assert collector.request("POST", "/api/v1/heartbeat", beat).status == 200
    agents = {agent["id"]: agent for agent in get(collector, "/api/v1/agents").json["agents"]}
    assert (agents["a1"]["school"], agents["a1"]["state"], agents["a1"]["uptime_seconds"]) == (
        "s1",
        "running",
        5,
    )
    assert 0 <= agents["a1"]["silent_seconds"] < 60
    assert (agents["b1"]["state"], agents["b1"]["silent_seconds"], agents["b1"]["heard_at"]) == (
        None,
        None,
        None,
    )


def test_the_api_only_reads(collector: Running) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert collector.request(method, "/api/v1/schools/s1", agent=None).status == 405


@pytest.mark.fault(20)
def test_no_answer_holds_a_token(collector: Running) -> None:
    for path in ("agents", "schools", "schools/s1", "schools/s1/verdicts"):
        body = get(collector, f"/api/v1/{path}").body.decode()
        assert not any(token in body for token in collector.tokens.values())
