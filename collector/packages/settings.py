"""Settings of the package store and of upgrades."""

from __future__ import annotations

from typing import Annotated

import msgspec

from config.units import Bytes, Seconds

MIB = 1024 * 1024
Count = Annotated[int, msgspec.Meta(ge=1)]


class PackageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Packages of the agent, and how agents are upgraded from them."""

    directory: str = ""
    """Where packages are kept; empty: packages in the data directory. Collectors that share a registry need
    the same folder."""
    public_key_file: str = ""
    """The keys that may sign packages, one a line; agents that enrol are told them. Empty: packages.pub in
    the data directory, as «packages key» makes it."""
    max_bytes: Bytes = Bytes(1024 * MIB)
    """Of all packages together."""
    downloads: Count = 8
    """At one time; more agents are asked to come again."""
    download_deadline: Seconds = Seconds(1800)
    """An agent that has not taken a whole package by then is cut off, and so is who brings one."""
    settle: Seconds = Seconds(86400)
    """The rest follow when all agents that went first have run the new version for so long."""
    seen_within: Seconds = Seconds(600)
    """And when each of those was heard within that time."""
