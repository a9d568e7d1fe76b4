"""What a doctor finds: one line a subject, in words, with what to do about it. Shared by both commands."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import shutil
import socket
import ssl
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from config.words import Language, message, translate

State = Literal["well", "wrong", "unknown"]
CONNECT_SECONDS = 5.0
CERTIFICATE_DAYS = 14
_TIME_ERROR = 5
_TIMEX_BYTES = 512
"""More than the kernel's struct timex takes."""


class Finding(msgspec.Struct, frozen=True):
    """One subject: how it stands, the facts in English, and what to do where it is not well."""

    subject: str
    state: State
    detail: str
    advice: str = ""


SUBJECTS = {
    "clock": message("clock"),
    "disk": message("disk"),
    "privileges": message("privileges"),
    "port": message("port"),
    "dns": message("name resolution"),
    "route": message("route"),
    "certificate": message("certificate"),
    "version": message("version"),
    "registry": message("registry"),
    "store": message("store of points"),
    "credential": message("credential"),
}
_MARKS = {"well": "✓", "wrong": "✗", "unknown": "?"}


def line_of(finding: Finding, language: Language) -> str:
    """A finding as people read it."""
    subject = translate(SUBJECTS[finding.subject], language)
    advice = f" → {translate(finding.advice, language)}" if finding.advice else ""
    return f"{_MARKS[finding.state]} {subject}: {finding.detail}{advice}"


def json_of(findings: Sequence[Finding]) -> str:
    """All findings as JSON, in English."""
    return msgspec.json.encode({"findings": findings, "state": worst(findings)}).decode()


def worst(findings: Iterable[Finding]) -> State:
    """«wrong» where anything is, else «unknown» where anything is."""
    states = {finding.state for finding in findings}
    return "wrong" if "wrong" in states else "unknown" if "unknown" in states else "well"


def clock() -> Finding:
    """Whether the kernel's clock is kept by a time service. Source: adjtimex(2), TIME_ERROR."""
    try:
        answer = ctypes.CDLL(None, use_errno=True).ntp_adjtime(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError) as error:
        return Finding("clock", "unknown", f"the kernel does not say: {error}")
    if answer < 0:
        return Finding("clock", "unknown", f"the kernel does not say: {os.strerror(ctypes.get_errno())}")
    if answer == _TIME_ERROR:
        return Finding(
            "clock",
            "wrong",
            "no time service keeps it",
            message("install chrony or systemd-timesyncd and let it reach a time server"),
        )
    return Finding("clock", "well", "kept by a time service")


def clock_against(date: str | None, now: datetime, limit_seconds: float) -> Finding:
    """This host's clock against the Date that a server answered with."""
    try:
        theirs = parsedate_to_datetime(date or "").astimezone(UTC)
    except ValueError:
        return Finding("clock", "unknown", "the collector's answer has no date")
    seconds = (now - theirs).total_seconds()
    if abs(seconds) <= limit_seconds:
        return Finding("clock", "well", f"{seconds:+.0f} s from the collector's")
    advice = message("set the clock; measurements are moved by the collector meanwhile")
    return Finding("clock", "wrong", f"{seconds:+.0f} s from the collector's", advice)


def disk(folder: Path, needed_bytes: int) -> Finding:
    """Whether a folder can be written and has room for what may grow in it."""
    try:
        existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding("disk", "unknown", f"{folder}: {error.strerror}")
    if not os.access(existing, os.W_OK):
        advice = message("give the folder to the user that the service runs as")
        return Finding("disk", "wrong", f"{existing} cannot be written", advice)
    detail = f"{folder}: {free >> 20} MiB free, {needed_bytes >> 20} MiB may be needed"
    if free < needed_bytes:
        return Finding("disk", "wrong", detail, message("free space, or lower the bounds in the settings"))
    return Finding("disk", "well", detail)


def private(file: Path) -> Finding:
    """Whether a file that holds a secret is there, readable, and its owner's alone."""
    try:
        mode = file.stat().st_mode & 0o777
        with file.open("rb"):
            pass
    except OSError as error:
        advice = message("enrol, or correct the path or the owner of the file")
        return Finding("credential", "wrong", f"{file}: {error.strerror}", advice)
    if mode & 0o077:
        return Finding("credential", "wrong", f"{file}: mode {mode:04o}", message("chmod 600 the file"))
    return Finding("credential", "well", f"{file}: mode {mode:04o}")


def dns(host: str) -> Finding:
    """Whether a name has an address."""
    try:
        found = sorted({str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    except OSError as error:
        advice = message("look at /etc/resolv.conf and at the name")
        return Finding("dns", "wrong", f"{host}: {error.strerror}", advice)
    return Finding("dns", "well", f"{host}: {', '.join(found)}")


class Asked(msgspec.Struct, frozen=True):
    """What a server answered to GET /health."""

    date: str | None
    version: str
    name: str


def ask(url: str, context: ssl.SSLContext | None = None) -> Asked:
    """GET /health of a collector. Raises OSError or http.client.HTTPException."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        trusted = context or ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=CONNECT_SECONDS, context=trusted
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=CONNECT_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", f"{parts.path.rstrip('/')}/health")
        answer = connection.getresponse()
        return _asked(answer.getheader("Date"), answer.read(65536))


def _asked(date: str | None, body: bytes) -> Asked:
    try:
        said: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        said = {}
    told = said if isinstance(said, dict) else {}
    return Asked(date, str(told.get("version", "")), str(told.get("name", "")))


def certificate_of(ends: datetime, now: datetime, what: str) -> Finding:
    """How long a certificate is still good."""
    days = (ends - now).days
    detail = f"{what}: {days} days left"
    if days < CERTIFICATE_DAYS:
        return Finding("certificate", "wrong", detail, message("renew the certificate"))
    return Finding("certificate", "well", detail)
