"""The one HTTP client of all channels: no redirects, no repeats, addresses checked, answers bounded."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import msgspec
import urllib3

from collector.messages.channels import Failure, NotDelivered
from collector.messages.settings import ChannelSettings

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_USER_AGENT = "xiaotong-collector"
_CHUNK = 4096


class Answer(NamedTuple):
    """What was answered: status, Retry-After in seconds if any, the body's JSON object ({} without one)."""

    status: int
    wait_seconds: float | None
    json: Mapping[str, Any]


class AddressRefused(OSError):
    """A name led to an address inside, which the settings do not allow."""


class Web:
    """Posts JSON. Safe to share between threads."""

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings
        self._inside = tuple(ipaddress.ip_network(each) for each in settings.inside_networks)

    def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Post ``body``. Raises NotDelivered when no answer came; the text names only scheme and host."""
        where = place_of(url)
        deadline = time.monotonic() + 3 * self._settings.timeout
        try:
            with self._pool(url) as pool:
                answer = pool.request(
                    "POST", url, body=body, redirect=False, retries=False, preload_content=False,
                    headers={
                        "Content-Type": "application/json; charset=utf-8", "User-Agent": _USER_AGENT,
                        **(headers or {}),
                    },
                )  # fmt: skip
                with contextlib.closing(answer):
                    return self._read(answer, deadline)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise NotDelivered(Failure.UNREACHABLE, f"{where}: {_why(error)}") from None

    def _read(self, answer: urllib3.BaseHTTPResponse, deadline: float) -> Answer:
        body = b""
        while len(body) < self._settings.max_answer and time.monotonic() < deadline:
            chunk = answer.read(_CHUNK)
            if not chunk:
                break
            body += chunk
        return Answer(answer.status, _seconds(answer.headers.get("Retry-After", "")), _object(body))

    def _pool(self, url: str) -> urllib3.PoolManager:
        settings = self._settings
        options: dict[str, Any] = {
            "timeout": urllib3.Timeout(connect=settings.timeout, read=settings.timeout),
            "ca_certs": settings.ca_file or None,
        }
        if settings.proxy:
            return urllib3.ProxyManager(settings.proxy, **options)
        pool = urllib3.PoolManager(**options)
        if not _is_address(urlsplit(url).hostname or ""):
            pool.pool_classes_by_scheme = _checking_pools(self._inside)
        return pool


def place_of(url: str) -> str:
    """Scheme, host and port of a URL: all that may be told of one that holds a secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}"


def checked_url(url: str) -> str:
    """The URL, if it is http(s) with a host and no user. Raises ValueError without showing it."""
    try:
        parts = urlsplit(url)
        well = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well = False
    if not well or parts.username is not None or any(ord(each) <= 32 for each in url):
        raise ValueError("holds no http:// or https:// address with a host and no user")
    return url


def _checking_pools(inside: Iterable[Network]) -> dict[str, Any]:
    """Pools whose connections check the address that they are connected to, whatever the name said before."""

    def check(sock: socket.socket) -> socket.socket:
        peer = ipaddress.ip_address(str(sock.getpeername()[0]).partition("%")[0])
        mapped = getattr(peer, "ipv4_mapped", None)
        address = mapped or peer
        if address.is_global and not address.is_multicast:
            return sock
        if any(address in network for network in inside if network.version == address.version):
            return sock
        sock.close()
        raise AddressRefused(
            f"the name leads to {address}, which is not of the public internet; "
            "channels.inside_networks may allow it"
        )

    class Http(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return check(super()._new_conn())

    class Https(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return check(super()._new_conn())

    class HttpPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Https

    return {"http": HttpPool, "https": HttpsPool}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def _why(error: Exception) -> str:
    """What went wrong, without the URL that urllib3 puts into its texts."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, AddressRefused):
            return str(inner)
        inner = getattr(inner, "reason", None) or inner.__context__ if inner is not None else None
        if not isinstance(inner, BaseException):
            break
    reason = getattr(error, "strerror", None)
    return reason or type(error).__name__
