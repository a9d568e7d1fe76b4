"""The buckets of an InfluxDB: who may make them, how long they keep, and whose they are."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from collector.batch import Series, batch_of
from collector.main import main
from collector.settings import InfluxSettings
from collector.store.influxdb.buckets import Buckets, make_buckets
from collector.store.influxdb.connection import Connection
from collector.store.influxdb.secret import Secret
from collector.store.influxdb.store import InfluxStore
from collector.store.upkeep import Retention
from tests.collector.store.engines import DAY, KEPT, START
from tests.collector.store.influxd import influxd, proxy

ROOT = Secret("root:secret")
AGENT = Series("agent", {"school": "s1", "agent": "a1"})
POINT = batch_of("s1", "a1", 0, [AGENT], [(0, START, {"spool_bytes": 1})])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server that asks for users."""
    with influxd(tmp_path_factory.mktemp("influxd"), auth=True) as target, proxy(target) as before:
        found = f"http://127.0.0.1:{before.port}"
        with contextlib.closing(Connection(InfluxSettings(found), ROOT)) as admin:
            admin.query("", "CREATE USER root WITH PASSWORD 'secret' WITH ALL PRIVILEGES")
        yield found


@pytest.mark.needs("influxd")
def test_retention_follows_the_settings_and_a_database_of_another_is_left_alone(
    tmp_path: Path, url: str
) -> None:
    def opened(days: int) -> InfluxStore:
        kept = Retention(days * DAY, 90 * DAY, 400 * DAY, 3650 * DAY)
        settings = InfluxSettings(url, bucket="retention")
        return InfluxStore(settings, ROOT, tmp_path / "windows.db", retention=kept)

    def kept_by(store: InfluxStore, bucket: str) -> list[list[str]]:
        (table,) = store.connection.query("", f'SHOW RETENTION POLICIES ON "{bucket}"')
        return [row[:2] for row in table.rows]

    with contextlib.closing(opened(7)) as store:
        store.connection.query("", 'CREATE DATABASE "retention_others"')
        store.write([POINT])
        assert kept_by(store, "retention") == [["kept", "168h0m0s"]]
    for days, told in ((30, "720h0m0s"), (7, "168h0m0s")):
        with contextlib.closing(opened(days)) as store:
            store.write([POINT])
            assert kept_by(store, "retention") == [["kept", told]]
            assert kept_by(store, "retention_others") == [["autogen", "0s"]]


class SecondVersion(BaseHTTPRequestHandler):
    """The part of InfluxDB 2's API that makes buckets. Source: its OpenAPI document, «/buckets»."""

    buckets: dict[str, dict[str, Any]]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        wanted = parse_qs(url.query).get("name", [""])[0]
        found = [each for each in self.buckets.values() if each["name"] == wanted]
        orgs = [{"id": "org1", "name": "xiaotong"}]
        self._answer(200, {"orgs": orgs} if url.path == "/api/v2/orgs" else {"buckets": found})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (self.path, asked["orgID"]) == ("/api/v2/buckets", "org1")
        self.buckets[asked["name"]] = asked | {"id": asked["name"]}
        self._answer(201, asked | {"id": asked["name"]})

    def do_PATCH(self) -> None:
        name = self.path.removeprefix("/api/v2/buckets/")
        self.buckets[name] |= json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, self.buckets[name])

    def _answer(self, status: int, told: object) -> None:
        self.send_response(status)
        self.send_header("X-Influxdb-Version", "v2.7.11")
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *_: Any) -> None:
        pass


def test_buckets_of_the_second_version_are_made_once_and_keep_what_the_settings_say() -> None:
    """What its API document says; no InfluxDB 2 runs here."""
    theirs = {"id": "c_1h", "name": "c_1h", "orgID": "org1", "retentionRules": []}
    buckets: dict[str, dict[str, Any]] = {"c_1h": theirs}
    handler = type("Handler", (SecondVersion,), {"buckets": buckets})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        other = Connection(InfluxSettings(f"http://127.0.0.1:{server.server_address[1]}"), Secret("t"))
        try:
            for days in (7, 7, 30):
                kept = Retention(days * DAY, 90 * DAY, 400 * DAY, 3650 * DAY)
                make_buckets(other, Buckets("c", kept), "xiaotong")
                rules = {name: each["retentionRules"] for name, each in buckets.items()}
                assert {name: rule[0]["everySeconds"] for name, rule in rules.items() if rule} == {
                    "c": days * DAY, "c_others": days * DAY, "c_5m": 90 * DAY, "c_1d": 3650 * DAY,
                }  # fmt: skip
        finally:
            other.close()
            server.shutdown()


@pytest.mark.needs("influxd")
def test_a_user_who_may_write_and_no_more_is_enough_where_the_databases_are(
    tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Wrong passwords, missing databases and rights are told apart."""
    token, config = tmp_path / "token", tmp_path / "collector.yaml"
    config.write_text(
        f"data_directory: {tmp_path}\n"
        f"store: {{engine: influxdb, raw: 8d, influxdb: {{url: '{url}', token_file: {token}}}}}\n"
    )

    def checked(user: str) -> str:
        token.write_text(user)
        token.chmod(0o600)
        words = ["store", "check", "--config", str(config)]
        return CliRunner().invoke(main, words, env={"LANG": "en"}).output

    with contextlib.closing(Connection(InfluxSettings(url), ROOT)) as admin:
        admin.query("", "CREATE USER writer WITH PASSWORD 'canary'")
        assert "the token is not accepted" in checked("writer:wrong")
        assert "the token is not accepted, or may not write" in checked("writer:canary")
        buckets = Buckets("xiaotong", KEPT)
        make_buckets(admin, buckets, "")
        for bucket in buckets.kept_seconds:
            admin.query("", f'GRANT ALL ON "{bucket}" TO writer')
    said = checked("writer:canary")
    assert [line[0] for line in said.splitlines()] == ["✓"] * 4, said
    assert "bucket keeps its retention bucket=xiaotong wanted_seconds=691200" in caplog.text
    assert "canary" not in said + caplog.text
