"""What the spool does with files beside its own: room held in reserve, damaged files moved away."""

from __future__ import annotations

import os
from pathlib import Path

from config.disk import sync_directory


def move_away(path: Path) -> Path:
    """Rename a damaged file and its log; an earlier one is deleted, so that no more than one is kept."""
    damaged = path.with_name(path.name + ".damaged")
    for suffix in ("", "-wal", "-journal"):
        source, target = Path(f"{path}{suffix}"), Path(f"{damaged}{suffix}")
        target.unlink(missing_ok=True)
        if source.exists():
            source.rename(target)
    return damaged


def keep_reserve(path: Path, size: int) -> bool:
    """Hold so many bytes of the disk in a file. False when there is no room."""
    if path.exists() or size <= 0:
        return True
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)
    return True


def write_private(path: Path, content: bytes) -> None:
    """Put a whole file in place of another, its owner's alone. Raises OSError."""
    write_whole(path, content, 0o600)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Put a whole file in place of another: on disk when this returns, old or new, never half. It belongs to
    whom its directory does, where we may say so. Raises OSError.
    """
    half = path.with_name(f".{path.name}.half")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        owner = path.parent.stat()
        if os.geteuid() == 0:
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    sync_directory(path.parent)
