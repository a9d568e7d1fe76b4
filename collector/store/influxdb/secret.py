"""A token in a file of its own, and a text that does not show itself."""

from __future__ import annotations

import stat
from pathlib import Path

MAX_BYTES = 4096


class Secret(str):
    """A text that does not show itself in a repr, so neither in a log nor in a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def read_secret(path: Path) -> Secret:
    """The one line of a file that only its owner may read. Raises ValueError without the secret."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError(f"{path} has mode {mode:04o}; allowed is 0600, so that others cannot read it")
        text = path.read_bytes()[: MAX_BYTES + 1].decode("ascii").strip()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or " " in text or not 1 <= len(text) <= MAX_BYTES:
        raise ValueError(f"{path} must hold one line of 1 to {MAX_BYTES} printable characters")
    return Secret(text)
