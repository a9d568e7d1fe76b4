"""What is wrong with this agent's machine and settings, step by step, changing nothing."""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import agent
from agent.network.routes import default_routes
from agent.settings import LoadedSettings
from agent.versions import FOLDER, PACKAGED, Failed, Versions
from config import diagnosis
from config.diagnosis import Finding
from config.words import message

CLOCK_LIMIT_SECONDS = 10.0


def examine(loaded: LoadedSettings) -> Iterator[Finding]:
    """Every finding, from this host outwards."""
    settings = loaded.settings
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("version", "well", f"xiaotong {agent.__version__}, Python {python}")
    yield from _stored_version(loaded)
    yield diagnosis.clock()
    yield diagnosis.disk(
        loaded.path(settings.state_directory), int(settings.spool.max_bytes + settings.spool.reserve)
    )
    yield privileges()
    yield _route(loaded)
    if settings.collector is None:
        advice = message("enrol with the county's code: xiaotong-agent enrol")
        yield Finding("credential", "unknown", "no collector is set: nothing leaves this host", advice)
        return
    yield diagnosis.private(loaded.path(settings.collector.token_file))
    yield diagnosis.dns(urlsplit(settings.collector.url).hostname or "")
    yield from _collector(loaded, settings.collector.url, settings.collector.ca_file)


def _stored_version(loaded: LoadedSettings) -> Iterator[Finding]:
    """Which version of the county's store runs in place of this one, and which was left."""
    try:
        (loaded.state_directory / FOLDER).stat()
    except FileNotFoundError:
        return
    except OSError as error:
        advice = message("run this as the service's user")
        yield Finding("version", "unknown", f"the county's versions: {error.strerror}", advice)
        return
    kept = Versions(loaded.state_directory, ()).read()
    if kept.running != PACKAGED:
        how = ", on trial" if kept.trial else ""
        detail = f"{kept.running} of the county's store runs{how}; {kept.packaged} is installed here"
        yield Finding("version", "well", detail)
    if kept.failed is not None:
        yield _left(kept.failed)


def _left(failed: Failed) -> Finding:
    detail = f"{failed.version} was left: {failed.reason}"
    if failed.again:
        advice = message("perhaps it was the line; it is tried once more while the county orders it")
        return Finding("version", "unknown", detail, advice)
    return Finding("version", "wrong", detail, message("the county was told; a new order tries it again"))


def privileges() -> Finding:
    """Whether this user may send pings. Source: icmp(7), net.ipv4.ping_group_range; capabilities(7)."""
    for kind, words in ((socket.SOCK_DGRAM, "datagram"), (socket.SOCK_RAW, "raw")):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except OSError:
            continue
        return Finding("privileges", "well", f"{words} sockets of ICMP are allowed")
    advice = message("open net.ipv4.ping_group_range, or give the service CAP_NET_RAW")
    return Finding("privileges", "wrong", "no socket of ICMP is allowed", advice)


def _route(loaded: LoadedSettings) -> Finding:
    routes = default_routes(loaded.site().proc)
    if not routes:
        advice = message("set a default route: without it nothing beyond this network is reached")
        return Finding("route", "wrong", "no default route", advice)
    return Finding("route", "well", ", ".join(sorted({f"default by {each.interface}" for each in routes})))


def _collector(loaded: LoadedSettings, url: str, ca_file: str | None) -> Iterator[Finding]:
    parts = urlsplit(url)
    where = f"{parts.hostname} port {parts.port or (443 if parts.scheme == 'https' else 80)}"
    try:
        context = ssl.create_default_context(cafile=str(loaded.path(ca_file)) if ca_file else None)
        if parts.scheme == "https":
            yield _certificate(parts.hostname or "", parts.port or 443, context)
        asked = diagnosis.ask(url, context)
    except ssl.SSLError as error:
        advice = message("renew the certificate, or name the county's in collector.ca_file")
        yield Finding("certificate", "wrong", f"{where}: {error.reason or error}", advice)
        return
    except (OSError, http.client.HTTPException) as error:
        advice = message("look at the route, the firewall and whether the collector runs")
        yield Finding("port", "wrong", f"{where}: {error}", advice)
        return
    if asked.name != "xiaotong":
        yield Finding("port", "wrong", f"{where}: no collector answers", message("look at collector.url"))
        return
    yield Finding("port", "well", f"{where}: a collector answers")
    yield _version(asked.version)
    yield diagnosis.clock_against(asked.date, datetime.now(UTC), CLOCK_LIMIT_SECONDS)


def _certificate(host: str, port: int, context: ssl.SSLContext) -> Finding:
    with (
        socket.create_connection((host, port), diagnosis.CONNECT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        ends = (secured.getpeercert() or {}).get("notAfter")
    if not isinstance(ends, str):
        return Finding("certificate", "unknown", f"{host}: says no end")
    at = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)
    return diagnosis.certificate_of(at, datetime.now(UTC), host)


def _version(collectors: str) -> Finding:
    detail = f"the collector's is {collectors}, this one's {agent.__version__}"
    if _minor(collectors) < _minor(agent.__version__):
        return Finding("version", "wrong", detail, message("upgrade the collector before its agents"))
    return Finding("version", "well", detail)


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
