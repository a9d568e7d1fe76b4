"""``GET /metrics``: what the collector does, for Prometheus.

Source: Prometheus exposition formats, text format 0.0.4. Names follow its rules: base units, ``_total``.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, permitted
from collector.ingest.answers import Answer
from collector.rooms import Rooms

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Samples: TypeAlias = Iterable[tuple[Mapping[str, str], float]]


class Metric(NamedTuple):
    """One metric: its name, its help, and its samples by labels."""

    name: str
    help: str
    samples: Samples


def text_of(metrics: Iterable[Metric]) -> str:
    """The text format; a name that ends in ``_total`` is a counter, any other a gauge."""
    return "".join(line + "\n" for metric in metrics for line in _lines(metric))


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
    yield _one("ingest_points_total", "Points acknowledged.", ingest.points)
    yield _one("ingest_batches_total", "Batches acknowledged.", ingest.batches)
    yield _one("ingest_repeated_batches_total", "Batches that were there already.", ingest.repeated_batches)
    yield _one("ingest_corrected_batches_total", "Batches moved in time.", ingest.corrected_batches)
    aside = [({"reason": reason.value}, float(count)) for reason, count in rooms.set_aside.counts().items()]
    yield Metric("set_aside_points_total", "Points set aside, by reason.", aside)
    yield _one("journal_waiting_bytes", "Bytes that the store does not have yet.", waiting)
    yield _one("journal_age_seconds", "Age of the oldest file of the journal that waits, at most.", age)
    yield _one("journal_behind", "1 while a backlog is caught up with.", rooms.journal.is_behind())
    yield _one("journal_syncs_total", "Syncs to disk.", journal.syncs)
    yield _one("journal_refused_batches_total", "Batches refused with 503.", journal.refused)
    yield _one("journal_damaged_total", "Damaged records skipped.", journal.damaged)
    yield _one("store_points_total", "Points written to the store.", consumer.points)
    yield _one("store_writes_total", "Writes to the store.", consumer.store_writes)
    yield _one("store_write_seconds_total", "Time that writes to the store took.", consumer.store_seconds)
    yield _one("store_failures_total", "Writes that the store did not take.", consumer.store_failures)
    series = sorted(rooms.ingest.intake.series.count().items())
    yield Metric("agent_series", "Series of each agent.", [({"agent": who}, float(n)) for who, n in series])
    heard = [
        ({"agent": each.agent_id, "school": each.school_id}, round(silent, 3))
        for each in rooms.liveness.all()
        if (silent := rooms.liveness.silent_seconds(each.agent_id)) is not None
    ]
    yield Metric("agent_silent_seconds", "Time since each agent was heard.", heard)
    yield _one("process_cpu_seconds_total", "CPU that the collector used.", time.process_time())


def _one(name: str, words: str, value: float) -> Metric:
    return Metric(name, words, [({}, float(value))])


def _lines(metric: Metric) -> Iterator[str]:
    name = metric.name if metric.name.startswith("process_") else f"xiaotong_{metric.name}"
    yield f"# HELP {name} {metric.help}"
    yield f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
    for labels, value in metric.samples:
        listed = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        yield f"{name}{{{listed}}} {value!r}" if listed else f"{name} {value!r}"


def _is_local(request: Request) -> bool:
    """From this host, and not passed on by a proxy on it."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
