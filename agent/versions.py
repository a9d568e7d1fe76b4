"""Versions of the agent that came from the county's store: their folders, which one runs, which is on trial.

They stand in the state directory beside the version that was installed here («packaged»), which is never
touched and is what is left when nothing else holds. The launcher of the packaged version and the upgrading
code of each later one share the state file: fields may be added to it, and none may change its meaning.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.disk import write_private
from config.disk import sync_directory
from config.packages import (
    ANY_MACHINE,
    Head,
    Manifest,
    PackageError,
    Reads,
    is_version,
    machine,
    order_of,
    python_minor,
    read_head,
    unpack,
    verified,
)

log = logging.getLogger(__name__)

FOLDER, STATE, HEAD, TREE, HALF = "versions", "state.json", "head", "tree", ".half"
NAME = "agent"
PACKAGED = ""
"""How the state names the version that was installed here, whichever it is."""
TRIES = 3
"""A version on trial that ends by itself is started so often in all: a kill by somebody is no fault of it."""
CRASHES = 5
"""One that was good and ends so often, each time before it ran as long as a trial, is good no more."""
MAX_REASON = 300
_MAX_STATE_BYTES = 64 * 1024
_BLOCK_BYTES = 4096


class LacksLibrary(PackageError):
    """A package counts on a library that is not installed: one that brings its own may run."""


class Trial(msgspec.Struct, frozen=True):
    """A version that the collector has not heard yet, since when (CLOCK_BOOTTIME of that boot). ``again``: by
    this order it was tried before.
    """

    version: str
    order: str
    boot_id: str = ""
    since_seconds: float = 0.0
    starts: int = 0
    again: bool = False


class Failed(msgspec.Struct, frozen=True):
    """A version that was given up, and not to be tried again by the same order unless it says ``again``."""

    version: str
    order: str
    reason: str
    again: bool = False


class Kept(msgspec.Struct, frozen=True):
    """The state file. ``starts`` counts those of the good version that did not last, in one boot."""

    format: int = 1
    packaged: str = ""
    good: str = PACKAGED
    order: str = ""
    previous: str = PACKAGED
    trial: Trial | None = None
    failed: Failed | None = None
    starts: int = 0
    boot_id: str = ""

    @property
    def running(self) -> str:
        """What a start of now would run."""
        return self.trial.version if self.trial else self.good

    @property
    def newest(self) -> str:
        """Of those that are here and were good. A signature has no end: who holds the county's store could
        else order an old version for the faults that it had.
        """
        return max(map(self.named, (PACKAGED, self.good, self.previous)), key=order_of)

    def named(self, version: str) -> str:
        """A version by its number, the packaged one too."""
        return version or self.packaged


def installed(kept: Kept, packaged: str) -> Kept:
    """What holds when this version is packaged here: of the store's, only newer ones are still wanted."""
    if kept.packaged == packaged:
        return kept

    def still(version: str) -> str:
        return version if version and order_of(version) > order_of(packaged) else PACKAGED

    trial = kept.trial if kept.trial and still(kept.trial.version) else None
    good = still(kept.good)
    return msgspec.structs.replace(
        kept, packaged=packaged, good=good, previous=still(kept.previous), trial=trial, starts=0,
        order=kept.order if good else "",
    )  # fmt: skip


def begun(kept: Kept, boot_id: str, now_seconds: float, limit_seconds: float) -> Kept:
    """What holds after one more start: whoever had its time, or ended too often, is given up."""
    trial = kept.trial
    if trial is not None:
        if trial.boot_id != boot_id:
            trial = msgspec.structs.replace(trial, boot_id=boot_id, since_seconds=now_seconds)
        if trial.starts >= TRIES:
            return begun(given_up(kept, f"ended {TRIES} times while on trial"), boot_id, now_seconds, 0)
        if limit_seconds and now_seconds - trial.since_seconds >= limit_seconds:
            return begun(given_up(kept, unheard(limit_seconds)), boot_id, now_seconds, 0)
        return msgspec.structs.replace(kept, trial=msgspec.structs.replace(trial, starts=trial.starts + 1))
    if kept.good == PACKAGED:
        return kept
    starts = kept.starts + 1 if kept.boot_id == boot_id else 1
    kept = msgspec.structs.replace(kept, starts=starts, boot_id=boot_id)
    if starts > CRASHES:
        return begun(given_up(kept, f"ended {CRASHES} times soon after its start"), boot_id, now_seconds, 0)
    return kept


def given_up(kept: Kept, reason: str, *, again: bool = False) -> Kept:
    """Without the version that would run: the good one after a trial, after the good one the one before."""
    trial = kept.trial
    if trial is not None:
        failed = Failed(kept.named(trial.version), trial.order, reason[:MAX_REASON], again)
        return msgspec.structs.replace(kept, trial=None, failed=failed, starts=0)
    failed = Failed(kept.good, kept.order, reason[:MAX_REASON])
    return msgspec.structs.replace(
        kept, good=kept.previous, previous=PACKAGED, order="", failed=failed, starts=0
    )


def silenced(kept: Kept, limit_seconds: float) -> Kept:
    """Without the version on trial, which ran in order and was not heard.

    The line may have been cut, or the collector away: nobody here can tell. So it is tried once more by the
    same order, which can only come when the version before was heard on that line.
    """
    again = kept.trial is not None and not kept.trial.again
    return given_up(kept, unheard(limit_seconds) + ("" if again else ", twice"), again=again)


def tried(kept: Kept, version: str, order: str) -> Kept:
    """With a version on trial; PACKAGED by its number or as it is."""
    version = PACKAGED if version == kept.packaged else version
    again = kept.failed is not None and kept.failed.order == order
    return msgspec.structs.replace(kept, trial=Trial(version, order, again=again), failed=None)


def confirmed(kept: Kept) -> Kept:
    """The version on trial was heard: it is good, and the one before is kept to go back to."""
    if kept.trial is None:
        return kept
    return msgspec.structs.replace(
        kept, good=kept.trial.version, order=kept.trial.order, previous=kept.good, trial=None,
        failed=None, starts=kept.trial.starts, boot_id=kept.trial.boot_id,
    )  # fmt: skip


def lasted(kept: Kept) -> Kept:
    """The version ran long enough, or was told to end: its starts count no more, and a trial begins anew."""
    trial = kept.trial and msgspec.structs.replace(kept.trial, starts=0, boot_id="")
    return msgspec.structs.replace(kept, starts=0, trial=trial)


def unheard(seconds: float) -> str:
    """Why a version on trial is given up when its time is over."""
    return f"the collector did not hear it within {seconds:g} s"


class Versions:
    """The folder of versions. Raises OSError where a disk does, PackageError for what cannot be trusted."""

    def __init__(self, state_directory: Path, keys: Sequence[str]) -> None:
        self._directory = (state_directory / FOLDER).absolute()
        self._keys = keys

    def read(self) -> Kept:
        """The state; a new one where none is kept or what is kept cannot be read."""
        file = self._directory / STATE
        try:
            if file.stat().st_size <= _MAX_STATE_BYTES:
                kept = msgspec.json.decode(file.read_bytes(), type=Kept)
                if kept.format == 1 and all(map(_is_name, (kept.good, kept.previous, kept.running))):
                    return kept
            log.error("versions forgotten file=%s reason=not understood", file)
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError) as error:
            log.error("versions forgotten file=%s reason=%s", file, error)  # noqa: TRY400
        return Kept()

    def keep(self, kept: Kept) -> None:
        """Write the state: on disk when this returns."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._directory / STATE, msgspec.json.encode(kept))

    def tree(self, version: str) -> Path:
        """Where its modules are."""
        return self._directory / version / TREE

    def checked(self, version: str) -> Path:
        """The folder to put on the path, after every byte in it was compared with what the county signed."""
        with (self._directory / version / HEAD).open("rb") as file:
            manifest = verified(read_head(file), self._keys)
        if manifest.version != version:
            raise PackageError(f"is version {manifest.version}")
        refuse_unfit(manifest)
        tree = self.tree(version)
        _refuse_changed(tree, manifest)
        return tree

    def has(self, version: str) -> bool:
        """True for one that is here, whole and trusted."""
        try:
            self.checked(version)
        except (OSError, PackageError):
            return False
        return True

    def add(self, stream: Reads, version: str, *, max_bytes: int, spare_bytes: int) -> None:
        """Take a package as it comes: nothing is written before its signature is checked, nothing is kept of
        one that is not whole.
        """
        head = read_head(stream)
        manifest = verified(head, self._keys)
        if (manifest.name, manifest.version) != (NAME, version):
            raise PackageError(f"is {manifest.name} {manifest.version}, not {NAME} {version}")
        refuse_unfit(manifest)
        if max(manifest.unpacked_bytes, manifest.payload_bytes) > max_bytes:
            raise PackageError(f"is larger than upgrade.max_bytes, {max_bytes} bytes")
        half = self._directory / HALF
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove(half)
        self._refuse_no_room(manifest.unpacked_bytes + len(manifest.files) * _BLOCK_BYTES + spare_bytes)
        try:
            self._write(half, head, manifest, stream)
            _remove(self._directory / version)
            half.rename(self._directory / version)
            sync_directory(self._directory)
        except BaseException:
            _remove(half)
            raise

    def prune(self, kept: Kept) -> None:
        """Delete every version that nobody goes back to."""
        wanted = {kept.good, kept.previous, kept.running, STATE}
        with suppress(FileNotFoundError):
            for entry in self._directory.iterdir():
                if entry.name not in wanted and not entry.name.startswith(f".{STATE}"):
                    _remove(entry)

    def _write(self, half: Path, head: Head, manifest: Manifest, stream: Reads) -> None:
        tree = half / TREE
        tree.mkdir(parents=True, mode=0o700)
        unpack(stream, manifest, lambda name: _created(tree / name))
        (half / HEAD).write_bytes(head.encoded())
        for folder, _, _ in os.walk(tree):
            Path(folder).chmod(0o500)  # nothing is compiled into it later
        os.sync()  # once for hundreds of files

    def _refuse_no_room(self, needed_bytes: int) -> None:
        disk = os.statvfs(self._directory)
        free = disk.f_bavail * disk.f_frsize
        if free < needed_bytes:
            raise OSError(f"{free} bytes are free, {needed_bytes} are needed")


def refuse_unfit(manifest: Manifest) -> None:
    """Raises PackageError for a package that does not run here."""
    if manifest.name != NAME:
        raise PackageError(f"is a package of {manifest.name}")
    if manifest.python != python_minor():
        raise PackageError(f"is for Python {manifest.python}, this is {python_minor()}")
    if manifest.machine not in (ANY_MACHINE, machine()):
        raise PackageError(f"is for {manifest.machine}, this is {machine()}")
    for name, wanted in manifest.libraries.items():
        found = _library(name)
        if found != wanted:
            raise LacksLibrary(f"needs {name} {wanted}, here is {found or 'none'}")


def _library(name: str) -> str:
    """The version of an installed library; empty for none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _refuse_changed(tree: Path, manifest: Manifest) -> None:
    """Raises PackageError when a file is missing, changed or one too many, or a link."""
    found: set[str] = set()
    for folder, folders, names in os.walk(tree):
        for name in (*folders, *names):
            path = Path(folder) / name
            if path.is_symlink():
                raise PackageError(f"{path.relative_to(tree)}: is a link")
        found |= {(Path(folder) / name).relative_to(tree).as_posix() for name in names}
    for name in sorted(found ^ set(manifest.files)):
        raise PackageError(f"{name}: is {'missing' if name in manifest.files else 'not of the package'}")
    for name, (size, digest) in manifest.files.items():
        if (tree / name).stat().st_size != size or _digest(tree / name) != digest:
            raise PackageError(f"{name}: was changed")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o400), "wb") as file:
        yield file


def _remove(path: Path) -> None:
    """Delete a file or a folder, also one whose folders are not to be written."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            Path(folder).chmod(0o700)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_name(version: str) -> bool:
    return version == PACKAGED or is_version(version)
