"""One page by one family, and only that one: bounded GET over a socket that this module connects itself."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from typing import NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

from agent.network.icmp import Family
from config.units import Bytes, Seconds

USER_AGENT = "xiaotong-agent (IPv6 readiness check)"
_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = {301, 302, 303, 307, 308}
_CHUNK_BYTES = 16 * 1024


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a look at a site goes."""

    timeout: Seconds = Seconds(5)
    """How long one page may take, redirects not counted in."""
    max_bytes: Bytes = Bytes(512 * 1024)
    """Of a page; what is beyond is not read."""
    redirects: int = 3
    """Redirects that are followed."""
    links: int = 8
    """Second- and third-level links that are tried of each site."""
    pause: Seconds = Seconds(0.2)
    """Between two pages of one site."""
    total: Seconds = Seconds(25)
    """All sites together; those that were not reached by then are unknown."""
    certificate_days: float = 14.0
    """A certificate that ends within so many days is told of."""

    def __post_init__(self) -> None:
        if not (0 <= self.redirects <= 10 and 0 <= self.links <= 100):
            raise ValueError("redirects is from 0 to 10, links from 0 to 100")
        if not 0 <= self.certificate_days <= 366:
            raise ValueError("certificate_days is from 0 to 366")
        if not (0.1 <= self.timeout <= 60 and 1 <= self.total <= 600 and 1024 <= self.max_bytes <= 2**24):
            raise ValueError(
                "timeout is from 100ms to 60s, total from 1s to 10min, max_bytes from 1KiB to 16MiB"
            )


class NotFetched(Exception):
    """No page: the text says why."""


class NoAddress(NotFetched):
    """The name has no address of the family."""


class NotAllowed(NotFetched):
    """Refused by this agent itself: an inside address, another scheme, or too many redirects."""


class Page(msgspec.Struct, frozen=True):
    """What came by one family. Times in seconds; ``certificate_until`` is the Unix time when it expires."""

    url: str
    address: str
    status: int
    body: bytes
    connect_seconds: float
    first_byte_seconds: float
    redirects: int = 0
    certificate_until: float | None = None


class _Connected(NamedTuple):
    sock: socket.socket
    address: str
    seconds: float


def fetch(url: str, family: Family, bounds: Bounds, *, inside: bool = False) -> Page:
    """GET ``url`` over ``family``, following a few redirects. Raises NotFetched.

    ``inside`` allows addresses that are not of the Internet; without it each address is checked as it is
    connected to, so that no name and no redirect leads into a school's own network.
    """
    for count in range(bounds.redirects + 1):
        page, target = _once(url, family, bounds, inside=inside)
        if target is None:
            return msgspec.structs.replace(page, redirects=count)
        url = urljoin(url, target)
    raise NotAllowed(f"more than {bounds.redirects} redirects")


def _once(url: str, family: Family, bounds: Bounds, *, inside: bool) -> tuple[Page, str | None]:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise NotAllowed(f"{parts.scheme or 'no'} scheme; http and https are allowed")
    end = time.monotonic() + bounds.timeout
    try:
        connected = _connect(parts, family, bounds, inside=inside)
        with connected.sock:
            return _exchange(parts, url, connected, bounds, end)
    except NotFetched:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotFetched(_why(error)) from None


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)[:120]


def _connect(parts: SplitResult, family: Family, bounds: Bounds, *, inside: bool) -> _Connected:
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(host, port, _FAMILIES[family], socket.SOCK_STREAM)
    except socket.gaierror:
        raise NoAddress(f"no address of {family}") from None
    where = found[0][4]
    address = ipaddress.ip_address(str(where[0]).partition("%")[0])
    if not inside and not address.is_global:
        raise NotAllowed(f"{address} is an inside address")
    sock = socket.socket(_FAMILIES[family], socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(float(bounds.timeout))
        begun = time.monotonic()
        sock.connect(where)
        return _Connected(sock, str(address), time.monotonic() - begun)
    except BaseException:
        sock.close()
        raise


def _exchange(
    parts: SplitResult, url: str, connected: _Connected, bounds: Bounds, end: float
) -> tuple[Page, str | None]:
    sock, until = connected.sock, None
    if parts.scheme == "https":
        sock = ssl.create_default_context().wrap_socket(connected.sock, server_hostname=parts.hostname)
        certificate = sock.getpeercert() or {}
        until = ssl.cert_time_to_seconds(str(certificate["notAfter"])) if "notAfter" in certificate else None
    client = http.client.HTTPConnection(parts.netloc)
    client.sock = sock
    begun = time.monotonic()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    client.request("GET", path, headers={"User-Agent": USER_AGENT, "Connection": "close"})
    with client.getresponse() as answer:
        first = time.monotonic() - begun
        target = answer.headers.get("Location") if answer.status in _REDIRECTS else None
        body = b"" if target else _read(answer, bounds.max_bytes, end)
        page = Page(
            url, connected.address, answer.status, body, connected.seconds, first, certificate_until=until
        )
    return page, target


def _read(answer: http.client.HTTPResponse, most: int, end: float) -> bytes:
    body = bytearray()
    while len(body) < most:
        if time.monotonic() > end:
            raise TimeoutError
        piece = answer.read1(min(_CHUNK_BYTES, most - len(body)))
        if not piece:
            break
        body += piece
    return bytes(body)
