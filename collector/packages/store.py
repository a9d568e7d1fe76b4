"""The store of packages: a bounded folder of signed files. Their own heads say what they are.

There is no list beside it that could say otherwise: a file that is copied in is in the store, and one whose
signature is not by a trusted key is not.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from collector.packages.keys import trusted_keys
from collector.settings import CollectorSettings
from config.disk import sync_directory
from config.packages import (
    ANY_MACHINE,
    SUFFIX,
    Manifest,
    PackageError,
    Reads,
    Writes,
    order_of,
    read_head,
    unpack,
    verified,
)
from config.settings import SettingsError

MAX_PACKAGES = 200
"""So many files are looked at."""


class Package(msgspec.Struct, frozen=True):
    """One package of the store. ``whole``: it brings its libraries."""

    file: str
    version: str
    machine: str
    python: str
    whole: bool
    bytes: int


class PackageStore:
    """The packages of this collector. Keeps nothing in memory: another process may add and remove."""

    def __init__(self, settings: CollectorSettings) -> None:
        self._settings = settings
        self.directory = Path(settings.packages.directory or settings.data / "packages")

    def packages(self) -> list[Package]:
        """Every package that a trusted key signed, the newest version first. Raises SettingsError."""
        keys = trusted_keys(self._settings)
        found = []
        for file in sorted(self.directory.glob(f"*{SUFFIX}"))[:MAX_PACKAGES]:
            with contextlib.suppress(OSError, PackageError), file.open("rb") as stream:
                manifest = verified(read_head(stream), keys)
                if manifest.file_name == file.name:
                    found.append(_package(manifest, file.stat().st_size))
        return sorted(found, key=lambda each: (order_of(each.version), each.file), reverse=True)

    def versions(self) -> frozenset[str]:
        """The versions that there are."""
        return frozenset(each.version for each in self.packages())

    def fitting(self, version: str, machine: str, python: str, *, whole: bool) -> Path | None:
        """The package of a version for such a machine, the one with its libraries where ``whole``."""
        for each in self.packages():
            fits = each.python == python and each.machine in (machine, ANY_MACHINE)
            if fits and each.version == version and each.whole == whole:
                return self.directory / each.file
        return None

    def add(self, source: Reads) -> Package:
        """Check every byte of a package, then keep it. The same again changes nothing. Raises SettingsError.

        It is on disk under its name when this returns, or not at all.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            half = self.directory / ".half"
            with _alone(self.directory):
                manifest = self._copied(source, half)
                target = self.directory / manifest.file_name
                self._refuse_another(half, target)
                self._refuse_too_much(half, target)
                half.replace(target)
                sync_directory(self.directory)
        except PackageError as error:
            half.unlink(missing_ok=True)
            raise SettingsError(f"the package: {error}") from None
        except OSError as error:
            raise SettingsError(f"{self.directory}: cannot be written: {error.strerror}") from None
        return _package(manifest, target.stat().st_size)

    def remove(self, file: str) -> None:
        """Delete one by its file's name. Raises SettingsError for one that is not there."""
        known = {each.name for each in self.directory.glob(f"*{SUFFIX}")}
        if file not in known:
            raise SettingsError(f"{file}: is not in the store")
        (self.directory / file).unlink(missing_ok=True)

    def _copied(self, source: Reads, half: Path) -> Manifest:
        """Copy a package while its files are checked against its manifest."""
        most = int(self._settings.packages.max_bytes)
        with _new(half) as target:
            copying = _Copying(source, target, most)
            head = read_head(copying)
            manifest = verified(head, trusted_keys(self._settings))
            unpack(copying, manifest, lambda _name: contextlib.nullcontext(_Nowhere()))
            target.flush()
            os.fsync(target.fileno())
        return manifest

    def _refuse_another(self, half: Path, target: Path) -> None:
        """A version is one thing for good: agents that have it would never hear of another."""
        if target.exists() and _digest(target) != _digest(half):
            raise PackageError(f"{target.name} is there already with other contents; give it another version")

    def _refuse_too_much(self, half: Path, target: Path) -> None:
        files = [file for file in self.directory.glob(f"*{SUFFIX}") if file != target]
        most = int(self._settings.packages.max_bytes)
        if len(files) >= MAX_PACKAGES:
            raise PackageError(f"is one too many: {MAX_PACKAGES} are allowed; remove one")
        if sum(file.stat().st_size for file in files) + half.stat().st_size > most:
            raise PackageError(f"has no room: packages.max_bytes allows {most} bytes in all; remove one")


class _Copying:
    """Reads a stream, and writes what was read; of at most so many bytes."""

    def __init__(self, source: Reads, target: Writes, most: int) -> None:
        self._source, self._target, self._left = source, target, most

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise PackageError("is larger than all packages together may be (packages.max_bytes)")
        self._target.write(piece)
        return piece


class _Nowhere:
    """Takes what is only looked at."""

    def write(self, piece: bytes) -> int:
        return len(piece)


def _package(manifest: Manifest, size: int) -> Package:
    whole = not manifest.libraries
    return Package(manifest.file_name, manifest.version, manifest.machine, manifest.python, whole, size)


def _new(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One addition at a time, so that a half one is overwritten by the next and never stays beside it."""
    with (directory / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
