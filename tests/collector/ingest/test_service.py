"""Ingest over a real port: what it takes, what it refuses and how, what it survives."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import os
import random
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions
from influxdb_client.rest import ApiException

from collector.ingest import service
from collector.ingest.set_aside import Reason
from tests.collector.running import WRITE, Running, connect, running, settings_in, wait_until
from tests.line_protocol_cases import REFUSED


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = settings_in(
        tmp_path_factory.mktemp("collector"),
        ingest={"max_series_per_agent": 50, "max_decoded_bytes": 1_000_000, "max_body_bytes": 500_000},
    )
    with running(settings) as started:
        others = started.rooms.registry
        started.tokens["revoked"] = others.add_agent("s2", "gone")
        others.revoke("gone")
        started.tokens["nobody"] = "x" * 40
        started.tokens["empty"] = ""
        yield started


def line(time_ns: int, sent: int = 1, target: str = "gateway") -> str:
    return f"ping,target={target},family=ipv4 sent={sent}i {time_ns}"


@pytest.fixture
def now() -> int:
    return time.time_ns()


def test_a_batch_is_stored_under_the_credentials_school(collector: Running, now: int) -> None:
    assert collector.write(line(now, 42)).status == 204
    assert collector.stored()[now] == {"sent": 42}


@pytest.mark.parametrize(
    ("path", "time_of"),
    [
        ("/api/v2/write?org=xiaotong&bucket=raw&precision=s", lambda ns: ns // 10**9),
        ("/api/v2/write?org=xiaotong&bucket=raw&precision=ms", lambda ns: ns // 10**6),
        ("/api/v2/write?org=xiaotong&bucket=raw&precision=us", lambda ns: ns // 10**3),
        ("/api/v2/write?org=xiaotong&bucket=raw", lambda ns: ns),
        ("/write?db=raw&precision=s", lambda ns: ns // 10**9),
        ("/write?db=raw/autogen", lambda ns: ns),
    ],
)
def test_every_precision(collector: Running, now: int, path: str, time_of: object) -> None:
    assert callable(time_of)
    at = now // 10**9 * 10**9 - random.randrange(10**4) * 10**9
    assert collector.write(line(time_of(at), 7), path=path).status == 204
    assert collector.stored()[at] == {"sent": 7}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v2/write?org=other&bucket=raw", 404, "not found"),
        ("/api/v2/write?bucket=raw", 404, "not found"),
        ("/api/v2/write?org=xiaotong&bucket=nothing", 404, "not found"),
        ("/api/v2/write?org=xiaotong&bucket=others", 403, "forbidden"),
        ("/api/v2/write?org=xiaotong&bucket=raw&precision=h", 400, "invalid"),
        ("/write?db=nothing", 404, "not found"),
    ],
)
def test_refusals_are_influxdbs_json(collector: Running, path: str, status: int, code: str) -> None:
    answered = collector.write("m f=1", path=path)
    assert (answered.status, answered.json["code"]) == (status, code)
    assert answered.json["message"]


def test_the_token_may_stand_wherever_clients_of_influxdb_put_it(collector: Running, now: int) -> None:
    token = collector.tokens["a1"]
    basic = base64.b64encode(f"any:{token}".encode()).decode()
    for header in (f"Token {token}", f"Bearer {token}", f"token any:{token}", f"Basic {basic}"):
        headers = {"Authorization": header}
        assert collector.write(line(now), agent=None, headers=headers).status == 204
    assert collector.write(line(now), path=f"/write?db=raw&u=any&p={token}", agent=None).status == 204
    assert collector.write(line(now), path=f"{WRITE}&p={token}", agent=None).status == 401


@pytest.mark.fault(4)
@pytest.mark.parametrize("agent", [None, "nobody", "revoked", "empty"])
@pytest.mark.parametrize("path", [WRITE, "/write?db=raw", "/api/v1/heartbeat"])
def test_no_route_takes_an_unknown_token(collector: Running, agent: str | None, path: str) -> None:
    answered = collector.write(b"x", path=path, agent=agent)
    assert (answered.status, answered.json["code"]) == (401, "unauthorized")


@pytest.mark.fault(4)
@pytest.mark.parametrize("agent", ["a1", "b1"])
def test_school_and_agent_in_a_body_count_for_nothing(collector: Running, now: int, agent: str) -> None:
    text = f"ping,school=s1,agent=a1,family=ipv6,target={agent} sent=3i {now}\n"
    text += f"ping,agent=b1,family=ipv6,school=s2,target={agent} sent=4i {now + 1}"
    assert collector.write(text, agent=agent).status == 204
    collector.settle()
    school = {"a1": "s1", "b1": "s2"}[agent]
    (tags,) = collector.rooms.store.distinct(school, "ping", {"target": agent})
    assert (tags["school"], tags["agent"]) == (school, agent)
    other = {"s1": "s2", "s2": "s1"}[school]
    assert collector.rooms.store.distinct(other, "ping", {"target": agent}) == []


@pytest.mark.fault(10)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_poison_line_is_set_aside_and_the_rest_lands(collector: Running, now: int, place: int) -> None:
    lines = [line(now + place * 10 + n, 5) for n in range(2)]
    lines.insert(place, REFUSED["underscore"][0])
    others = collector.write("\n".join(lines), agent="b1")
    assert others.status == 400
    assert others.json["code"] == "invalid"
    assert others.json["line"] == place + 1
    assert "partial write" in others.json["message"]
    assert "dropped=1" in others.json["message"]
    ours = collector.push("\n".join(lines), 1000 + place)
    assert (ours.status, ours.headers["x-xiaotong-set-aside"]) == (204, "1")
    for school in ("s1", "s2"):
        assert {now + place * 10, now + place * 10 + 1} <= collector.stored(school=school).keys()


def test_what_was_set_aside_is_counted_and_kept_for_a_person(collector: Running, now: int) -> None:
    before = collector.rooms.set_aside.counts_of("a1").get(Reason.MISFIT, 0)
    assert collector.push(f"ping,target=secret,family=ipv4 sent=1.5 {now}", 2000).status == 204
    assert collector.rooms.set_aside.counts_of("a1")[Reason.MISFIT] == before + 1
    kept = (collector.rooms.settings.data / "set_aside.jsonl").read_text().splitlines()
    told = [each for each in map(json.loads, kept) if "secret" in each["text"]]
    assert [(each["agent"], each["reason"], each["detail"]) for each in told] == [
        ("a1", "misfit", "ping: field sent is float, declared int")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "cpu usage=1",
        "ping,target=x,family=ipx sent=1i",
        "ping,target=x,colour=red sent=1i",
        "ping,target=x lots=1i",
    ],
)
def test_points_must_fit_what_is_declared(collector: Running, text: str) -> None:
    assert collector.write(text).status == 400


@pytest.mark.fault(7)
@pytest.mark.parametrize(
    ("offset_seconds", "reason"),
    [(-7 * 86400, Reason.TOO_OLD), (700, Reason.TOO_NEW), (72 * 365 * 86400, Reason.TOO_NEW), (None,
    Reason.TOO_OLD),
     (-6 * 86400 + 60, None), (500, None)],
)  # fmt: skip
def test_times_far_from_now_are_set_aside(
    collector: Running, now: int, offset_seconds: int | None, reason: Reason | None
) -> None:
    at = 1 if offset_seconds is None else now + offset_seconds * 10**9
    before = collector.rooms.set_aside.counts()
    answered = collector.push(line(at, 77), random.randrange(10**9))
    assert answered.status == 204
    after = collector.rooms.set_aside.counts()
    changed = [each for each in Reason if after.get(each, 0) != before.get(each, 0)]
    assert changed == ([reason] if reason else [])
    assert (at in collector.stored()) is (reason is None)


@pytest.mark.fault(8)
@pytest.mark.parametrize(("sent", "step_hours"), [(9001, -12), (9002, 12), (9003, 0), (9004, 0.0004)])
def test_the_agents_clock_is_corrected_by_its_monotonic_clock(
    collector: Running, now: int, sent: int, step_hours: float
) -> None:
    step_ns = round(step_hours * 3600 * 10**9)
    monotonic = 10**12
    recorded = now - 600 * 10**9
    answered = collector.push(
        line(recorded + step_ns, sent, "clock"),
        random.randrange(10**9),
        Boot_Id="boot", Wall_Ns=str(now + step_ns), Monotonic_Ns=str(monotonic),
        Recorded_Boot_Id="boot", Recorded_Wall_Ns=str(recorded + step_ns),
        Recorded_Monotonic_Ns=str(monotonic - 600 * 10**9),
    )  # fmt: skip
    assert (answered.status, answered.headers.get("x-xiaotong-set-aside")) == (204, None)
    (at,) = [
        at
        for at, fields in collector.stored().items()
        if fields == {"sent": sent} and abs(at - recorded) < 5 * 10**9
    ]
    corrected = abs(step_ns) > 2 * 10**9
    assert (at == recorded + step_ns) is not corrected


@pytest.mark.fault(8)
def test_a_batch_of_an_earlier_boot_is_corrected_by_what_its_heartbeats_told(
    collector: Running, now: int
) -> None:
    beat = {"boot_id": "first", "wall_ns": 0, "monotonic_ns": 50 * 10**9, "uptime_seconds": 5, "version": "1",
            "state": "running"}  # fmt: skip
    assert collector.request("POST", "/api/v1/heartbeat", json.dumps(beat)).json["heartbeat_seconds"] == 5
    heard = collector.rooms.liveness.of("a1")
    assert heard is not None
    assert heard.clock_offset_ns is not None
    assert heard.clock_offset_ns < -(10**18)
    recorded = now - 20 * 10**9
    answered = collector.push(
        line(10 * 10**9, 55), random.randrange(10**9),
        Boot_Id="second", Wall_Ns=str(now), Monotonic_Ns="1",
        Recorded_Boot_Id="first", Recorded_Wall_Ns=str(10 * 10**9), Recorded_Monotonic_Ns=str(30 * 10**9),
    )  # fmt: skip
    assert (answered.status, answered.headers.get("x-xiaotong-set-aside")) == (204, None)
    found = [at for at, fields in collector.stored().items() if fields == {"sent": 55}]
    assert len(found) == 1
    assert abs(found[0] - recorded) < 10 * 10**9


@pytest.mark.fault(9)
def test_a_batch_sent_again_counts_once(collector: Running, now: int) -> None:
    before = collector.rooms.ingest.counts.repeated_batches
    for _ in range(3):
        assert collector.push(line(now, 66), 3000).status == 204
    assert collector.rooms.ingest.counts.repeated_batches == before + 2
    assert collector.push(line(now + 1, 66), 3000, spool="another").status == 204
    assert {now, now + 1} <= collector.stored().keys()


@pytest.mark.parametrize("name", ["X-Xiaotong-Sequence", "X-Xiaotong-Wall-Ns"])
def test_headers_that_cannot_be_read_are_named(collector: Running, name: str) -> None:
    answered = collector.write("m f=1", headers={name: "1_0"})
    assert answered.status == 400
    assert name.lower() in answered.json["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"not gzip", 400),
        (gzip.compress(b"ping sent=1i", mtime=0)[:-6], 400),
        (gzip.compress(b"#" * 1_000_001, mtime=0), 413),
        (b"".join(gzip.compress(b"#" * 900_000, mtime=0) for _ in range(2)), 413),
        (gzip.compress(b"", mtime=0) * 2000, 413),
        (os.urandom(500_001), 413),
    ],
)
@pytest.mark.fault(1)
def test_bodies_that_cannot_be_decoded_within_bounds(collector: Running, body: bytes, status: int) -> None:
    answered = collector.write(body, headers={"Content-Encoding": "gzip"})
    assert (answered.status, set(answered.json) >= {"code", "message"}) == (status, True)


def test_an_empty_body_is_refused_as_influxdb_refuses_it_unless_it_is_our_agents(collector: Running) -> None:
    answered = collector.write(b"")
    assert (answered.status, answered.json["message"]) == (400, "writing requires points")
    assert collector.push("", random.randrange(10**9)).status == 204
    assert collector.write(b"# a comment\n").status == 204


def test_points_that_make_too_long_a_record_are_refused_not_lost(
    collector: Running, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_BODY_BYTES", 1000)
    answered = collector.write("\n".join(line(now + n) for n in range(200)))
    assert (answered.status, answered.json["code"]) == (413, "request too large")
    assert now not in collector.stored()


def test_gzip_of_several_members(collector: Running, now: int) -> None:
    body = gzip.compress(f"{line(now, 1)}\n".encode()) + gzip.compress(line(now + 1, 2).encode())
    assert collector.write(body, headers={"Content-Encoding": "gzip"}).status == 204
    assert {now, now + 1} <= collector.stored().keys()


@pytest.mark.fault(1)
def test_fifty_bombs_at_once_leave_memory_flat_and_others_served(collector: Running, now: int) -> None:
    bomb = gzip.compress(b"#" * 400_000_000, 1)[:490_000]
    resident = psutil.Process().memory_info().rss
    greatest = [resident]
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(collector.write(bomb, headers={"Content-Encoding": "gzip"}).status)
        )
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        greatest.append(psutil.Process().memory_info().rss)
        time.sleep(0.01)
    assert set(answers) <= {413, 429}
    assert 413 in answers
    assert max(greatest) - resident < 120 * 2**20
    assert collector.write(line(now), agent="b1").status == 204


def test_too_many_requests_of_one_agent_get_429_and_are_told_when_to_try_again(
    collector: Running, now: int
) -> None:
    head = f"POST {WRITE} HTTP/1.1\r\nHost: x\r\nAuthorization: Token {collector.tokens['a1']}\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(collector.rooms.settings.ingest.max_requests_per_agent):
            stack.enter_context(connect(collector.port)).sendall(f"{head}Content-Length: 9\r\n\r\n".encode())
        wait_until(lambda: collector.write(line(now)).status == 429)
        refused = collector.write(line(now))
        assert (refused.json["code"], refused.headers["retry-after"]) == ("too many requests", "5")
        assert collector.write(line(now), agent="b1").status == 204
    wait_until(lambda: collector.write(line(now)).status == 204)


@pytest.mark.fault(1)
def test_bombs_of_short_lines_leave_memory_flat(tmp_path: Path, now: int) -> None:
    """A line that is refused takes hundreds of bytes, however short it is: lines are bounded as bytes are."""
    with running(settings_in(tmp_path)) as collector:
        most = collector.rooms.settings.ingest.max_lines
        open_strings = (b'm f="\n' + b'\\"\n' * 22_000) * 3  # each could end far behind
        bodies = [(413, b"x\n" * 8_000_000), (400, b"x\n" * most), (400, open_strings)]
        resident = psutil.Process().memory_info().rss
        for status, body in bodies:
            with ThreadPoolExecutor(2) as pool:
                sent = [
                    pool.submit(collector.write, gzip.compress(body), headers={"Content-Encoding": "gzip"})
                    for _ in range(2)
                ]
            assert {each.result().status for each in sent} == {status}
            assert psutil.Process().memory_info().rss - resident < 200 * 2**20
        assert collector.rooms.set_aside.counts() == {Reason.SYNTAX: 2 * (most + 3 * 22_001)}
        assert (tmp_path / "set_aside.jsonl").stat().st_size < 4 * 2**20
        assert collector.write(line(now)).status == 204


@pytest.mark.fault(6)
def test_a_head_of_any_length_is_not_remembered(collector: Running, now: int) -> None:
    answered = collector.write(f"{line(now, 3, 'x' * 2100)}\n{line(now, 3)}")
    assert (answered.status, answered.json["line"]) == (400, 1)
    assert "longer than 2048 characters" in answered.json["message"]
    assert collector.stored()[now] == {"sent": 3}


@pytest.mark.fault(6)
def test_an_explosion_of_series_is_capped_and_the_others_are_unaffected(tmp_path: Path, now: int) -> None:
    with running(settings_in(tmp_path, ingest={"max_series_per_agent": 20})) as collector:
        text = "\n".join(line(now, n, f"t{n}") for n in range(20_000))
        assert collector.push(text, 1).headers["x-xiaotong-set-aside"] == str(20_000 - 20)
        assert collector.push(line(now + 1, 1, "t3") + "\n" + line(now, 1, "new"), 2).headers[
            "x-xiaotong-set-aside"
        ] == "1"  # fmt: skip
        assert collector.write(line(now, 1, "mine"), agent="b1").status == 204
        collector.settle()
        assert len(collector.rooms.store.distinct("s1", "ping")) == 20
        assert len(collector.rooms.store.distinct("s2", "ping")) == 1
        assert collector.rooms.set_aside.counts() == {Reason.SERIES_CAP: 20_000 - 20 + 1}
        assert (tmp_path / "set_aside.jsonl").stat().st_size < 4 * 2**20


@pytest.mark.fault(2)
def test_slow_clients_are_cut_off_and_a_normal_agent_is_served(tmp_path: Path, now: int) -> None:
    settings = settings_in(
        tmp_path,
        listen={"header_deadline": 1.0, "max_connections": 400, "max_connections_per_address": 150},
        ingest={"body_deadline": 1.0},
    )
    with running(settings) as collector, contextlib.ExitStack() as stack:
        head = f"POST {WRITE} HTTP/1.1\r\nHost: x\r\nAuthorization: Token {collector.tokens['b1']}\r\n"
        begun = (head.encode(), f"{head}Content-Length: 1000\r\n\r\nping".encode())
        slow = [stack.enter_context(connect(collector.port, f"127.0.0.{2 + n % 2}")) for n in range(200)]
        for n, connection in enumerate(slow):
            connection.sendall(begun[n % 2])
        for n in range(20):
            assert collector.write(line(now + n, n)).status == 204
        for connection in slow:
            connection.settimeout(10)
            wait_until(lambda one=connection: _is_closed(one))  # type: ignore[misc]
        assert len(collector.stored()) == 20


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


@pytest.mark.fault(2)
def test_one_address_cannot_take_every_connection(tmp_path: Path, now: int) -> None:
    with running(settings_in(tmp_path, listen={"max_connections_per_address": 5})) as collector:
        with contextlib.ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(connect(collector.port, "127.0.0.2")).sendall(b"P")
            with connect(collector.port, "127.0.0.2") as sixth:
                assert b" 503 " in sixth.recv(4096).splitlines()[0]
            assert collector.write(line(now)).status == 204
        wait_until(lambda: collector.write(line(now), source="127.0.0.2").status == 204)


@pytest.mark.needs_root
@pytest.mark.fault(12)
def test_a_full_disk_gives_503_and_acknowledges_nothing(tmp_path: Path, now: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        with running(settings_in(disk, journal={"reserve_bytes": 2**20})) as collector:
            (disk / "filler").write_bytes(b"x" * (os.statvfs(disk).f_bavail * 4096 - 2 * 2**20))
            acknowledged, status, n = set[int](), 204, 0
            while status == 204 and n < 1000:
                rows = [now + n * 100 + place for place in range(100)]
                answered = collector.push("\n".join(line(at, n) for at in rows), n)
                status, n = answered.status, n + 1
                if status == 204:
                    acknowledged |= set(rows)
            assert status == 503
            assert int(answered.headers["retry-after"]) >= 1
            (disk / "filler").unlink()
            wait_until(lambda: collector.push(line(now - 1), n).status == 204)
            assert acknowledged | {now - 1} <= collector.stored().keys()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def status_before_the_body(collector: Running, headers: dict[str, str]) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", collector.port, timeout=5)) as link:
        link.putrequest("POST", WRITE)
        link.putheader("Authorization", f"Token {collector.tokens['a1']}")
        link.putheader("Content-Length", "100")
        for name, value in headers.items():
            link.putheader(f"X-Xiaotong-{name.replace('_', '-')}", value)
        link.endheaders()
        return link.getresponse().status


def test_while_the_store_is_behind_what_is_old_waits_and_what_is_new_does_not(
    tmp_path: Path, now: int
) -> None:
    boot = {"Boot_Id": "boot", "Wall_Ns": str(now), "Monotonic_Ns": str(10**13)}
    recorded = {"Recorded_Boot_Id": "boot", "Recorded_Wall_Ns": str(now - 3600 * 10**9)}
    old = {**boot, **recorded, "Recorded_Monotonic_Ns": str(10**13 - 3600 * 10**9)}
    with running(settings_in(tmp_path, ingest={"backlog_bytes": 1})) as collector:
        with contextlib.closing(sqlite3.connect(tmp_path / "points.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert collector.push(line(now), 2).status == 204
            refused = collector.push(line(now - 3600 * 10**9), 1, **old)
            assert (refused.status, refused.headers["retry-after"]) == (503, "5")
            assert status_before_the_body(collector, {"Sequence": "1", **old}) == 503
            assert collector.push(line(now + 1), 3, **boot).status == 204
        wait_until(lambda: collector.push(line(now - 3600 * 10**9), 1, **old).status == 204)
        assert collector.stored().keys() == {now, now + 1, now - 3600 * 10**9}
        assert collector.rooms.ingest.counts.put_off >= 1


def test_points_acknowledged_before_a_restart_are_read_after_it(tmp_path: Path, now: int) -> None:
    settings = settings_in(tmp_path)
    with running(settings) as collector:
        assert all(collector.push(line(now + n, n), n).status == 204 for n in range(50))
        tokens = collector.tokens
    with running(settings) as collector:
        collector.tokens = tokens
        assert collector.push(line(now, 0), 0).status == 204
        assert collector.rooms.ingest.counts.repeated_batches == 1
        assert collector.stored().keys() == {now + n for n in range(50)}


def test_ping_and_health(collector: Running) -> None:
    assert collector.request("GET", "/ping", agent=None).status == 204
    assert collector.request("HEAD", "/ping", agent=None).status == 204
    assert collector.request("GET", "/health", agent=None).json["status"] == "pass"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"boot_id": 5}', b"x" * 10_000])
def test_a_heartbeat_that_cannot_be_read(collector: Running, body: bytes) -> None:
    assert collector.request("POST", "/api/v1/heartbeat", body).status == 400


@pytest.mark.parametrize("gzipped", [False, True])
def test_the_unmodified_python_client_of_influxdb(collector: Running, now: int, gzipped: bool) -> None:
    at = now + gzipped
    client = InfluxDBClient(
        f"http://127.0.0.1:{collector.port}", collector.tokens["a1"], org="xiaotong", enable_gzip=gzipped
    )
    with client, client.write_api(write_options=SYNCHRONOUS) as writer:
        point = Point("ping").tag("target", "a b,c=d").tag("family", "ipv4").field("sent", 8)  # type: ignore[no-untyped-call]
        writer.write("raw", record=point.time(at))
        with pytest.raises((InfluxDBError, ApiException), match="partial write"):
            writer.write("raw", record="ping,family=ipv4 sent=1")
        assert client.ping()
    assert collector.stored()[at] == {"sent": 8}
    assert collector.rooms.store.distinct("s1", "ping", {"target": "a b,c=d"})


def test_the_python_client_in_its_batching_mode_tells_what_was_refused(collector: Running, now: int) -> None:
    refused: list[str] = []
    client = InfluxDBClient(f"http://127.0.0.1:{collector.port}", collector.tokens["a1"], org="xiaotong")
    options = WriteOptions(batch_size=100, flush_interval=200)

    def told(_place: object, _data: object, error: object) -> None:
        refused.append(str(error))

    with client, client.write_api(options, error_callback=told) as writer:
        for n in range(250):
            writer.write("raw", record=line(now + n, n, "batching"))
        writer.write("raw", record="ping sent=nan")
    assert len(refused) == 1
    assert "'nan' is not a value" in refused[0]
    assert {now + n for n in range(250)} <= collector.stored().keys()


@pytest.mark.needs("curl")
def test_curl(collector: Running, now: int) -> None:
    command = ["curl", "--silent", "--show-error", "--fail", "--config", "-", "--data-binary", line(now, 9)]
    private = f'header = "Authorization: Token {collector.tokens["a1"]}"\n'
    url = f"http://127.0.0.1:{collector.port}{WRITE}"
    subprocess.run([*command, url], input=private, text=True, check=True)
    assert collector.stored()[now] == {"sent": 9}
