"""The agent's settings after an enrolment: a new file, or the blocks of one that is there. Pure but for tests
of what comes out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from agent.settings import AgentSettings
from config.settings import SettingsError, convert, parse_yaml

TOKEN_FILE, CA_FILE = "agent.token", "county-ca.pem"

NEW = """\
# Settings of xiaotong-agent, written by «xiaotong-agent enrol». What is absent has its default.
# The county sends what to measure; this file says what it may ask for (central), and goes on without it.
{school}
stands_on: gateway # lan: a box behind a gateway that can run nothing
state_directory: {state}

{collector}
{upgrade}
central:
  enabled: true # false: only this file counts
  addresses: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, "fc00::/7"]

probes:
  interfaces: {{}}
  ping: {{}}
  ipv6: {{}}
  capacity: {{}}
"""


class Place(NamedTuple):
    """Where this agent's collector is, and who the agent is."""

    url: str
    school: str
    token_file: str = TOKEN_FILE
    ca_file: str | None = None
    package_keys: tuple[str, ...] = ()


def new_file(place: Place, state_directory: str = "state") -> str:
    """Settings of an agent that had none."""
    upgrade = f"\n{_upgrade(place)}\n" if place.package_keys else ""
    return NEW.format(
        school=_school(place), collector=_collector(place), state=_quoted(state_directory), upgrade=upgrade
    )


def changed(text: str, place: Place, name: str) -> str:
    """The settings ``text`` with the blocks ``collector`` and, where its id is another, ``school`` replaced.

    Every other line stays as it is. Raises SettingsError when that does not come out right: the file is
    written in a way that only its owner understands.
    """
    before = parse_yaml(text, name)
    result = _with_block(text, "collector", _collector(place))
    school = before.get("school") if isinstance(before, dict) else None
    if not isinstance(school, dict) or school.get("id") != place.school:
        result = _with_block(result, "school", _school(place))
    upgrade = before.get("upgrade") if isinstance(before, dict) else None
    if place.package_keys and (upgrade is None or upgrade.keys() == {"keys"}):
        result = _with_block(result, "upgrade", _upgrade(place))
    settings = convert(parse_yaml(result, name), AgentSettings, name)
    collector = settings.collector
    as_wanted = collector is not None and (collector.url, collector.token_file, collector.ca_file) == (
        place.url, place.token_file, place.ca_file
    )  # fmt: skip
    if not as_wanted or settings.school.id != place.school:
        raise SettingsError(
            f"{name}: cannot be changed by program; write in it by hand:\n{_collector(place)}"
        )
    return result


def _with_block(text: str, key: str, block: str) -> str:
    """Replace what stands under ``key`` up to the next line at the margin; append it if missing."""
    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if re.match(rf"{key}\s*:", line)), None)
    if start is None:
        return "\n".join([*lines, "", block]) + "\n"
    after = (at for at in range(start + 1, len(lines)) if lines[at][:1] not in ("", " ", "\t"))
    end = next(after, len(lines))
    gap = [""] if end < len(lines) else []
    return "\n".join([*lines[:start], block, *gap, *lines[end:]]) + "\n"


def _collector(place: Place) -> str:
    lines = [
        "collector:",
        f"  url: {_quoted(place.url)}",
        f"  token_file: {_quoted(place.token_file)} # mode 0600",
    ]
    if place.ca_file is not None:
        lines.append(f"  ca_file: {_quoted(place.ca_file)} # the county's own certificate")
    return "\n".join(lines)


def _upgrade(place: Place) -> str:
    keys = ", ".join(map(_quoted, place.package_keys))
    return f"upgrade:\n  keys: [{keys}] # packages of the agent are signed by one of these"


def _school(place: Place) -> str:
    return f"school:\n  id: {_quoted(place.school)} # the rest of it comes from the county"


def _quoted(text: str) -> str:
    """JSON's strings are YAML's."""
    return msgspec.json.encode(text).decode("utf-8")
