"""Which hosts a county's configuration names, and whether the local file lets it. Pure.

A name is allowed by its name, whatever it resolves to; an address by its network.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

ANY = "*"
SPECIAL = frozenset({"default-gateway", "collector"})
"""What ``ping`` calls the next hop and the county's node: always allowed."""
_LISTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "ping": {"targets": ("host",)},
    "snmp": {"devices": ("host",)},
    "service": {"services": ("url", "host")},
    "ipv6_checks": {"targets": ("host", "ipv4", "ipv6"), "platforms": ("url",), "resolvers": ("",)},
}
"""Probe → its lists → the keys of an item that name a host; empty: the item itself does."""
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?", re.I)


def hosts_in(probes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key that names a host, and that host; what is no text is left to the types to refuse."""
    for probe, lists in _LISTS.items():
        settings = probes.get(probe)
        for name, keys in lists.items() if isinstance(settings, dict) else ():
            items = settings.get(name) if isinstance(settings, dict) else None
            for number, item in enumerate(items if isinstance(items, list | tuple) else ()):
                yield from _hosts_of(item, keys, f"probes.{probe}.{name}[{number}]")


def refused(probes: Mapping[str, Any], allowed: Iterable[str], local: Mapping[str, Any]) -> Iterator[str]:
    """One line for each host that is neither among ``allowed`` nor named by the local file's own probes."""
    entries = tuple(allowed)
    known = {host for _, host in hosts_in(local)} | SPECIAL
    for key, host in hosts_in(probes):
        if host not in known and not is_allowed(host, entries):
            yield f"key {key}: {host[:80]!r} is not among central.addresses of the local file"


def is_allowed(host: str, entries: Iterable[str]) -> bool:
    """True when an entry holds the host."""
    address = _address(host)
    return any(entry == ANY or _holds(entry, host, address) for entry in entries)


def is_entry(text: str) -> bool:
    """True for a network, an address, a name, «*.name» or «*»."""
    return text == ANY or _network(text) is not None or bool(_NAME.fullmatch(text) and not _is_numeric(text))


def _hosts_of(item: object, keys: tuple[str, ...], path: str) -> Iterator[tuple[str, str]]:
    for key in keys:
        value = item if not key else item.get(key) if isinstance(item, dict) else None
        if isinstance(value, str) and value:
            host = _host_of_url(value) if key == "url" else value
            yield f"{path}.{key}".removesuffix("."), host.lower().rstrip(".")


def _host_of_url(url: str) -> str:
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _holds(entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    network = _network(entry)
    if address is not None or network is not None:
        return address is not None and network is not None and address in network
    name = entry.lower().rstrip(".")
    if _is_numeric(host) or not _NAME.fullmatch(host):
        return False
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _is_numeric(host: str) -> bool:
    """«2130706433», «0x7f.1»: the system takes such names for addresses (inet_aton)."""
    return all(re.fullmatch(r"0x[0-9a-f]*|[0-9]+", part, re.I) for part in host.rstrip(".").split("."))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
