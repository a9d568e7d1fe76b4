"""What is InfluxDB's alone: being away, its words, its token; and moving between the engines."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from collector.batch import Batch, Row, Series, batch_of
from collector.main import main
from collector.settings import InfluxSettings
from collector.store.copying import CopyingStore
from collector.store.influxdb import connection
from collector.store.influxdb.connection import Connection
from collector.store.influxdb.lines import Lines
from collector.store.influxdb.secret import Secret, read_secret
from collector.store.interface import NS, PointsRefused, Store, StoreUnavailable
from collector.store.moving import Noted, move, pieces
from config.measurements import schema
from config.points import FieldValue
from tests.collector.store.engines import DAY, KEPT, START, embedded, fold, in_influxdb
from tests.collector.store.influxd import Proxy, influxd, proxy, victoria_metrics

TAGS = {"agent": "a1", "school": "s1", "interface": "eth0"}
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with influxd(tmp_path_factory.mktemp("influxd")) as target, proxy(target) as before:
        yield before


@pytest.fixture
def answer_again(influx: Proxy) -> Iterator[Proxy]:
    yield influx
    influx.answer = None


def points(count: int, step_seconds: int = 60, school: str = "s1") -> Batch:
    rows: list[Row] = [
        (0, START + n * step_seconds * NS, {"rx_bytes": n, "duplex": "full"}) for n in range(count)
    ]
    return batch_of(school, "a1", START, [Series("interface", TAGS | {"school": school})], rows)


@pytest.fixture
def command(tmp_path: Path, influx: Proxy) -> Command:
    """``xiaotong-collector store …`` with settings that name the InfluxDB."""
    token = tmp_path / "token"
    token.write_text("canary-token\n")
    token.chmod(0o600)

    def run(*words: str, engine: str = "influxdb", bucket: str = "moved", port: int | None = None) -> Result:
        file = tmp_path / "collector.yaml"
        file.write_text(
            f"data_directory: {tmp_path}\nstore:\n  engine: {engine}\n  influxdb:\n    bucket: {bucket}\n"
            f"    url: http://127.0.0.1:{port or influx.port}\n    token_file: {token}\n"
        )
        return CliRunner().invoke(main, ["store", *words, "--config", str(file)], env={"LANG": "en_US.UTF-8"})

    return run


@pytest.mark.needs("influxd")
def test_check_says_that_all_is_well(command: Command, influx: Proxy) -> None:
    done = command("check")
    assert done.exit_code == 0, done.output
    assert [line[0] for line in done.output.splitlines()] == ["✓"] * 4
    assert "InfluxDB 1.6.7" in done.output
    assert "Token canary-token" in influx.authorizations
    assert command("check", engine="embedded").exit_code == 0


@pytest.mark.needs("influxd")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, b'{"message":"unauthorized access"}'), "the token is not accepted"),
        ((403, b'{"message":"forbidden"}'), "the token is not accepted"),
        ((404, b"no such page"), "a bucket is missing"),
        ((500, b"broken"), "nothing answers"),
    ],
)
def test_check_says_what_is_wrong(
    command: Command, answer_again: Proxy, answer: tuple[int, bytes], said: str
) -> None:
    answer_again.answer = answer
    done = command("check")
    assert done.exit_code == 1
    assert said in done.output
    assert "canary" not in done.output


def test_check_says_that_nothing_answers_and_that_a_token_file_is_open(
    tmp_path: Path, influx: Proxy, command: Command
) -> None:
    assert "nothing answers at the address" in command("check", port=1).output
    (tmp_path / "token").chmod(0o644)
    done = command("check")
    assert "allowed is 0600" in done.output
    assert done.exit_code == 1


OTHERS = batch_of(
    "s1",
    "a1",
    START,
    [Series("rack", {"agent": "a1", "school": "s1", "room": "b 2"}, other=True)],
    [
        (0, START + NS, {"door": "open", "volts": 230.0, "fans": 3, "on": True}),
        (0, START + 2 * NS, {"fans": 4}),
    ],
)


@pytest.mark.needs("influxd")
def test_everything_moves_there_and_back_and_goes_on_where_it_stopped(
    tmp_path: Path, command: Command, influx: Proxy
) -> None:
    with embedded(tmp_path) as store:
        store.write([points(500), points(300, school="s2"), OTHERS])
        others = store.others("s1", start_ns=0, end_ns=2**62)
        assert [len(each.points) for each in others] == [2]
        fold(store, time.time_ns())
        before = store.points("s1", "interface", start_ns=0, end_ns=2**62)
        hours = store.windows(3600, "s1", "interface", start_ns=0, end_ns=2**62)
    influx.answer = (503, b"away")
    stopped = command("move", "--from", "embedded", "--to", "influxdb")
    influx.answer = None
    assert stopped.exit_code == 2
    assert "run the same command again" in stopped.output
    done = command("move", "--from", "embedded", "--to", "influxdb")
    assert done.exit_code == 0, done.output
    assert "802 points" in done.output
    assert "802 points" in command("move", "--from", "embedded", "--to", "influxdb").output  # another move
    (tmp_path / "points.db").unlink()
    assert "802 points" in command("move", "--from", "influxdb", "--to", "embedded").output
    with embedded(tmp_path) as store:
        assert store.points("s1", "interface", start_ns=0, end_ns=2**62) == before
        assert store.windows(3600, "s1", "interface", start_ns=0, end_ns=2**62) == hours
        moved = store.others("s1", start_ns=0, end_ns=2**62)
        assert moved == others
        kinds = {name: type(value) for name, value in moved[0].points[0].fields.items()}
        assert kinds == {"door": str, "volts": float, "fans": int, "on": bool}
        assert len(store.points("s2", "interface", start_ns=0, end_ns=2**62)[0].points) == 300


class Stopping:
    """A store that takes so many writes, then is away."""

    def __init__(self, store: Store, writes: int) -> None:
        self._store = store
        self._writes = writes

    def write(self, batches: Sequence[Batch]) -> None:
        self._writes -= 1
        if self._writes < 0:
            raise StoreUnavailable("away")
        self._store.write(batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_move_that_stopped_is_begun_again_when_the_source_has_newer_points(tmp_path: Path) -> None:
    """Who ran the collector in between would lose what came meanwhile."""
    (tmp_path / "target").mkdir()
    with embedded(tmp_path) as source, embedded(tmp_path / "target") as target:
        source.write([points(3), points(2, school="s2")])

        def moved(into: Store) -> int:
            noted = Noted(tmp_path / "noted", source)
            some = [each for each in pieces(source, schema(), KEPT, time.time_ns()) if each not in noted]
            count = 0
            for piece in some:
                count += move(source, into, piece).how_many
                noted.add(piece)
            return count

        with pytest.raises(StoreUnavailable):
            moved(cast("Store", Stopping(target, 1)))
        assert moved(target) == 2  # of s2: those of s1 were noted
        source.write([points(4)])
        assert moved(target) == 6
        assert [len(each.points) for each in target.points("s1", "interface", start_ns=0, end_ns=2**62)] == [
            4
        ]


@pytest.mark.needs("influxd")
def test_what_is_kept_no_longer_is_not_moved_and_what_is_refused_does_not_stop_the_move(
    tmp_path: Path, command: Command
) -> None:
    """A collector that was stopped yesterday still holds a day more than InfluxDB takes."""
    now_ns = time.time_ns()
    ages = [hours * 3600 * NS for hours in (8 * 24, 7 * 24 + 1, 3, 2)]
    rows: list[Row] = [(0, now_ns - age, {"rx_bytes": 7}) for age in ages]
    kinds: dict[str, FieldValue] = {"a": 3, "b": "three"}  # InfluxDB holds a field to one kind
    others = [
        batch_of(
            "s1", "a1", 0, [Series("rack", TAGS | {"room": room}, other=True)], [(0, now_ns, {"fans": fans})]
        )
        for room, fans in kinds.items()
    ]
    with embedded(tmp_path) as store:
        store.write([batch_of("s1", "a1", 0, [Series("interface", TAGS)], rows), *others])
    done = command("move", "--from", "embedded", "--to", "influxdb", bucket="kept")
    assert done.exit_code == 0, done.output
    assert "some points of school s1 are refused" in done.output
    assert "field type conflict" in done.output
    (tmp_path / "points.db").unlink()
    assert command("move", "--from", "influxdb", "--to", "embedded", bucket="kept").exit_code == 0
    with embedded(tmp_path) as store:
        (series,) = store.points("s1", "interface", start_ns=0, end_ns=2**62)
        assert [now_ns - each.time_ns for each in series.points] == ages[2:]
        assert len(store.others("s1", start_ns=0, end_ns=2**62)) == 1


@pytest.mark.needs("influxd")
def test_a_refused_point_keeps_back_none_behind_it(
    tmp_path: Path, influx: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "POST_BYTES", 1)
    rows: list[Row] = [(0, NS, {"rx_bytes": 1}), (0, START, {"duplex": "full"})]  # two bodies
    batch = batch_of("s1", "a1", 0, [Series("interface", TAGS)], rows)
    with in_influxdb(tmp_path, influx.port, "behind") as store:
        with pytest.raises(PointsRefused, match="beyond retention"):
            store.write([batch, OTHERS])
        (series,) = store.points("s1", "interface", start_ns=0, end_ns=2**62)
        assert [each.time_ns for each in series.points] == [START]
        assert len(store.others("s1", start_ns=0, end_ns=2**62)[0].points) == 2


@pytest.mark.needs("influxd")
def test_what_the_copy_refuses_is_in_the_embedded_store(tmp_path: Path, influx: Proxy) -> None:
    settings = InfluxSettings(f"http://127.0.0.1:{influx.port}")
    with embedded(tmp_path) as inner, in_influxdb(tmp_path, influx.port, "copied") as made:
        made.write([points(1)])
        store = CopyingStore(inner, Connection(settings, Secret()), "copied")
        store.write([batch_of("s1", "a1", 0, [Series("interface", TAGS)], [(0, NS, {"rx_bytes": 1})])])
        assert [each.time_ns for each in store.points("s1", "interface", start_ns=0, end_ns=2**62)[0].points]
        store.close()


@pytest.mark.needs("influxd")
def test_points_influxdb_will_never_take_are_told_apart_from_being_away(
    tmp_path: Path, answer_again: Proxy
) -> None:
    with in_influxdb(tmp_path, answer_again.port, "apart") as store:
        store.write([points(1)])
        too_old = batch_of("s1", "a1", 0, [Series("interface", TAGS)], [(0, NS, {"rx_bytes": 1})])
        with pytest.raises(PointsRefused, match="beyond retention"):
            store.write([too_old])
        for status in (401, 404, 429, 503):
            answer_again.answer = (status, b'{"message":"not now"}')
            with pytest.raises(StoreUnavailable, match=f"{status}: .*not now"):
                store.write([points(1)])
        with pytest.raises(StoreUnavailable):
            store.latest()


@pytest.mark.needs("influxd")
def test_windows_that_wait_survive_a_restart(tmp_path: Path, influx: Proxy) -> None:
    with in_influxdb(tmp_path, influx.port, "restart") as store:
        store.write([points(3)])
    with in_influxdb(tmp_path, influx.port, "restart") as store:
        fold(store)
        (series,) = store.series(
            "s1", "interface", fields=["rx_bytes"], start_ns=START, end_ns=START + DAY * NS,
            resolution_seconds=3600,
        )  # fmt: skip
        assert series.windows[0].fields["rx_bytes"].sum == 3


@pytest.mark.needs("victoria-metrics")
def test_victoria_metrics_takes_what_is_written(tmp_path: Path) -> None:
    """The write side alone: it keeps numbers only, and answers no InfluxQL."""
    with victoria_metrics(tmp_path / "data") as port:
        other = Connection(InfluxSettings(f"http://127.0.0.1:{port}"), Secret())
        other.write("raw", Lines(schema()).of(points(500), other=False))
        other.close()
        count = 0
        deadline = time.monotonic() + 20
        while count < 500 and time.monotonic() < deadline:
            count = exported(port)
        assert count == 500


@pytest.mark.needs("victoria-metrics")
def test_a_copy_has_every_point_and_the_embedded_store_answers(tmp_path: Path) -> None:
    with victoria_metrics(tmp_path / "data") as port:
        settings = InfluxSettings(f"http://127.0.0.1:{port}")
        with embedded(tmp_path) as inner:
            store = CopyingStore(inner, Connection(settings, Secret()), "raw")
            store.write([points(200), points(100, school="s2"), OTHERS])
            deadline = time.monotonic() + 20
            while exported(port) < 300:
                assert time.monotonic() < deadline
            assert len(store.points("s1", "interface", start_ns=0, end_ns=2**62)[0].points) == 200
            assert [each.measurement for each in store.others("s1", start_ns=0, end_ns=2**62)] == ["rack"]
            assert store.schools() == ["s1", "s2"]
            store.close()


def test_while_the_copy_is_away_nothing_is_written_that_it_would_lack(tmp_path: Path) -> None:
    with embedded(tmp_path) as inner:
        store = CopyingStore(inner, Connection(InfluxSettings("http://127.0.0.1:1"), Secret()), "raw")
        with pytest.raises(StoreUnavailable):
            store.write([points(5)])
        assert store.latest() == []
        store.close()


def exported(port: int) -> int:
    """How many values of one series victoria-metrics has."""
    ask = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    ask.request("GET", "/internal/force_flush")
    ask.getresponse().read()
    ask.request("GET", "/api/v1/export?match[]=interface_rx_bytes&reduce_mem_usage=1")
    lines = ask.getresponse().read().splitlines()
    ask.close()
    return sum(len(json.loads(line)["values"]) for line in lines)


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "No such file or directory"), ("junk", "NO_CERTIFICATE_OR_CRL_FOUND")]
)
def test_a_ca_file_without_certificates_is_told_by_its_key(
    tmp_path: Path, text: str | None, reason: str
) -> None:
    config, file = tmp_path / "collector.yaml", tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    config.write_text(
        f"data_directory: {tmp_path}\n"
        f"store: {{engine: influxdb, influxdb: {{url: 'https://127.0.0.1:1', ca_file: {file}}}}}\n"
    )
    done = CliRunner().invoke(main, ["store", "check", "--config", str(config)], env={"LANG": "en_US.UTF-8"})
    assert done.exit_code == 1
    assert f"key store.influxdb.ca_file: {file} holds no certificates that can be read: " in done.output
    assert reason in done.output


@pytest.mark.needs("openssl")
def test_tls_follows_the_ca_file_and_nothing_else(tmp_path: Path, influx: Proxy) -> None:
    """A certificate of an authority of the county's own."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", "key.pem", "-out", "ca.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    with proxy(influx.target, context) as secure:
        url = f"https://127.0.0.1:{secure.port}"
        trusting = Connection(InfluxSettings(url, ca_file=str(tmp_path / "ca.pem")), Secret())
        assert trusting.version() == "1.6.7~rc0"
        trusting.query("", "CREATE DATABASE tls")
        trusting.write("tls", ["m x=1i"])
        trusting.close()
        doubting = Connection(InfluxSettings(url), Secret())
        for call in (doubting.version, lambda: doubting.write("tls", ["m x=1i"])):
            with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
                call()
        doubting.close()


def test_a_secret_does_not_show_itself(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("canary\n")
    file.chmod(0o600)
    secret = read_secret(file)
    assert secret == "canary"
    assert "canary" not in f"{secret!r} {[secret]}"
    for text in ("", "two words", "x" * 5000, "ÿ"):
        file.write_text(text)
        with pytest.raises(ValueError, match="one line"):
            read_secret(file)
    with pytest.raises(ValueError, match="no such file"):
        read_secret(tmp_path / "none")
