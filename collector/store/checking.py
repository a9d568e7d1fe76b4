"""What is wrong with a store, in words for who set it up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from collector.settings import CollectorSettings
from collector.store.influxdb.buckets import Buckets, make_buckets, missing_buckets
from collector.store.influxdb.connection import Connection
from collector.store.interface import PointsRefused, StoreUnavailable
from collector.store.opening import influx_settings, influx_token, open_store, retention_of
from config.settings import SettingsError
from config.words import Language, message, translate

PROBE = "xiaotong_check"


class Finding(NamedTuple):
    """One line of a check; ``what`` is a key of the words below, ``detail`` the server's own words."""

    well: bool
    what: str
    detail: str = ""


WORDS = {
    "file": message("the file of points can be opened"),
    "no_file": message("the file of points cannot be opened"),
    "file_named": message("a file that the settings name cannot be used"),
    "address": message("the address answers"),
    "no_address": message(
        "nothing answers at the address: look at store.influxdb.url, the firewall and the certificate"
    ),
    "buckets": message("every bucket is there"),
    "no_buckets": message("a bucket is missing or cannot be made"),
    "token": message("the token may write"),
    "no_token": message(
        "the token is not accepted, or may not write: look at store.influxdb.token_file and org"
    ),
    "written": message("what is written can be read"),
    "not_written": message("what is written cannot be read"),
}


def check(settings: CollectorSettings) -> Iterator[Finding]:
    """Look at the store of the settings step by step; ends at the first thing that is wrong."""
    if settings.store.engine == "embedded":
        yield _embedded(settings)
        return
    try:
        token = influx_token(settings)
    except SettingsError as error:
        yield Finding(well=False, what="file_named", detail=str(error))
        return
    connection = Connection(influx_settings(settings), token)
    try:
        yield from _influxdb(connection, settings)
    finally:
        connection.close()


def words_of(finding: Finding, language: Language) -> str:
    """A finding as one line."""
    text = translate(WORDS[finding.what], language)
    return f"{text} ({finding.detail})" if finding.detail else text


def _embedded(settings: CollectorSettings) -> Finding:
    try:
        open_store(settings, "embedded").close()
    except StoreUnavailable as error:
        return Finding(well=False, what="no_file", detail=str(error))
    return Finding(well=True, what="file", detail=str(settings.data / "points.db"))


def _influxdb(connection: Connection, settings: CollectorSettings) -> Iterator[Finding]:
    influx = influx_settings(settings)
    buckets = Buckets(influx.bucket, retention_of(settings))
    try:
        version = connection.version()
    except StoreUnavailable as error:
        yield Finding(well=False, what=_what(error, "no_address"), detail=str(error))
        return
    yield Finding(well=True, what="address", detail=f"InfluxDB {version or '?'}")
    writes_only = settings.store.engine == "influxdb3"
    if not writes_only:
        found = _buckets(connection, buckets, influx.org)
        yield found
        if not found.well:
            return
    found = _write(connection, buckets.raw)
    yield found
    if found.well and not writes_only:
        yield _read(connection, buckets.raw)


def _buckets(connection: Connection, buckets: Buckets, org: str) -> Finding:
    try:
        make_buckets(connection, buckets, org)
        missing = missing_buckets(connection, buckets)
    except StoreUnavailable as error:
        return Finding(well=False, what=_what(error, "no_buckets"), detail=str(error))
    return Finding(well=not missing, what="no_buckets" if missing else "buckets", detail=", ".join(missing))


def _what(error: StoreUnavailable, otherwise: str) -> str:
    """A token that is refused is that, wherever it shows."""
    return "no_token" if "answers 401" in str(error) or "answers 403" in str(error) else otherwise


def _write(connection: Connection, bucket: str) -> Finding:
    try:
        connection.write(bucket, [f"{PROBE} x=1i {time.time_ns()}"])
    except (StoreUnavailable, PointsRefused) as error:
        return Finding(well=False, what="no_token", detail=str(error))
    return Finding(well=True, what="token")


def _read(connection: Connection, bucket: str) -> Finding:
    try:
        well = bool(connection.query(bucket, f"SELECT x FROM {PROBE} ORDER BY time DESC LIMIT 1"))  # noqa: S608
        connection.query(bucket, f"DELETE FROM {PROBE}")  # noqa: S608 (DROP takes an administrator of 1.x)
    except StoreUnavailable as error:
        return Finding(well=False, what="not_written", detail=str(error))
    return Finding(well=well, what="written" if well else "not_written")
