"""What the spool does with files beside its own: room held in reserve, damaged files moved away."""

from __future__ import annotations

import os
from pathlib import Path


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
