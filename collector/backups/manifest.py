"""The list of what a backup holds, by which it is checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

MANIFEST = "manifest.json"
FORMAT = 1
_CHUNK_BYTES = 1024 * 1024


class BackupError(Exception):
    """What cannot be backed up or brought back, in one line."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds. All that was acknowledged before ``began_at`` (ISO 8601, UTC) is in it."""

    format: int
    version: str
    began_at: str
    ended_at: str
    files: dict[str, Entry]
    elsewhere: list[str]
    """What the collector keeps in servers of others, and is not in here: PostgreSQL, InfluxDB."""


def entry_of(file: Path) -> Entry:
    """Size and checksum of a file."""
    digest = hashlib.sha256()
    size = 0
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return Entry(size, digest.hexdigest())


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder but the manifest, by its name in the manifest."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and name != MANIFEST:
            yield name, path


def load_manifest(folder: Path) -> Manifest:
    """Read the list. Raises BackupError for a folder that is no backup of ours."""
    try:
        found = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        raise BackupError(f"{folder / MANIFEST}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise BackupError(f"{folder / MANIFEST}: is no list of a backup: {error}") from None
    if found.format != FORMAT:
        raise BackupError(f"{folder / MANIFEST}: format {found.format} is not known; allowed: {FORMAT}")
    for name in found.files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BackupError(f"{folder / MANIFEST}: {name!r} leads out of the backup")
    return found


def verify(folder: Path) -> Manifest:
    """Compare every file with the list. Raises BackupError for the first that is not as it was written."""
    listed = load_manifest(folder)
    there = dict(files_in(folder))
    for name, wanted in listed.files.items():
        if name not in there:
            raise BackupError(f"{folder / name}: is missing")
        if entry_of(there[name]) != wanted:
            raise BackupError(f"{folder / name}: is not as it was written")
    for name in there.keys() - listed.files.keys():
        raise BackupError(f"{folder / name}: is not in the list")
    return listed
