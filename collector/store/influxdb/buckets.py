"""The buckets that one InfluxDB needs, and making them where they are missing."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import urllib3
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.rest import ApiException

from collector.store.influxdb.connection import Connection, literal, name
from collector.store.interface import WINDOW_SECONDS, StoreUnavailable
from collector.store.upkeep import Retention

log = logging.getLogger(__name__)

OURS = "kept"
"""The retention policy (1.x) or the description (2.x) of what we made: another's own is left as it is."""
_SUFFIXES = {300: "_5m", 3600: "_1h", 86400: "_1d"}


class Buckets:
    """Names of the buckets by what is in them; each has the retention of its kind."""

    def __init__(self, base: str, retention: Retention) -> None:
        self.raw = base
        self.others = f"{base}_others"
        self.windows = {seconds: base + _SUFFIXES[seconds] for seconds in WINDOW_SECONDS}
        self.kept_seconds: Mapping[str, int] = {
            self.raw: round(retention.raw),
            self.others: round(retention.raw),
            **{
                self.windows[seconds]: round(kept)
                for seconds, kept in zip(WINDOW_SECONDS, retention[1:], strict=True)
            },
        }


def is_first_version(version: str) -> bool:
    """True for InfluxDB 1.x."""
    return version.startswith("1.")


def is_second_version(version: str) -> bool:
    """True for InfluxDB 2.x."""
    return version.removeprefix("v").startswith("2.")


def make_buckets(connection: Connection, buckets: Buckets, org: str) -> None:
    """Make what is missing; what we made before keeps what the settings say now, what somebody else made is
    left as it is. Raises StoreUnavailable, in words.

    A server that tells neither 1.x nor 2.x is taken to have them.
    """
    version = connection.version()
    if is_first_version(version):
        _make_first(connection, buckets)
    elif is_second_version(version):
        _make_second(connection, buckets, org)


def missing_buckets(connection: Connection, buckets: Buckets) -> list[str]:
    """Names of the buckets that cannot be read. Raises StoreUnavailable."""
    found = {row[0] for row in _rows(connection, "SHOW DATABASES")}
    return [bucket for bucket in buckets.kept_seconds if bucket not in found]


def _make_first(connection: Connection, buckets: Buckets) -> None:
    """Only what is missing is made: that takes an administrator, writing does not."""
    missing = missing_buckets(connection, buckets)
    for bucket, kept in buckets.kept_seconds.items():
        if bucket in missing:
            connection.query("", f"CREATE DATABASE {name(bucket)} WITH DURATION {kept}s NAME {name(OURS)}")
        elif _kept_first(connection, bucket) not in {None, kept}:
            text = f"ALTER RETENTION POLICY {name(OURS)} ON {name(bucket)} DURATION {kept}s SHARD DURATION 0s"
            try:
                connection.query("", text)
            except StoreUnavailable as error:
                _warn(bucket, kept, error)


def _kept_first(connection: Connection, bucket: str) -> int | None:
    """Seconds that a database of ours keeps points; None for another's."""
    policies = {row[0]: row[1] for row in _rows(connection, f"SHOW RETENTION POLICIES ON {name(bucket)}")}
    return _seconds_of(policies[OURS]) if OURS in policies else None


def _seconds_of(duration: str) -> int:
    """«168h0m0s» → 604800."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([hms])", duration))


_UNITS = {"h": 3600, "m": 60, "s": 1}


def _rows(connection: Connection, text: str) -> list[list[Any]]:
    return [row for table in connection.query("", text) for row in table.rows]


def _warn(bucket: str, kept: int, error: object) -> None:
    log.warning("bucket keeps its retention bucket=%s wanted_seconds=%d reason=%s", bucket, kept, error)


def _make_second(connection: Connection, buckets: Buckets, org: str) -> None:
    api = connection.client.buckets_api()
    try:
        for bucket, kept in buckets.kept_seconds.items():
            rule = BucketRetentionRules(type="expire", every_seconds=kept)  # type: ignore[no-untyped-call]
            found = api.find_bucket_by_name(bucket)
            if found is None:
                api.create_bucket(bucket_name=bucket, retention_rules=rule, org=org, description=OURS)
            elif found.description == OURS:
                _keep_second(api, found, rule)
    except ApiException as error:
        raise StoreUnavailable(
            f"bucket {literal(bucket)} is missing and cannot be made (status {error.status}): "
            f"give the token the right to make buckets, or make it with a retention of {kept} s"
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise StoreUnavailable(f"{error}") from None


def _keep_second(api: Any, bucket: Any, rule: Any) -> None:
    if [each.every_seconds for each in bucket.retention_rules] == [rule.every_seconds]:
        return
    bucket.retention_rules = [rule]
    try:
        api.update_bucket(bucket)
    except ApiException as error:
        _warn(bucket.name, rule.every_seconds, error.status)
