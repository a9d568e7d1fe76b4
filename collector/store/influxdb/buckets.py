"""The buckets that one InfluxDB needs, and making them where they are missing."""

from __future__ import annotations

from collections.abc import Mapping

import urllib3
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.rest import ApiException

from collector.store.influxdb.connection import Connection, literal, name
from collector.store.interface import WINDOW_SECONDS, StoreUnavailable
from collector.store.upkeep import Retention

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
    """Make what is missing; what is there is left as it is. Raises StoreUnavailable, in words.

    A server that tells neither 1.x nor 2.x is taken to have them.
    """
    version = connection.version()
    if is_first_version(version):
        for bucket, kept in buckets.kept_seconds.items():
            connection.query("", f"CREATE DATABASE {name(bucket)} WITH DURATION {kept}s NAME {name('kept')}")
    elif is_second_version(version):
        _make_second(connection, buckets, org)


def missing_buckets(connection: Connection, buckets: Buckets) -> list[str]:
    """Names of the buckets that cannot be read. Raises StoreUnavailable."""
    found = {row[0] for table in connection.query("", "SHOW DATABASES") for row in table.rows}
    return [bucket for bucket in buckets.kept_seconds if bucket not in found]


def _make_second(connection: Connection, buckets: Buckets, org: str) -> None:
    api = connection.client.buckets_api()
    try:
        for bucket, kept in buckets.kept_seconds.items():
            if api.find_bucket_by_name(bucket) is None:
                rule = BucketRetentionRules(type="expire", every_seconds=kept)  # type: ignore[no-untyped-call]
                api.create_bucket(bucket_name=bucket, retention_rules=rule, org=org)
    except ApiException as error:
        raise StoreUnavailable(
            f"bucket {literal(bucket)} is missing and cannot be made (status {error.status}): "
            f"give the token the right to make buckets, or make it with a retention of {kept} s"
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise StoreUnavailable(f"{error}") from None
