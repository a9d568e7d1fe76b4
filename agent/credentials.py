"""The agent's token: the one it shows, and the one that is to replace it, each in a file of its own."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from pathlib import Path

from agent.disk import write_private
from agent.settings import Secret, read_token
from config.disk import sync_directory
from config.settings import SettingsError

log = logging.getLogger(__name__)

TOKEN_BYTES = 32
INVITED_AGAIN = (
    "this agent is not enrolled there (any more): ask the county for a code («xiaotong-collector agents "
    "invite») and run «xiaotong-agent enrol»"
)
"""What the operator of an agent is told when its token opens nothing."""


def new_token() -> Secret:
    """A token of 256 random bits. The collector only ever keeps its hash."""
    return Secret(secrets.token_urlsafe(TOKEN_BYTES))


def digest_of(token: Secret) -> str:
    """The SHA-256 of a token in hexadecimal."""
    return hashlib.sha256(token.encode("ascii")).hexdigest()


class Credential:
    """The token as its file has it now: enrolling anew needs no restart. Safe between threads."""

    def __init__(self, file: Path, settings_file: str) -> None:
        """Raises SettingsError for a token file that cannot be used."""
        self._file = file
        self._next_file = file.with_name(f"{file.name}.next")
        self._settings_file = settings_file
        self._lock = threading.Lock()
        self._seen = _mark(file)
        self._token = read_token(file, settings_file)

    def token(self) -> Secret:
        """The token to show; the last one that could be read while the file cannot."""
        with self._lock:
            mark = _mark(self._file)
            if mark is not None and mark != self._seen:
                self._seen = mark
                self._reread()
            return self._token

    def next(self) -> Secret | None:
        """The token that is to replace it; None when no replacement is under way."""
        try:
            return read_token(self._next_file, self._settings_file)
        except SettingsError:
            return None

    def prepare(self) -> Secret:
        """Put a next token on disk, before anybody hears of it. Raises OSError."""
        token = new_token()
        write_private(self._next_file, token.encode("ascii") + b"\n")
        return token

    def adopt(self) -> None:
        """The next token is the token from now on. Raises OSError."""
        with self._lock:
            self._next_file.replace(self._file)
            sync_directory(self._file.parent)
            self._seen = _mark(self._file)
            self._reread()

    def discard(self) -> None:
        """Forget the next token."""
        self._next_file.unlink(missing_ok=True)

    def _reread(self) -> None:
        try:
            self._token = read_token(self._file, self._settings_file)
        except SettingsError as error:
            log.error("token kept in memory error=%s", error)  # noqa: TRY400


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
