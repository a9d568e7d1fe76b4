"""What a trial asks its collector, over HTTP as anybody would."""

from __future__ import annotations

import http.client
from datetime import datetime
from typing import TypeVar

import msgspec

from collector.web.throughput import InterfaceSeries, Throughput
from config.report import ProbeReport, SchoolReport, verdicts_of
from config.verdict import Verdict

TIMEOUT_SECONDS = 3.0
MAX_ANSWER_BYTES = 8 * 2**20

T = TypeVar("T")


class Seen(msgspec.Struct, frozen=True):
    """What is known of the school now."""

    at: datetime
    verdicts: list[Verdict]
    probes: list[ProbeReport]
    interfaces: list[InterfaceSeries]


class NoAnswer(Exception):
    """The collector did not answer, or not what we can read; the text says what."""


def is_healthy(host: str, port: int) -> bool:
    """True once the collector takes points."""
    try:
        _get(host, port, "/health")
    except NoAnswer:
        return False
    return True


def look(host: str, port: int, school_id: str, plan: str) -> Seen:
    """Ask for verdicts and rates. Raises NoAnswer."""
    school = f"/api/v1/schools/{school_id}"
    report = _decoded(_get(host, port, f"{school}/verdicts?plan={plan}"), SchoolReport)
    moved = _decoded(_get(host, port, f"/schools/{school_id}/throughput"), Throughput)
    return Seen(report.at, verdicts_of(report), report.probes, moved.interfaces)


def _decoded(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise NoAnswer(f"not what was asked for: {error}") from None


def _get(host: str, port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{path}: {error}") from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise NoAnswer(f"{path}: status {answer.status}")
    return body
