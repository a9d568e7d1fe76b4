"""Asking the collector for a test, what it grants, and telling it when a test is over."""

from __future__ import annotations

import hashlib
import http.client
import logging
import secrets
import ssl
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from agent.capacity.wire import Direction, Family, Mode
from agent.probe import NoData, ProbeFailed, Site

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 8192
MOST_RETRY_SECONDS = 3600.0

log = logging.getLogger(__name__)


class Wanted(msgspec.Struct, frozen=True):
    """One test. ``bits_per_second`` at the IP layer: what a verify run asks for, or a search's cap.

    ``now``: somebody waits for it, so that it need not wait for the end of lessons; ``force``: whatever the
    collector's hours and bytes of the month say. Method «iperf3» needs only a slot, for so many ``seconds``.
    """

    direction: Direction
    family: Family
    mode: Mode
    line: str | None = None
    responder: str | None = None
    bits_per_second: int | None = None
    now: bool = False
    force: bool = False
    method: Literal["tcp", "iperf3"] = "tcp"
    seconds: float | None = None


class Due(msgspec.Struct, frozen=True):
    """Whatever test the collector wants now, of the lines and families that this agent can test."""

    families: tuple[Family, ...]
    lines: tuple[str, ...] = ()
    responder: str | None = None
    mode: Literal["due"] = "due"


class ResponderAddress(msgspec.Struct, frozen=True):
    """A responder and where it listens."""

    id: str
    host: str
    port: int


class Grant(msgspec.Struct, frozen=True):
    """A ticket, or a slot without one, and what it allows."""

    ticket: str
    responder: ResponderAddress
    bytes: int
    seconds: float
    streams: int
    bits_per_second: int | None = None
    test: Wanted | None = None
    warning: str = ""
    test_id: str = ""


class NotNow(NoData):
    """The collector grants no test now; ask again after ``retry_after_seconds``."""

    def __init__(self, text: str, retry_after_seconds: float) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class Refused(NotNow):
    """What was asked for is never granted: another responder, line or rate has to be asked for."""


class _Reason(msgspec.Struct, frozen=True):
    reason: str = ""


def ask(site: Site, wanted: Wanted | Due) -> tuple[Grant, str]:
    """A grant and the secret that shows it is ours.

    Raises NotNow or NoData when there is no collector or no ticket now, ProbeFailed when it cannot be asked.
    """
    if site.collector_url is None or site.token() is None:
        raise NoData("needs a collector: the far end of a capacity test serves only with its ticket")
    secret = secrets.token_urlsafe(32)
    request = msgspec.to_builtins(wanted) | {"holder": hashlib.sha256(secret.encode("ascii")).hexdigest()}
    try:
        answer = _post(site, site.collector_url, "", msgspec.json.encode(request))
    except (OSError, http.client.HTTPException) as error:
        raise ProbeFailed(f"the collector gives no ticket: {error}") from error
    if answer.status != 200:
        raise _refusal(answer)
    try:
        return msgspec.json.decode(answer.body, type=Grant), secret
    except msgspec.DecodeError as error:
        raise ProbeFailed(f"the collector's ticket is not understood: {error}") from error


def over(site: Site, test_id: str, moved_bytes: int | None) -> None:
    """Tell the collector that a test is over or never began, so that others may test at once.

    ``moved_bytes``: payload, None when that is not known. What cannot be told is free when its time is up.
    """
    body = msgspec.json.encode({"test_id": test_id, "bytes": moved_bytes})
    try:
        status = _post(site, site.collector_url or "", "/over", body).status
    except (OSError, http.client.HTTPException) as error:
        log.warning("capacity test over, which the collector does not hear error=%s", error)
    else:
        if status != 204:
            log.warning("capacity test over, which the collector does not take status=%d", status)


class _Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    retry_after_seconds: float


def _refusal(answer: _Answer) -> NotNow | ProbeFailed:
    reason = _reason(answer.body) or f"it answers {answer.status}"
    if answer.status in (401, 403):
        return ProbeFailed("the collector refuses this token (token_file in the agent's settings)")
    if answer.status in (400, 409):
        return Refused(f"the collector refuses: {reason}", 0.0)
    return NotNow(f"no test now: {reason}", answer.retry_after_seconds)


def _post(site: Site, url: str, what: str, body: bytes) -> _Answer:
    parts = urlsplit(url)
    connection = _connection(site, parts.scheme, parts.hostname or "", parts.port)
    headers = {"Authorization": f"Token {site.token()}", "Content-Type": "application/json"}
    try:
        connection.request("POST", f"{parts.path.rstrip('/')}/api/v1/tickets{what}", body, headers)
        answer = connection.getresponse()
        retry = answer.getheader("Retry-After", "")
        wait = min(MOST_RETRY_SECONDS, float(retry)) if retry.isdecimal() else 0.0
        return _Answer(answer.status, answer.read(MAX_ANSWER_BYTES), wait)
    finally:
        connection.close()


def _connection(site: Site, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    authorities = str(site.collector_ca_file) if site.collector_ca_file else None
    trust = ssl.create_default_context(cafile=authorities)
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=trust)


def _reason(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Reason).reason
    except msgspec.DecodeError:
        return ""
