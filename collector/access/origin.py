"""Whether a request was made by a page of this collector, and whether it was made on this host.

A browser says with every POST which site's page made it: ``Sec-Fetch-Site`` (W3C Fetch Metadata) or
``Origin`` (RFC 6454). Programs say neither, and carry no cookie that another site could use.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""What proxies add."""


def comes_from_elsewhere(request: Request) -> bool:
    """True for a request that a page of another site made the browser send."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return (
        origin is not None and origin.lower().partition("://")[2] != request.headers.get("host", "").lower()
    )


def is_on_this_host(request: Request) -> bool:
    """True for a connection from loopback that no proxy passed on and that names loopback as its host.

    The name matters: a name of another site that resolves to loopback (DNS rebinding) is not this host.
    """
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    named = _host(request.headers.get("host", ""))
    return is_loopback(request.client.host) and (named == "localhost" or is_loopback(named))


def is_loopback(text: str) -> bool:
    """True for an address of loopback, ``127.0.0.1`` or ``::1``."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _host(authority: str) -> str:
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""
