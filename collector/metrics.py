"""``GET /metrics``: what the collector does, for Prometheus."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, permitted
from collector.ingest.answers import Answer
from collector.messages.metrics import message_metrics
from collector.rooms import Rooms
from config.exposition import CONTENT_TYPE, Metric, single, text_of

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def metrics_routes(rooms: Rooms) -> list[BaseRoute]:
    """The route, for whom ``listen.metrics`` allows it."""

    async def metrics(request: Request) -> Response:
        if rooms.settings.listen.metrics == "loopback" and not _is_local(request):
            raise Answer(403, "forbidden", "metrics are for this host alone (listen.metrics)")
        text = await run_in_threadpool(lambda: text_of(metrics_of(rooms)))
        return PlainTextResponse(text, headers={"Content-Type": CONTENT_TYPE})

    if rooms.settings.listen.metrics == "off":
        return []
    return [permitted(Permission.PUBLIC, Route("/metrics", metrics, methods=["GET"]))]


def metrics_of(rooms: Rooms) -> Iterator[Metric]:
    """Everything that is counted."""
    ingest, journal, consumer = rooms.ingest.counts, rooms.journal.counts, rooms.consumer.counts
    waiting, oldest_ns = rooms.journal.waiting_bytes(), rooms.journal.oldest_ns()
    age = 0.0 if oldest_ns is None else max(0.0, (rooms.clock.wall_ns() - oldest_ns) / 1e9)
    yield single("ingest_points_total", "Points acknowledged.", ingest.points)
    yield single("ingest_batches_total", "Batches acknowledged.", ingest.batches)
    yield single("ingest_repeated_batches_total", "Batches that were there already.", ingest.repeated_batches)
    yield single("ingest_corrected_batches_total", "Batches moved in time.", ingest.corrected_batches)
    yield single("ingest_put_off_batches_total", "Batches of a backlog asked to come later.", ingest.put_off)
    aside = [({"reason": reason.value}, float(count)) for reason, count in rooms.set_aside.counts().items()]
    yield Metric("set_aside_points_total", "Points set aside, by reason.", aside)
    yield single("journal_waiting_bytes", "Bytes that the store does not have yet.", waiting)
    yield single("journal_age_seconds", "Age of the oldest file of the journal that waits, at most.", age)
    yield single("journal_behind", "1 while a backlog is caught up with.", rooms.journal.is_behind())
    yield single("journal_syncs_total", "Syncs to disk.", journal.syncs)
    yield single("journal_refused_batches_total", "Batches refused with 503.", journal.refused)
    yield single("journal_damaged_total", "Damaged records skipped.", journal.damaged)
    yield single("store_points_total", "Points written to the store.", consumer.points)
    yield single("store_writes_total", "Writes to the store.", consumer.store_writes)
    yield single("store_write_seconds_total", "Time that writes to the store took.", consumer.store_seconds)
    yield single("store_failures_total", "Writes that the store did not take.", consumer.store_failures)
    series = sorted(rooms.ingest.intake.series.count().items())
    yield Metric("agent_series", "Series of each agent.", [({"agent": who}, float(n)) for who, n in series])
    heard = [
        ({"agent": each.agent_id, "school": each.school_id}, round(silent, 3))
        for each in rooms.liveness.all()
        if (silent := rooms.liveness.silent_seconds(each.agent_id)) is not None
    ]
    yield Metric("agent_silent_seconds", "Time since each agent was heard.", heard)
    judge, uptime, listener = rooms.verdicts.failures, rooms.uptime.failures, rooms.consumer.failures
    yield single("judge_failures_total", "Times that the judge failed at a school.", judge.total)
    yield single(
        "judge_failing_schools", "Schools unknown because the judge fails at them.", len(judge.schools())
    )
    yield single("uptime_failures_total", "Times that uptime could not be judged at a school.", uptime.total)
    yield single(
        "uptime_failing_schools",
        "Schools whose minutes or outages' causes cannot be judged.",
        len(uptime.schools()),
    )
    yield single("listener_failures_total", "Batches of a school that a room could not take.", listener.total)
    yield single(
        "listener_failing_schools", "Schools whose last batch a room could not take.", len(listener.schools())
    )
    if rooms.responder is not None:
        listening = rooms.responder.listening
        yield single("responder_listening", "1 while the responder of this collector listens.", listening)
    yield from (Metric(*each) for each in message_metrics(rooms.messages))
    yield single("process_cpu_seconds_total", "CPU that the collector used.", time.process_time())


def _is_local(request: Request) -> bool:
    """From this host, and not passed on by a proxy on it."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
