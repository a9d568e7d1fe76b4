"""What vendors' devices tell beyond the standard MIBs: data, one file a vendor, found by sysObjectID."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from config.settings import SettingsError, load

PROFILES_DIRECTORY = Path(__file__).parent / "snmp"
STANDARD = "standard"
MOST_PROFILES = 200

OidText: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[0-2](\.[0-9]{1,10}){2,60}\Z")]


class AccessPointObjects(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a wireless controller tells of its access points.

    ``online``, ``offline`` and ``stations`` are scalars; ``states`` is a column with a row for each access
    point, of which those in ``online_states`` are online.
    """

    online: OidText | None = None
    """How many are online."""
    offline: OidText | None = None
    """How many are not."""
    stations: OidText | None = None
    """How many clients there are."""
    states: OidText | None = None
    online_states: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.states) != bool(self.online_states):
            raise ValueError("states and online_states are given together")
        if not (self.online or self.states):
            raise ValueError("online or states is needed")


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One vendor. Its id is its file's name."""

    title: str
    """What people call it."""
    source: str
    """Where the objects are from, and what they were tried on."""
    system: tuple[OidText, ...] = ()
    """Beginnings of the sysObjectID of its devices."""
    access_points: AccessPointObjects | None = None
    """What its wireless controllers tell."""


Profiles: TypeAlias = Mapping[str, Profile]


def profiles(own: Path | None = None) -> Profiles:
    """The shipped profiles by id, with those of a county's own directory added or put in their place.

    Raises SettingsError, one line.
    """
    return shipped() if own is None else {**shipped(), **_of_directory(own)}


@functools.cache
def shipped() -> Profiles:
    """The profiles that come with this version."""
    return _of_directory(PROFILES_DIRECTORY)


def profile_of(system: tuple[int, ...] | None, known: Profiles) -> str:
    """The id of the profile with the longest beginning of this sysObjectID; «standard» without one."""
    best, length = STANDARD, 0
    for name, profile in known.items():
        for text in profile.system:
            start = parse_oid(text)
            if system is not None and system[: len(start)] == start and len(start) > length:
                best, length = name, len(start)
    return best


@functools.lru_cache(maxsize=1024)
def parse_oid(text: str) -> tuple[int, ...]:
    """«1.3.6.1» → its numbers."""
    return tuple(int(arc) for arc in text.split("."))


def _of_directory(directory: Path) -> dict[str, Profile]:
    if not directory.is_dir():
        raise SettingsError(f"{directory}: no such directory")
    files = sorted(directory.glob("*.yaml"))
    if len(files) > MOST_PROFILES:
        raise SettingsError(f"{directory}: holds more than the {MOST_PROFILES} profiles allowed")
    return {file.stem: load(file, Profile) for file in files}
