"""Schools, lines, agents and their tokens; its database also keeps the verdicts' evidence and transitions."""

from __future__ import annotations

from collector.registry.database import RegistryError
from collector.registry.registry import Agent, AgentIdentity, Registry

__all__ = ["Agent", "AgentIdentity", "Registry", "RegistryError"]
