"""Decides which version of the agent runs, and starts it: the packaged one, or one of the county's store.

It runs in the packaged version before anything heavy is imported, and replaces the process by ``execve``, so
that the service manager sees one process whichever version runs. A version on trial gets its time as an
interval timer, which ``execve`` keeps (setitimer(2)): the kernel ends even one that hangs while it is
imported, the service manager starts this again, and the version before runs.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

import agent
from agent.versions import FOLDER, PACKAGED, Kept, Trial, Versions, begun, given_up, installed, lasted
from config.clock import boot_id
from config.packages import PackageError
from config.settings import SettingsError, parse_yaml

log = logging.getLogger(__name__)

CODE = "from agent.main import main; main(prog_name='xiaotong-agent')"


class Place(NamedTuple):
    """What of the settings is needed here. The rest may be of a newer version."""

    state_directory: Path
    keys: tuple[str, ...]
    trial_seconds: float


def here() -> Path:
    """The folder on the path that this agent was imported from."""
    return Path(agent.__file__).resolve().parent.parent


def interpreter(code: str, tree: Path | None = None) -> list[str]:
    """The command of a process that imports the agent from ``tree``, by default the one that this process
    does, and nothing from where it stands.
    """
    start = f"import sys; sys.path.insert(0, {str(tree or here())!r}); sys.dont_write_bytecode = True"
    return [sys.executable, "-I", "-c", f"{start}; {code}"]


def version_here(state_directory: Path) -> str:
    """The version of the county's store that this process runs; PACKAGED for none."""
    stored = (state_directory / FOLDER).resolve()
    return here().relative_to(stored).parts[0] if here().is_relative_to(stored) else PACKAGED


def launch(file: Path, arguments: Sequence[str]) -> None:
    """Start the version that shall run, in place of this process; return when it is this one.

    Whatever is wrong with the others is told in the log, and this one runs.
    """
    place = place_of(file)
    if place is None or version_here(place.state_directory) != PACKAGED:
        return
    versions = Versions(place.state_directory, place.keys)
    kept = chosen(versions, place.trial_seconds)
    if kept.trial is not None:
        arm(kept.trial, place.trial_seconds)
    if kept.running != PACKAGED:
        command = interpreter(CODE, versions.tree(kept.running))
        try:
            os.execv(command[0], [*command, *arguments])  # noqa: S606
        except OSError as error:
            disarm()
            log.error("version not started version=%s reason=%s", kept.running, error)  # noqa: TRY400


def excuse(file: Path) -> None:
    """This start ended by settings that cannot be used: no fault of a version that was good with others."""
    place = place_of(file)
    if place is None:
        return
    versions = Versions(place.state_directory, place.keys)
    kept = versions.read()
    if kept.trial is None and kept.starts:
        try:
            versions.keep(lasted(kept))
        except OSError as error:
            log.error("start counted reason=%s", error)  # noqa: TRY400


def chosen(versions: Versions, trial_seconds: float) -> Kept:
    """The state after this start, written down; what runs by it was checked.

    A start that cannot be written down cannot be counted: then nothing is tried.
    """
    before = versions.read()
    kept = begun(installed(before, agent.__version__), boot_id(), now_seconds(), trial_seconds)
    while kept.running != PACKAGED:
        try:
            versions.checked(kept.running)
            break
        except (OSError, PackageError, ValueError, ImportError) as error:
            log.error("version given up version=%s reason=%s", kept.running, error)  # noqa: TRY400
            kept = given_up(kept, f"{error}")
    try:
        if kept not in (before, Kept(packaged=agent.__version__)):
            versions.keep(kept)
    except OSError as error:
        log.error("start not counted reason=%s", error)  # noqa: TRY400
        return msgspec.structs.replace(kept, trial=None)
    return kept


def arm(trial: Trial, trial_seconds: float) -> None:
    """Have the kernel end this process when the trial is over."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    ends_within(trial.since_seconds + trial_seconds - now_seconds())


def ends_within(seconds: float) -> None:
    """Have the kernel end this process then, whatever it does."""
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))


def disarm() -> None:
    """The trial is over."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def now_seconds() -> float:
    """Since the host booted, suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Upgrade(msgspec.Struct, frozen=True):
    enabled: bool = True
    keys: tuple[str, ...] = ()
    trial: str = "10min"


class _File(msgspec.Struct, frozen=True):
    state_directory: str = "state"
    upgrade: _Upgrade = _Upgrade()


def place_of(file: Path) -> Place | None:
    """What the settings say; None where they want no other version, or cannot be read: told later."""
    from config.units import parse_duration  # noqa: PLC0415

    try:
        told = msgspec.convert(parse_yaml(file.read_text(encoding="utf-8"), str(file)), _File)
        trial = float(parse_duration(told.upgrade.trial))
    except (OSError, ValueError, SettingsError, msgspec.MsgspecError):
        return None
    if not told.upgrade.enabled:
        return None
    return Place(file.parent / told.state_directory, told.upgrade.keys, trial)
