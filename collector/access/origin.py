"""Where a request comes from: which site's page made it, which address, whether this very host.

A browser says with every POST which site's page made it: ``Sec-Fetch-Site`` (W3C Fetch Metadata) or
``Origin`` (RFC 6454). Programs say neither, and carry no cookie that another site could use.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import Request

FORWARDED = frozenset({"forwarded", "via", "true-client-ip", "cf-connecting-ip", "x-real-ip", "x-client-ip"})
"""What proxies add, besides ``X-Forwarded-…``."""


def comes_from_elsewhere(request: Request, *, silent: bool = False) -> bool:
    """True for a request that a page of another site made the browser send.

    ``silent`` is the answer for a request that says nothing of its site.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    if origin is None:
        return silent
    return origin.lower().partition("://")[2] != request.headers.get("host", "").lower()


def is_on_this_host(request: Request) -> bool:
    """True for a connection from loopback that no proxy passed on and that names loopback as its host.

    The name matters: a name of another site that resolves to loopback (DNS rebinding) is not this host.
    """
    if request.client is None or _is_passed_on(request):
        return False
    named = _host(request.headers.get("host", ""))
    return is_loopback(request.client.host) and (named == "localhost" or is_loopback(named))


def _is_passed_on(request: Request) -> bool:
    return any(name in FORWARDED or name.startswith("x-forwarded-") for name in request.headers)


def client_address(request: Request, proxies: Collection[str]) -> str:
    """The address of whoever asks; what trusted ``proxies`` say goes before the connection's own.

    The last entry of X-Forwarded-For that is no trusted proxy: earlier ones are only claimed.
    """
    address = request.client.host if request.client else ""
    if address not in proxies:
        return address
    for entry in reversed(request.headers.get("x-forwarded-for", "").split(",")):
        address = entry.strip()
        if address not in proxies:
            break
    return address if is_address(address) else ""


def is_secure(request: Request, proxies: Collection[str]) -> bool:
    """True where the reader's own connection is TLS."""
    peer = request.client.host if request.client else ""
    if peer in proxies and "x-forwarded-proto" in request.headers:
        return request.headers["x-forwarded-proto"].strip().lower() == "https"
    return request.url.scheme == "https"


def is_loopback(text: str) -> bool:
    """True for an address of loopback, ``127.0.0.1`` or ``::1``."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def is_address(text: str) -> bool:
    """True for an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host(authority: str) -> str:
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""
