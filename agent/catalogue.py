"""The probes there are, found by the names of their files and imported only when asked for."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

import msgspec

from agent.probe import Probe, Site
from config.settings import SettingsError, convert

PROBES = "agent.probes"
DEFAULT_WINDOW_SECONDS = 60.0


class PlannedProbe(msgspec.Struct, frozen=True):
    """A probe that settings name: its module, imported, and its settings, checked."""

    name: str
    module: Any
    settings: Any

    @property
    def continuous(self) -> bool:
        """True when the probe watches all the time, window after window."""
        return bool(self.module.CONTINUOUS)

    @property
    def every_seconds(self) -> float:
        """The time between two runs of a timed probe."""
        return float(getattr(self.settings, "every", DEFAULT_WINDOW_SECONDS))

    @property
    def window_seconds(self) -> float:
        """How long one run of a watching probe watches."""
        return float(getattr(self.settings, "window", DEFAULT_WINDOW_SECONDS))

    def build(self, site: Site) -> Probe:
        """Make the probe for this site."""
        probe: Probe = self.module.build(self.settings, site)
        return probe


def names(package: str = PROBES) -> list[str]:
    """The names of all probes, sorted; none of them is imported."""
    folder = importlib.import_module(package)
    return sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if not module.ispkg)


def module_of(name: str, file: str, package: str = PROBES) -> ModuleType:
    """Import the probe of that name. Raises SettingsError that names ``file`` and the probes there are."""
    allowed = names(package)
    if name not in allowed:
        raise SettingsError(f"{file}: key probes.{name}: is no probe; allowed here: {', '.join(allowed)}")
    return importlib.import_module(f"{package}.{name}")


def planned(name: str, value: object, file: str, package: str = PROBES) -> PlannedProbe:
    """Check the settings of one probe. ``value`` None means all defaults. Raises SettingsError."""
    module = module_of(name, file, package)
    settings = convert({} if value is None else value, module.Settings, file, below=f"probes.{name}")
    return PlannedProbe(name=name, module=module, settings=settings)
