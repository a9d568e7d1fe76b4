"""Services that the school uses, tried as a client does: HTTP(S), DNS, TCP, each family by itself."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from agent.network.icmp import FAMILIES, Family
from agent.network.services import Answered, Attempt, Failed
from agent.probe import NoData, Probe, Run, Site
from agent.runner import one_line
from config.points import FieldValue, Point
from config.units import Bytes, Seconds

HELP = "Services the school uses (HTTP, HTTPS, DNS, TCP), with the phases of the connection"
PROVES = {
    "gateway": "whether the service answers the school's gateway",
    "lan": "whether it answers a true client of the school",
}
CONTINUOUS = False

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
AT_ONCE = 4
SECONDS_A_DAY = 86400.0


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One service and what is expected of it."""

    name: str
    """Its name in the points."""
    kind: Literal["http", "dns", "tcp"] = "http"
    """How it is tried. «http» is HTTPS where the url says so."""
    url: str = ""
    """http: what is fetched; redirects are not followed."""
    host: str = ""
    """tcp and dns: the server's name or address."""
    port: Port | None = None
    """tcp and dns: its port; 53 for dns."""
    query: str = ""
    """dns: the name that is asked for."""
    query_type: Literal["A", "AAAA", "NS", "SOA", "MX", "TXT"] = "A"
    """dns: the type of record."""
    family: Literal["ipv4", "ipv6", "both"] = "both"
    """Which families are tried, each by itself."""
    status: tuple[int, ...] = ()
    """Expected HTTP statuses, or DNS response codes; empty is 200 to 399, or 0."""
    body_contains: str = ""
    """http: text that the body must hold."""
    answers_min: Annotated[int, msgspec.Meta(ge=0)] = 1
    """dns: least number of records in the answer."""
    within: Seconds | None = None
    """All of it must take no longer."""
    certificate_days_min: float = 0.0
    """https: days that the certificate must still be valid."""
    verify: bool = True
    """https: the certificate must be valid for the host."""

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or self.name.endswith("\\"):
            raise ValueError("a service needs a printable name")
        if self.kind == "http" and not _is_url(self.url):
            raise ValueError("http needs url: http:// or https:// with a host, and no user")
        if self.kind == "tcp" and not (self.host and self.port):
            raise ValueError("tcp needs host and port")
        if self.kind == "dns" and not (self.host and self.query):
            raise ValueError("dns needs host and query")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the probe."""

    every: Seconds = Seconds(60)
    """How often each service is tried."""
    timeout: Seconds = Seconds(10)
    """Of one try, all its phases together."""
    body: Bytes = Bytes(64 * 1024)
    """Most that is read of a body."""
    services: tuple[Service, ...] = ()
    """What is tried."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= 30:
            raise ValueError("timeout is from 1ms to 30s")
        if not 0 < self.body <= 4 * 1024 * 1024:
            raise ValueError("body is from 1B to 4MiB")
        if len(self.services) > 16:
            raise ValueError("services are at most 16")
        if len({service.name for service in self.services}) < len(self.services):
            raise ValueError("each service needs a name of its own")


def build(settings: Settings, site: Site) -> Probe:  # noqa: ARG001
    """The probe on this host."""
    return ServiceProbe(settings)


class ServiceProbe:
    """Tries every service once a run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def measure(self, run: Run) -> list[Point]:
        """One point for each service and family. Raises NoData when none is named."""
        if not self._settings.services:
            raise NoData("no service is named in probes.service.services")
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="service") as tries:
            return list(tries.map(lambda each: self._try(each[0], each[1], run), self._wanted()))

    def _wanted(self) -> Iterator[tuple[Service, Family]]:
        for service in self._settings.services:
            for family in FAMILIES if service.family == "both" else (service.family,):
                yield service, family

    def _try(self, service: Service, family: Family, run: Run) -> Point:
        attempt = Attempt(family, min(self._settings.timeout, run.remaining_seconds()))
        fields: dict[str, FieldValue] = {}
        try:
            answered = _reach(service, attempt, self._settings.body)
            fields |= _told(service, answered)
            _expect(service, attempt, answered, run.clock.wall_ns() / 1e9)
        except Failed as failed:
            fields |= {"failed_phase": failed.phase, "error": one_line(str(failed))}
        fields |= {f"{phase}_seconds": seconds for phase, seconds in attempt.seconds.items()}
        fields |= {"success": "error" not in fields, "total_seconds": attempt.total_seconds}
        if attempt.address is not None:
            fields["address"] = attempt.address
        if attempt.certificate_ends is not None:
            fields["certificate_days"] = _days_left(attempt.certificate_ends, run.clock.wall_ns() / 1e9)
        tags = {"service": service.name, "kind": service.kind, "family": family}
        return Point("service", tags, fields, run.clock.wall_ns())


def _reach(service: Service, attempt: Attempt, body_bytes: int) -> Answered:
    """Go through the phases of its kind. Raises Failed."""
    if service.kind == "dns":
        return attempt.ask(service.host, service.port or 53, service.query, service.query_type)
    if service.kind == "tcp":
        attempt.connect(service.host, service.port or 0).close()
        return Answered(0)
    url = urlsplit(service.url)
    host, secure = url.hostname or "", url.scheme == "https"
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    opened = attempt.connect(host, url.port or (443 if secure else 80))
    with opened:
        if not secure:
            return attempt.get(opened, url.netloc, path, body_bytes)
        with attempt.secure(opened, host, _context(verify=service.verify)) as secured:
            return attempt.get(secured, url.netloc, path, body_bytes)


def _expect(service: Service, attempt: Attempt, answered: Answered, now: float) -> None:
    """Raises Failed for what was not as expected."""
    allowed = service.status or (range(200, 400) if service.kind == "http" else (0,))
    ends = attempt.certificate_ends
    checks = [
        (service.kind != "tcp" and answered.status not in allowed, f"status is {answered.status}"),
        (service.kind == "dns" and answered.answers < service.answers_min, f"{answered.answers} answers"),
        (service.body_contains.encode() not in answered.body, "the body does not hold the expected text"),
        (service.within is not None and attempt.total_seconds > service.within, "took longer than expected"),
        (
            ends is not None and _days_left(ends, now) < service.certificate_days_min,
            "the certificate ends soon",
        ),
    ]
    wrong = [why for failed, why in checks if failed]
    if wrong:
        raise Failed("expectation", "; ".join(wrong))


def _told(service: Service, answered: Answered) -> dict[str, FieldValue]:
    if service.kind == "http":
        return {"status": answered.status, "body_bytes": len(answered.body)}
    return {"status": answered.status, "answers": answered.answers} if service.kind == "dns" else {}


def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _days_left(ends: float, now: float) -> float:
    return (ends - now) / SECONDS_A_DAY


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        plain = text.isascii() and text.isprintable() and " " not in text
        return (
            plain
            and url.scheme in ("http", "https")
            and bool(url.hostname)
            and not url.username
            and url.port != 0
        )
    except ValueError:
        return False
