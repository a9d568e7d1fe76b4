"""The settings that ``run`` would measure with now, for a command that a person types; keeps nothing."""

from __future__ import annotations

import logging

import msgspec

from agent.central import over_local
from agent.central_state import CentralState, Held
from agent.county import CONFIG_PATH
from agent.link import Link, LinkError
from agent.settings import LoadedSettings
from config.central import MAX_BYTES
from config.settings import SettingsError

log = logging.getLogger(__name__)


def as_the_county_says(local: LoadedSettings) -> LoadedSettings:
    """The local file under what the county wants: as the running agent keeps it, else asked for now.

    What cannot be asked or used leaves the local file, and is told.
    """
    if not local.settings.central.enabled or local.settings.collector is None:
        return local
    state = CentralState(local.path(local.settings.state_directory))
    try:
        held = state.kept.trial or state.kept.good or _asked(local)
        return over_local(local, held.document, state.secrets_directory).loaded
    except (LinkError, SettingsError, OSError, msgspec.MsgspecError) as error:
        log.warning("the local file alone counts reason=%s", error)
        return local


def _asked(local: LoadedSettings) -> Held:
    """What the county answers. Raises LinkError, SettingsError without a token, or MsgspecError."""
    collector = local.settings.collector
    link = Link(collector.url if collector else "", local.token(), local.settings.push.timeout, local.ca_file)
    try:
        answer = link.get(CONFIG_PATH, {}, MAX_BYTES + 1)
    finally:
        link.close()
    if answer.status != 200:
        raise LinkError(f"status {answer.status}")
    return msgspec.json.decode(answer.body, type=Held)
