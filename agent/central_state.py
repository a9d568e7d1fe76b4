"""What the agent keeps of the county's configuration: the last good one, the one on trial, the one refused.

One file of mode 0600 in the state directory, written only when something changes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.disk import write_private
from config.central import MAX_BYTES, Document

log = logging.getLogger(__name__)

FILE, SECRETS_DIRECTORY = "central.json", "central-secrets"
TRIES = 2
"""A trial that power cut short is tried once more; one that the agent itself did not survive is not."""


class Held(msgspec.Struct, frozen=True):
    """A document and its revision."""

    revision: str
    document: Document


class Trial(msgspec.Struct, frozen=True):
    """A document that is being tried since the boot of that id; ``stopped`` when it was told to stop."""

    revision: str
    document: Document
    boot_id: str
    tries: int = 1
    stopped: bool = False


class Refused(msgspec.Struct, frozen=True):
    """A revision that is not tried again. ``lasting``: not even after a restart."""

    revision: str
    reason: str
    lasting: bool = False


class Kept(msgspec.Struct, frozen=True):
    """The file."""

    good: Held | None = None
    trial: Trial | None = None
    refused: Refused | None = None


class CentralState:
    """Keeps it. A disk that cannot be written costs the memory of it, not the agent."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.kept = _read(directory / FILE)

    @property
    def secrets_directory(self) -> Path:
        """Where secrets of SNMP stand, a file each."""
        return (self._directory / SECRETS_DIRECTORY).absolute()

    def keep(self, kept: Kept) -> None:
        """Remember this from now on."""
        if kept == self.kept:
            return
        self.kept = kept
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self._directory / FILE, msgspec.json.encode(kept))
        except OSError as error:
            log.error("configuration not kept error=%s", error)  # noqa: TRY400

    def put_secrets(self, secrets: Mapping[Path, str]) -> None:
        """Write those that are not there yet. Raises OSError."""
        if not secrets:
            return
        self.secrets_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file, secret in secrets.items():
            if not file.exists():
                write_private(file, f"{secret}\n".encode())

    def keep_secrets(self, secrets: Mapping[Path, str]) -> None:
        """Delete all others."""
        if self.secrets_directory.is_dir():
            for file in self.secrets_directory.iterdir():
                if file not in secrets:
                    file.unlink(missing_ok=True)


def begun(kept: Kept, boot_id: str) -> Kept:
    """What holds after a start: what ended the agent while on trial is refused, others are tried again."""
    refused = kept.refused if kept.refused and kept.refused.lasting else None
    trial = kept.trial
    if trial is None:
        return msgspec.structs.replace(kept, refused=refused)
    if trial.stopped:
        again = msgspec.structs.replace(trial, stopped=False, boot_id=boot_id)
        return msgspec.structs.replace(kept, refused=refused, trial=again)
    if trial.boot_id != boot_id and trial.tries < TRIES:
        again = msgspec.structs.replace(trial, boot_id=boot_id, tries=trial.tries + 1)
        return msgspec.structs.replace(kept, refused=refused, trial=again)
    failed = Refused(trial.revision, "the agent ended while it tried this", lasting=True)
    return Kept(good=kept.good, refused=failed)


def _read(file: Path) -> Kept:
    try:
        if file.stat().st_size <= 4 * MAX_BYTES:
            return msgspec.json.decode(file.read_bytes(), type=Kept)
        log.error("configuration forgotten file=%s reason=too large", file)
    except FileNotFoundError:
        pass
    except (OSError, msgspec.MsgspecError) as error:
        log.error("configuration forgotten file=%s reason=%s", file, error)  # noqa: TRY400
    return Kept()
