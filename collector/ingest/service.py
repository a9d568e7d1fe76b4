"""The routes of ingest: writes of InfluxDB v2 and 1.x, heartbeats, ping and health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

import collector
from collector.access import Permission, permitted
from collector.batch import encode_batch
from collector.bodies import json_of
from collector.ingest.agent_series import AgentIdentity, Agents
from collector.ingest.answers import Answer
from collector.ingest.bodies import Receiving, decode
from collector.ingest.clocks import ClockBook, Clocks, HeaderError, PushHeaders, read_headers
from collector.ingest.credentials import identify
from collector.ingest.intake import Intake, Window
from collector.ingest.journal import Journal, JournalFull
from collector.ingest.line_protocol import PRECISIONS
from collector.ingest.liveness import Heartbeat, Liveness
from collector.ingest.segments import MAX_BODY_BYTES
from collector.ingest.sequences import BatchKey
from collector.ingest.set_aside import Refused, SetAside
from collector.settings import CollectorSettings
from collector.store.interface import Store, StoreUnavailable
from config.clock import Clock
from config.measurements import Declared, schema

log = logging.getLogger(__name__)

PARSERS = 2
"""Threads that decode and parse; it is also how many decoded bodies are held at one time."""
MAX_HEARTBEAT_BYTES = 4096
MAX_OLD = 8
"""Batches of backlogs that are taken at one time."""
SMALL_BYTES = 16 * 1024
"""A body of at most so much, decoded, is parsed in under a millisecond."""
SAVE_EVERY_NS = 60 * 10**9
V2_PRECISIONS = ("ns", "us", "ms", "s")


OnHeartbeat = Callable[[AgentIdentity, Heartbeat, str], Mapping[str, object]]


class IngestCounts(msgspec.Struct):
    """Since the collector started."""

    points: int = 0
    batches: int = 0
    repeated_batches: int = 0
    corrected_batches: int = 0
    put_off: int = 0
    """Batches of a backlog that were asked to come later."""


class _Write(NamedTuple):
    """One write request, its body received."""

    identity: AgentIdentity
    headers: PushHeaders
    body: bytes
    encoding: str
    precision: str
    others: bool
    received_ns: int


class IngestService:
    """Takes what agents push: authenticates, bounds, validates, journals, then acknowledges."""

    def __init__(
        self,
        settings: CollectorSettings,
        *,
        agents: Agents,
        journal: Journal,
        liveness: Liveness,
        set_aside: SetAside,
        clock: Clock,
        on_heartbeat: OnHeartbeat = lambda _identity, _beat, _address: {},
    ) -> None:
        """``on_heartbeat`` gives what the answer to a heartbeat tells besides."""
        self.counts = IngestCounts()
        self.clocks = ClockBook(settings.data / "clocks")
        self.intake = Intake(Declared(schema()), settings.ingest.max_series_per_agent)
        self._settings = settings
        self._agents = agents
        self._journal = journal
        self._liveness = liveness
        self._set_aside = set_aside
        self._clock = clock
        self._on_heartbeat = on_heartbeat
        self._old_running = 0
        self._save_due_ns = clock.monotonic_ns() + SAVE_EVERY_NS
        self._parsers = ThreadPoolExecutor(PARSERS, thread_name_prefix="ingest")
        self._receiving = Receiving(
            max_body_bytes=settings.ingest.max_body_bytes,
            max_bytes_in_flight=settings.ingest.max_bytes_in_flight,
            max_requests_per_agent=settings.ingest.max_requests_per_agent,
            deadline_seconds=settings.ingest.body_deadline,
            retry_after_seconds=settings.ingest.retry_after,
        )

    def routes(self) -> list[BaseRoute]:
        """What ingest serves."""
        return [
            permitted(Permission.AGENT, Route("/api/v2/write", self._write_v2, methods=["POST"])),
            permitted(
                Permission.AGENT, Route("/write", self._write_v1, methods=["POST"]), token_in_query=True
            ),
            permitted(Permission.AGENT, Route("/api/v1/heartbeat", self._heartbeat, methods=["POST"])),
            permitted(Permission.PUBLIC, Route("/ping", _ping, methods=["GET"])),
            permitted(Permission.PUBLIC, Route("/health", self._health, methods=["GET"])),
        ]

    def remember(self, store: Store) -> None:
        """The series that each agent wrote before: the cap on them holds over a restart."""
        try:
            points = store.latest()
        except StoreUnavailable as error:
            log.warning("series counted anew reason=%s", error)
            return
        for point in points:
            self.intake.series.remember(point.measurement, point.tags)

    def save(self) -> None:
        """Keep what was learned of the agents' clocks, once a minute at most."""
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._save_due_ns:
            self._save_due_ns = now_ns + SAVE_EVERY_NS
            self.clocks.save()

    def close(self) -> None:
        """Wait for the bodies that are being parsed."""
        self._parsers.shutdown(wait=True)
        self.clocks.save()

    async def _write_v2(self, request: Request) -> Response:
        identity = identify(request, self._agents)
        precision = request.query_params.get("precision", "ns")
        if precision not in V2_PRECISIONS:
            raise Answer(
                400, "invalid", f"precision {precision[:10]!r}: {', '.join(V2_PRECISIONS)} are allowed"
            )
        if request.query_params.get("org", request.query_params.get("orgID")) != self._settings.org:
            raise Answer(404, "not found", f"organization not found; org={self._settings.org} is allowed")
        if request.headers.get("content-length") == "0" and "x-xiaotong-sequence" not in request.headers:
            raise Answer(400, "invalid", "writing requires points")
        return await self._write(request, identity, precision, request.query_params.get("bucket", ""))

    async def _write_v1(self, request: Request) -> Response:
        identity = identify(request, self._agents, in_query=True)
        precision = request.query_params.get("precision", "n")
        if precision not in PRECISIONS:
            raise Answer(400, "invalid", f"precision {precision[:10]!r}: n, u, ms, s, m, h are allowed")
        bucket = request.query_params.get("db", "").partition("/")[0]
        return await self._write(request, identity, precision, bucket)

    async def _write(
        self, request: Request, identity: AgentIdentity, precision: str, bucket: str
    ) -> Response:
        others = self._bucket_of_others(bucket, identity)
        try:
            headers = read_headers(request.headers)
        except HeaderError as error:
            raise Answer(400, "invalid", str(error)) from None
        if headers.sent is not None:  # at its head: a body may take long, and the clocks are of before it
            self.clocks.learn(identity.agent_id, headers.sent, self._clock.wall_ns())
        self._liveness.pushed(identity.agent_id, identity.school_id)
        if headers.is_old and self._journal.waiting_bytes() > self._settings.ingest.backlog_bytes:
            self._put_off()  # before its body, which would come again and again
        receiving = self._receiving
        with receiving.turn(identity.agent_id), receiving.room(receiving.expected_bytes(request)):
            body = await receiving.body(request)
            encoding = request.headers.get("content-encoding", "").strip().lower()
            now_ns = self._clock.wall_ns()
            write = _Write(identity, headers, body, encoding, precision, others, now_ns)
            with self._turn_of_old(headers):
                return await self._take(write)

    def _bucket_of_others(self, bucket: str, identity: AgentIdentity) -> bool:
        if bucket == self._settings.bucket:
            return False
        if bucket != self._settings.others_bucket:
            raise Answer(404, "not found", f"bucket {bucket[:40]!r} not found")
        if not identity.may_write_others:
            raise Answer(403, "forbidden", f"this token may not write to bucket {bucket}")
        return True

    @contextmanager
    def _turn_of_old(self, headers: PushHeaders) -> Iterator[None]:
        """Let what is new pass, and a few at a time of what is old. Raises Answer 503."""
        if headers.is_old and self._old_running >= MAX_OLD:
            self._put_off()
        self._old_running += headers.is_old
        try:
            yield
        finally:
            self._old_running -= headers.is_old

    def _put_off(self) -> NoReturn:
        self.counts.put_off += 1
        why = "what is new goes first while much waits for the store"
        raise Answer(503, "unavailable", why, self._settings.ingest.retry_after)

    async def _take(self, write: _Write) -> Response:
        loop = asyncio.get_running_loop()
        identity, headers = write.identity, write.headers
        text = _small(write)
        if text is None:
            read = await loop.run_in_executor(self._parsers, self._decoded_and_read, write)
        else:
            read = self._read(write, text)
        body, points, refused, moved_ns = read
        fresh = True
        if points or headers.sequence is not None:
            fresh = await self._keep(write, body)
        self._count(points, fresh, moved_ns)
        if fresh and refused:
            await loop.run_in_executor(self._parsers, self._set_aside.put, identity.agent_id, refused)
        return _answer(refused, of_our_agent=headers.sequence is not None)

    def _decoded_and_read(self, write: _Write) -> tuple[bytes, int, list[Refused], int]:
        return self._read(write, decode(write.body, write.encoding, self._settings.ingest.max_decoded_bytes))

    def _read(self, write: _Write, text: bytes) -> tuple[bytes, int, list[Refused], int]:
        """Parse one body: the batch to journal, its points, what was refused, how far it was moved."""
        limits = self._settings.ingest
        if text.count(b"\n") > limits.max_lines:
            raise Answer(413, "request too large", f"a body of at most {limits.max_lines} lines is allowed")
        moved_ns = self.clocks.correction_ns(write.identity.agent_id, write.headers.recorded)
        batch, refused = self.intake.batch(
            text,
            write.identity,
            precision=write.precision,
            others=write.others,
            received_ns=write.received_ns,
            moved_ns=moved_ns,
            window=Window(
                write.received_ns - round(limits.spool_limit * 1e9),
                write.received_ns + round(limits.future_limit * 1e9),
            ),
        )
        return encode_batch(batch), len(batch), refused, moved_ns

    async def _keep(self, write: _Write, body: bytes) -> bool:
        """Wait until the batch is on disk. False when it was there already. Raises Answer 413 or 503."""
        if len(body) > MAX_BODY_BYTES:
            raise Answer(413, "request too large", f"the points take more than {MAX_BODY_BYTES} bytes")
        sequence = write.headers.sequence
        key = (
            None if sequence is None else BatchKey(write.identity.agent_id, write.headers.spool_id, sequence)
        )
        try:
            return await asyncio.wrap_future(self._journal.append(key, body))
        except JournalFull as error:
            raise Answer(503, "unavailable", str(error), self._settings.ingest.retry_after) from None

    def _count(self, points: int, fresh: bool, moved_ns: int) -> None:
        if not fresh:
            self.counts.repeated_batches += 1
            return
        self.counts.batches += 1
        self.counts.points += points
        self.counts.corrected_batches += moved_ns != 0

    async def _heartbeat(self, request: Request) -> Response:
        identity = identify(request, self._agents)
        receiving = self._receiving
        with receiving.turn(identity.agent_id), receiving.room(MAX_HEARTBEAT_BYTES):
            body = await receiving.body(request)
        try:
            beat = json_of(body[: MAX_HEARTBEAT_BYTES + 1], Heartbeat)
        except msgspec.DecodeError as error:
            raise Answer(400, "invalid", f"heartbeat: {error}") from None
        sent = Clocks(beat.boot_id[:64], beat.wall_ns, beat.monotonic_ns)
        self.clocks.learn(identity.agent_id, sent, self._clock.wall_ns())
        self._liveness.heartbeat(identity.agent_id, identity.school_id, beat)
        address = request.client.host if request.client else ""
        told = self._on_heartbeat(identity, beat, address)  # from memory: sooner than a thread is woken
        return JSONResponse({"heartbeat_seconds": _whole(self._settings.heartbeat), **told})

    async def _health(self, _: Request) -> Response:
        return JSONResponse(
            {"name": "xiaotong", "status": "pass", "message": "ready", "version": collector.__version__}
        )


def _small(write: _Write) -> bytes | None:
    """The text of a body that is parsed sooner than a thread is woken; None for any other."""
    if len(write.body) > SMALL_BYTES:
        return None
    try:
        return decode(write.body, write.encoding, SMALL_BYTES)
    except Answer:
        return None


def _answer(refused: list[Refused], *, of_our_agent: bool) -> Response:
    """Our agents go on and are told how many points were set aside; others get InfluxDB's partial write."""
    if not refused:
        return Response(status_code=204)
    if of_our_agent:
        return Response(status_code=204, headers={"X-Xiaotong-Set-Aside": str(len(refused))})
    first = refused[0]
    message = f"partial write: line {first.number}: {first.detail}; dropped={len(refused)}"
    raise Answer(400, "invalid", message, line=first.number)


async def _ping(_: Request) -> Response:
    return Response(status_code=204, headers={"X-Influxdb-Version": "xiaotong", "X-Influxdb-Build": "OSS"})


def _whole(seconds: float) -> int | float:
    return int(seconds) if seconds == int(seconds) else float(seconds)
