"""Gives one point a run."""

from __future__ import annotations

import msgspec

from agent.probe import Probe, Run, Site
from config.points import Point
from config.units import Seconds

HELP = "One point a run"
PROVES = {"gateway": "nothing", "lan": "nothing"}
CONTINUOUS = False


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often, and how many points."""

    every: Seconds = Seconds(1)
    points: int = 1


class Steady:
    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._school = site.school.id

    def measure(self, run: Run) -> list[Point]:
        now = run.clock.wall_ns()
        return [
            Point("ping", {"target": self._school}, {"sent": 1}, now + n)
            for n in range(self._settings.points)
        ]


def build(settings: Settings, site: Site) -> Probe:
    """Make it."""
    return Steady(settings, site)
