"""Opens the store that the settings name."""

from __future__ import annotations

import ssl
from pathlib import Path

from collector.registry import Registry
from collector.settings import CollectorSettings, InfluxSettings
from collector.store.copying import CopyingStore
from collector.store.embedded import EmbeddedStore
from collector.store.influxdb.secret import Secret, read_secret
from collector.store.interface import Store
from collector.store.upkeep import Retention
from config.settings import SettingsError


def open_store(
    settings: CollectorSettings, engine: str | None = None, registry: Registry | None = None
) -> Store:
    """The store of ``engine``, else of store.engine. Collectors that share a registry share an InfluxDB.

    Raises SettingsError, StoreUnavailable.
    """
    engine = engine or settings.store.engine
    if engine == "influxdb":
        from collector.store.influxdb.store import InfluxStore  # noqa: PLC0415 (30 MB of client)
        from collector.store.influxdb.turns import Turns  # noqa: PLC0415

        return InfluxStore(
            influx_settings(settings),
            influx_token(settings),
            settings.data / "windows.db",
            retention=retention_of(settings),
            day_offset_seconds=settings.store.day_offset,
            turns=Turns(registry),
        )
    embedded = EmbeddedStore(
        settings.data / "points.db",
        retention=retention_of(settings),
        day_offset_seconds=settings.store.day_offset,
    )
    if engine == "influxdb3":
        from collector.store.influxdb.connection import Connection  # noqa: PLC0415

        influx = influx_settings(settings)
        return CopyingStore(embedded, Connection(influx, influx_token(settings)), influx.bucket)
    return embedded


def retention_of(settings: CollectorSettings) -> Retention:
    """How long the settings keep what."""
    kept = settings.store
    return Retention(kept.raw, kept.five_minutes, kept.hourly, kept.daily)


def influx_settings(settings: CollectorSettings) -> InfluxSettings:
    """The InfluxDB of the settings. Raises SettingsError: there is none, or no certificates in its file."""
    influx = settings.store.influxdb
    if influx is None:
        raise SettingsError("key store.influxdb: is missing; it needs url")
    try:
        if influx.ca_file:
            ssl.create_default_context(cafile=influx.ca_file)
    except OSError as error:
        reason = f"{influx.ca_file} holds no certificates that can be read: {error.strerror}"
        raise SettingsError(f"key store.influxdb.ca_file: {reason}") from None
    return influx


def influx_token(settings: CollectorSettings) -> Secret:
    """Its token; empty without a file. Raises SettingsError, which never holds the token."""
    file = influx_settings(settings).token_file
    try:
        return read_secret(Path(file)) if file else Secret()
    except ValueError as error:
        raise SettingsError(f"key store.influxdb.token_file: {error}") from None
