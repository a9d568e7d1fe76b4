"""SNMP secrets at rest: sealed by a key in a file (Fernet: AES-128-CBC and HMAC-SHA256), opened to be sent.

The key file holds one key a line. The first seals, all open: to change the key put a new line first, run
``agents config --reseal``, then take the old line away.
"""

from __future__ import annotations

import copy
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from config.central import MASK, Document, secrets_in
from config.settings import SettingsError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

SEALED = "sealed"
"""A secret in the registry is ``{"sealed": text}``."""


class Seal:
    """Seals and opens the secrets of documents. The key is read, or made, when it is first needed."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    def sealed(self, document: Document, before: Document | None = None) -> Document:
        """The document with every secret sealed. One that is the mask is taken over from ``before``.

        Raises SettingsError for a mask with nothing behind it, and for a key file that cannot be used.
        """
        result = copy.deepcopy(document)
        held = {(device.get("id"), key): device[key] for device, key in secrets_in(before or {})}
        fernet: MultiFernet | None = None
        for device, key in secrets_in(result):
            if device[key] == MASK:
                if (device.get("id"), key) not in held:
                    raise SettingsError(f"device {device.get('id')}: {key} is {MASK}, but none is kept of it")
                device[key] = held[device.get("id"), key]
            elif not isinstance(device[key], dict):
                fernet = fernet or self._fernet(make=True)
                device[key] = {SEALED: fernet.encrypt(device[key].encode()).decode("ascii")}
        return result

    def opened(self, document: Document) -> Document:
        """The document with its secrets as they are. Raises SettingsError when the key is not theirs."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415

        result = copy.deepcopy(document)
        fernet: MultiFernet | None = None
        for device, key in secrets_in(result):
            fernet = fernet or self._fernet(make=False)
            try:
                device[key] = fernet.decrypt(device[key][SEALED]).decode()
            except (InvalidToken, KeyError, TypeError):
                raise SettingsError(
                    f"{self._key_file}: does not open {key} of device {device.get('id')}"
                ) from None
        return result

    def resealed(self, document: Document) -> Document:
        """The document with every secret sealed by the first key. Raises SettingsError."""
        return self.sealed(self.opened(document))

    def _fernet(self, *, make: bool) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415

        if make and not self._key_file.exists():
            _write_new(self._key_file, Fernet.generate_key() + b"\n")
        try:
            return MultiFernet([Fernet(line) for line in _lines_of(self._key_file)])
        except ValueError:
            raise SettingsError(f"{self._key_file}: holds no keys; allowed: one Fernet key a line") from None


def masked(document: Document) -> Document:
    """The document as people may see it: of a secret is told only that there is one."""
    result = copy.deepcopy(document)
    for device, key in secrets_in(result):
        device[key] = MASK
    return result


def has_secrets(document: Document) -> bool:
    """True when a device of the document has a secret."""
    return next(secrets_in(document), None) is not None


def _write_new(path: Path, content: bytes) -> None:
    """Whoever comes second finds the first one's key."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        half = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(half)
        except FileExistsError:
            pass
        finally:
            half.unlink()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None


def _lines_of(path: Path) -> list[bytes]:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(f"{path}: others may read it; allowed is mode 0600")
        return [line for line in path.read_bytes().split() if line]
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
