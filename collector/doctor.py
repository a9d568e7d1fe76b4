"""What is wrong with this collector's machine and settings, step by step, changing nothing."""

from __future__ import annotations

import http.client
import os
import socket
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import collector
from collector.registry.database import RegistryError, schema_of
from collector.settings import CollectorSettings
from config import diagnosis
from config.diagnosis import Finding
from config.words import message


def examine(settings: CollectorSettings) -> Iterator[Finding]:
    """Every finding, the cheapest first."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("version", "well", f"xiaotong {collector.__version__}, Python {python}")
    yield diagnosis.clock()
    yield diagnosis.disk(settings.data, int(settings.journal.max_bytes + settings.journal.reserve_bytes))
    yield _privileges(settings.data)
    yield _port(settings)
    yield from _names(settings)
    if settings.listen.tls is not None:
        yield _certificate(Path(settings.listen.tls.certificate))
    yield _registry(settings.registry_url)
    yield from _store(settings)


def _privileges(data: Path) -> Finding:
    try:
        status = data.stat()
    except OSError as error:
        return Finding("privileges", "unknown", f"{data}: {error.strerror}; serve makes it")
    if stat.S_IMODE(status.st_mode) & 0o077:
        detail = f"{data}: mode {stat.S_IMODE(status.st_mode):04o}"
        return Finding("privileges", "wrong", detail, message("chmod 700 the data directory"))
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        advice = message("run this as the user that the service runs as")
        return Finding("privileges", "wrong", f"{data} belongs to user {status.st_uid}", advice)
    return Finding("privileges", "well", f"{data}: mode 0700, no capability is needed")


def _port(settings: CollectorSettings) -> Finding:
    listen = settings.listen
    where = f"{listen.host} port {listen.port}"
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.host, listen.port))
        except OSError as error:
            return _taken_port(settings, where, error)
    return Finding("port", "well", f"{where} is free: the collector does not run")


def _taken_port(settings: CollectorSettings, where: str, error: OSError) -> Finding:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.listen.host, settings.listen.host)  # noqa: S104
    try:
        asked = diagnosis.ask(f"http://{host}:{settings.listen.port}")
    except (OSError, http.client.HTTPException):
        if settings.listen.tls is not None:
            return Finding("port", "unknown", f"{where} is in use; over TLS it was not asked")
        asked = diagnosis.Asked(None, "", "")
    if asked.name == "xiaotong":
        return Finding("port", "well", f"{where}: a collector answers, version {asked.version}")
    advice = message("stop what uses the port, or set another in listen.port")
    return Finding("port", "wrong", f"{where}: {error.strerror}", advice)


def _names(settings: CollectorSettings) -> Iterator[Finding]:
    influx = settings.store.influxdb
    urls = [settings.public_url, influx.url if influx else ""]
    for host in dict.fromkeys(urlsplit(url).hostname for url in urls if url):
        if host:
            yield diagnosis.dns(host)


def _certificate(file: Path) -> Finding:
    from cryptography import x509  # noqa: PLC0415

    try:
        ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        return Finding("certificate", "wrong", f"{file}: {error}", message("name a PEM certificate"))
    return diagnosis.certificate_of(ends, datetime.now(UTC), str(file))


def _registry(url: str) -> Finding:
    try:
        schema = schema_of(url)
    except RegistryError as error:
        return Finding("registry", "wrong", str(error), message("look at registry.url and its server"))
    if schema.current is None:
        return Finding("registry", "unknown", "is not made yet; serve makes it")
    if schema.current != schema.newest:
        advice = message("run «xiaotong-collector upgrade»; serve does it by itself")
        return Finding("registry", "wrong", f"tables of {schema.current}, not {schema.newest}", advice)
    return Finding("registry", "well", f"tables of {schema.current}")


def _store(settings: CollectorSettings) -> Iterator[Finding]:
    from collector.store.checking import check, words_of  # noqa: PLC0415

    if settings.store.engine == "embedded" and not (settings.data / "points.db").exists():
        yield Finding("store", "unknown", "is not made yet; serve makes it")
        return
    for step in check(settings):
        advice = "" if step.well else message("see «xiaotong-collector store check»")
        yield Finding("store", "well" if step.well else "wrong", words_of(step, "en"), advice)
