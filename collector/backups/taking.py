"""Taking a backup while the collector runs.

The order keeps what is acknowledged: a batch is in the journal until the store has it, so the journal is
copied before the store, and the journal's own notes before its segments. What is in both comes once: points
are idempotent.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

import collector
from collector.backups.manifest import FORMAT, MANIFEST, BackupError, Manifest, entry_of, files_in
from collector.settings import CollectorSettings

JOURNAL = "journal"
_BESIDE_DATABASES = ("-wal", "-shm", "-journal")
_MAGIC = b"SQLite format 3\0"
_BUSY_SECONDS = 30.0


def take(settings: CollectorSettings, settings_file: Path, target: Path) -> Manifest:
    """Copy what the collector keeps into the new folder ``target``. Raises BackupError.

    The folder appears under its name only when all of it is there and on disk.
    """
    if target.exists():
        raise BackupError(f"{target}: exists already")
    if not settings.data.is_dir():
        raise BackupError(f"data_directory {settings.data}: is not there")
    unfinished = target.with_name(f".{target.name}.unfinished")
    began = datetime.now(UTC)
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        (unfinished / "data").mkdir(parents=True, mode=0o700)
        unfinished.chmod(0o700)
        _copy_data(settings.data, unfinished / "data")
        _copy_file(settings_file, unfinished / "collector.yaml")
        manifest = _listed(settings, unfinished, began)
        _sync(unfinished)
        unfinished.rename(target)
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise BackupError(f"{target}: cannot be written: {error}") from None
    return manifest


def elsewhere(settings: CollectorSettings) -> Iterator[str]:
    """What a backup of these settings does not hold."""
    if not settings.registry_url.startswith("sqlite"):
        yield "registry: PostgreSQL"
    if settings.store.engine == "influxdb":
        yield "points: InfluxDB"


def _copy_data(data: Path, target: Path) -> None:
    _copy_journal(data / JOURNAL, target / JOURNAL)
    for name, file in files_in(data):
        if name.startswith(f"{JOURNAL}/") or name.endswith(_BESIDE_DATABASES):
            continue
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):  # it came and went
            if _is_database(file):
                _copy_database(file, copy)
            else:
                _copy_file(file, copy)


def _copy_journal(journal: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    if not journal.is_dir():
        return
    notes_first = sorted(journal.iterdir(), key=lambda file: (file.suffix == ".journal", file.name))
    for file in notes_first:
        with contextlib.suppress(FileNotFoundError):  # taken whole meanwhile: the store has it
            if file.is_file():
                _copy_file(file, target / file.name)


def _is_database(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_MAGIC)) == _MAGIC


def _copy_database(file: Path, copy: Path) -> None:
    """A consistent copy in one step, which writers do not wait for, and a look whether it is whole."""
    copy.touch(mode=0o600)
    with (
        contextlib.closing(
            sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
        ) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        check_database(target, copy)


def check_database(connection: sqlite3.Connection, file: Path) -> None:
    """Raises BackupError for a database that is damaged."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise BackupError(f"{file}: is damaged: {found[0]}")


def _copy_file(file: Path, copy: Path) -> None:
    with file.open("rb") as source, _new_private(copy) as target:
        shutil.copyfileobj(source, target)


def _new_private(file: Path) -> BinaryIO:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _listed(settings: CollectorSettings, folder: Path, began: datetime) -> Manifest:
    manifest = Manifest(
        format=FORMAT,
        version=collector.__version__,
        began_at=began.isoformat(timespec="milliseconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        files={name: entry_of(file) for name, file in files_in(folder)},
        elsewhere=list(elsewhere(settings)),
    )
    with _new_private(folder / MANIFEST) as opened:
        opened.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def _sync(folder: Path) -> None:
    for file in (*(path for _, path in files_in(folder)), folder / MANIFEST):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
