"""The key that signs packages, and the public ones that agents and the store believe."""

from __future__ import annotations

import os
from pathlib import Path

from collector.settings import CollectorSettings
from config.packages import key_text, public_key
from config.settings import SettingsError

PRIVATE, PUBLIC = "packages.key", "packages.pub"
MAX_KEYS = 8
_PRIVATE_MODE, _PUBLIC_MODE = 0o600, 0o644


def public_key_file(settings: CollectorSettings) -> Path:
    """Where this collector's public keys are."""
    return Path(settings.packages.public_key_file or settings.data / PUBLIC)


def trusted_keys(settings: CollectorSettings) -> tuple[str, ...]:
    """The keys that may sign, «ed25519:…»; none before one is made. Raises SettingsError."""
    file = public_key_file(settings)
    try:
        lines = tuple(line for line in file.read_text(encoding="ascii").split() if line)
        for line in lines:
            public_key(line)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from None
    if len(lines) > MAX_KEYS:
        raise SettingsError(f"{file}: at most {MAX_KEYS} keys are allowed")
    return lines


def make_key(private: Path, public: Path) -> str:
    """Make a key; its public half is added to ``public``. Gives it as text. Raises SettingsError.

    A private key that is there already is never replaced.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 (17 MB, and made once)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    text = key_text(key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))
    try:
        private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(private, content, os.O_EXCL, _PRIVATE_MODE)
        _write(public, f"{text}\n".encode(), os.O_APPEND, _PUBLIC_MODE)
    except FileExistsError:
        raise SettingsError(f"{private}: exists already; a key is only written into a new file") from None
    except OSError as error:
        raise SettingsError(f"{error.filename or private}: cannot be written: {error.strerror}") from None
    return text


def _write(path: Path, content: bytes, flag: int, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flag, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
