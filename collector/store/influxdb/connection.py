"""The two ways to an InfluxDB: its write API through influxdb-client, and InfluxQL over ``/query``."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import urllib3
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from collector.settings import InfluxSettings
from collector.store.influxdb.secret import Secret
from collector.store.interface import PointsRefused, StoreUnavailable

POST_BYTES = 2 * 1024 * 1024
"""Of one write: InfluxDB takes 25 MB at most by default."""
MAX_ANSWER_BYTES = 512 * 1024 * 1024
CHUNK_ROWS = 20_000
WAIT_LATER = {401, 403, 404, 408, 429, 500, 502, 503, 504}
"""Answers to a write after which the same points may land later: the points are not at fault."""

Values: TypeAlias = list[list[Any]]


class Table(NamedTuple):
    """One series of an answer: its name, its tags, and rows by the columns' names."""

    name: str
    tags: dict[str, str]
    columns: list[str]
    rows: Values


class _Series(msgspec.Struct):
    columns: list[str]
    name: str = ""
    tags: dict[str, str] = {}
    values: Values = []


class _Result(msgspec.Struct):
    series: list[_Series] = []
    error: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result] = []
    error: str | None = None


class Connection:
    """One InfluxDB. Nothing is sent before it is used."""

    def __init__(self, settings: InfluxSettings, token: Secret) -> None:
        self._settings = settings
        self._url = settings.url.rstrip("/")
        self._headers = {"Authorization": _authorization(token)} if token else {}
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=4, retries=False, ca_certs=settings.ca_file or None,
            timeout=urllib3.Timeout(total=float(settings.timeout)),
        )  # fmt: skip
        self._client: Any = InfluxDBClient(
            self._url, str.__str__(token), org=settings.org, timeout=round(settings.timeout * 1000),
            ssl_ca_cert=settings.ca_file or None, retries=False,
        )  # fmt: skip
        self._writer: Any = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, bucket: str, lines: Iterable[str]) -> None:
        """Send lines. Raises StoreUnavailable, or PointsRefused when all but some were taken."""
        self.write_each([(bucket, lines)])

    def write_each(self, parts: Iterable[tuple[str, Iterable[str]]]) -> None:
        """The same for several buckets: a refusal is raised when all else was sent."""
        refusals: list[PointsRefused] = []
        for bucket, body in ((bucket, body) for bucket, lines in parts for body in _bodies(lines)):
            try:
                self._send(bucket, body)
            except PointsRefused as refusal:
                refusals.append(refusal)
        if refusals:
            raise refusals[0]

    def _send(self, bucket: str, body: bytes) -> None:
        """Two kinds of value for a field that is new make 1.x refuse the whole body. It is not new any more
        then: sent again, only the points of one kind are refused.
        """
        try:
            self._send_once(bucket, body)
        except PointsRefused as refusal:
            if "partial write" in str(refusal):
                raise
            self._send_once(bucket, body)

    def _send_once(self, bucket: str, body: bytes) -> None:
        try:
            self._writer.write(bucket, record=body)
        except (ApiException, InfluxDBError) as error:
            raise _judged(self._url, error) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StoreUnavailable(f"{self._url}: {_one_line(error)}") from None

    def query(self, database: str, text: str) -> list[Table]:
        """Ask in InfluxQL. Raises StoreUnavailable."""
        fields = {"q": text, "db": database, "epoch": "ns", "chunked": "true", "chunk_size": str(CHUNK_ROWS)}
        answer = self._post(fields)
        tables: list[Table] = []
        for part in answer.splitlines():
            tables += _tables(part)
        return tables

    def version(self) -> str:
        """What the server says it is: «1.8.10», «v2.7.1»; empty when it does not. Raises StoreUnavailable."""
        try:
            answer = self._pool.request("GET", f"{self._url}/ping", headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(f"{self._url}: {_one_line(error)}") from None
        if answer.status >= 400 and answer.status != 404:
            raise StoreUnavailable(f"{self._url} answers {answer.status}: {_one_line(answer.data[:300])}")
        return str(answer.headers.get("X-Influxdb-Version", ""))

    @property
    def client(self) -> Any:
        """The client of the 2.x API, for what is done once."""
        return self._client

    def close(self) -> None:
        """Close every connection."""
        self._writer.close()
        self._client.close()
        self._pool.clear()

    def _post(self, fields: dict[str, str]) -> bytes:
        try:
            answer = self._pool.request(
                "POST", f"{self._url}/query", fields=fields, encode_multipart=False, headers=self._headers,
                preload_content=False,
            )  # fmt: skip
            body = b"".join(_bounded(answer.stream(1024 * 1024)))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StoreUnavailable(f"{self._url}: {_one_line(error)}") from None
        finally:
            if "answer" in locals():
                answer.release_conn()
        if answer.status != 200:
            raise StoreUnavailable(
                f"{self._url} answers {answer.status}: {_one_line(body[:300].decode(errors='replace'))}"
            )
        return body


def _judged(url: str, error: Any) -> StoreUnavailable | PointsRefused:
    """What an error of the client means. It has no status when no answer came."""
    status = getattr(error, "status", 0) or getattr(getattr(error, "response", None), "status", 0)
    if not status:
        return StoreUnavailable(f"{url}: {_one_line(error)}")
    reason = f"{url} answers {status}: {_reason(error)}"
    return StoreUnavailable(reason) if status in WAIT_LATER or status >= 500 else PointsRefused(reason)


def _tables(part: bytes) -> Iterator[Table]:
    try:
        answer = msgspec.json.decode(part, type=_Answer)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"InfluxDB's answer cannot be read: {error}") from None
    for result in answer.results:
        if result.error or answer.error:
            raise StoreUnavailable(f"InfluxDB cannot answer: {result.error or answer.error}")
        for each in result.series:
            tags = {key: value for key, value in each.tags.items() if value}
            yield Table(each.name, tags, each.columns, each.values)


def _bounded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > MAX_ANSWER_BYTES:
            raise StoreUnavailable(f"InfluxDB answers with more than {MAX_ANSWER_BYTES} bytes")
        yield chunk


def _bodies(lines: Iterable[str]) -> Iterator[bytes]:
    """Lines as bodies of about POST_BYTES."""
    some: list[str] = []
    size = 0
    for line in lines:
        some.append(line)
        size += len(line)
        if size >= POST_BYTES:
            yield "\n".join(some).encode()
            some, size = [], 0
    if some:
        yield "\n".join(some).encode()


def _authorization(token: Secret) -> str:
    """A 1.x server's ``/query`` takes user and password as Basic."""
    if ":" in token:
        return "Basic " + base64.b64encode(token.encode()).decode()
    return "Token " + str.__str__(token)


def _reason(error: Any) -> str:
    body = getattr(error, "body", None) or getattr(error, "message", None) or str(error)
    return _one_line(body.decode(errors="replace") if isinstance(body, bytes) else body)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]


def name(text: str) -> str:
    """An identifier of InfluxQL."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(text: str) -> str:
    """A string of InfluxQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def where(conditions: Sequence[str]) -> str:
    """«WHERE a AND b»; empty without conditions."""
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
