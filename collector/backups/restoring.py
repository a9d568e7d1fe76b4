"""Bringing a backup back: checked, copied beside, opened, and only then put in place."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from collector.backups.manifest import BackupError, Manifest, files_in, verify
from collector.backups.taking import check_database
from collector.registry.database import RegistryError, open_engine
from collector.settings import CollectorSettings, Listen


class Restored(NamedTuple):
    """What was brought back, and where what stood there before is now."""

    manifest: Manifest
    before: Path | None


def restore(settings: CollectorSettings, backup: Path, *, replace: bool) -> Restored:
    """Bring ``backup`` back into the data directory of ``settings``. Raises BackupError.

    Refused over data that is there, unless ``replace``: then that is moved aside, never deleted.
    """
    data = settings.data
    manifest = verify(backup)
    if _is_served(settings.listen):
        raise BackupError(f"a collector answers at port {settings.listen.port}: stop it first")
    occupied = data.exists() and any(data.iterdir())
    if occupied and not replace:
        raise BackupError(f"data_directory {data}: holds data; --replace moves it aside")
    fresh = data.with_name(f".{data.name}.restored")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(backup / "data", fresh)
        fresh.chmod(0o700)
        _open_all(fresh)
        before = _move_aside(data) if occupied else None
        if data.exists():
            data.rmdir()
        fresh.rename(data)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{data}: cannot be restored: {error}") from None
    return Restored(manifest, before)


def _is_served(settings: Listen) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    if settings.port == 0:
        return False
    with contextlib.suppress(OSError), socket.create_connection((host, settings.port), 2):
        return True
    return False


def _open_all(folder: Path) -> None:
    """Open what was copied: every database whole, the registry brought up to this version's tables."""
    for _, file in files_in(folder):
        if file.suffix == ".db":
            with contextlib.closing(sqlite3.connect(file)) as connection:
                check_database(connection, file)
    registry = folder / "registry.db"
    if registry.exists():
        try:
            open_engine(f"sqlite:///{registry}").dispose()
        except RegistryError as error:
            raise BackupError(str(error)) from None


def _move_aside(data: Path) -> Path:
    before = data.with_name(f"{data.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    data.rename(before)
    return before
