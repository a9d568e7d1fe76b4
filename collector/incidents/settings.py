"""The incidents room's settings."""

from __future__ import annotations

import msgspec

from config.units import Seconds


class IncidentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Incidents: by which rules, how often looked at, how long kept."""

    enabled: bool = True
    """False: nothing becomes an incident and nobody is told."""
    rules: str = ""
    """A file of the county's own rules, laid over the shipped ones; empty is those alone."""
    every: Seconds = Seconds(2)
    """How often conditions are looked at."""
    settle: Seconds = Seconds(30)
    """After its own start the collector opens and ends nothing for so long: it waits for data."""
