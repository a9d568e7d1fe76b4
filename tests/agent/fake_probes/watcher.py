"""Watches window after window."""

from __future__ import annotations

import msgspec

from agent.probe import Probe, ProbeFailed, Run, Site
from config.points import Point
from config.units import Seconds

HELP = "One point a window"
PROVES = {"gateway": "nothing", "lan": "nothing"}
CONTINUOUS = True


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a window is."""

    window: Seconds = Seconds(0.2)


class Watcher:
    def measure(self, run: Run) -> list[Point]:
        if not run.wait(run.window_seconds):
            raise ProbeFailed("stopped")
        return [Point("ipv6", {"interface": "eth0"}, {"default_route": True}, run.clock.wall_ns())]


def build(settings: Settings, site: Site) -> Probe:
    """Make it."""
    return Watcher()
