"""What a route asks of whoever calls it, and what each role has. All of it is this one table."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Permission(enum.Enum):
    """What a route asks for. Every route states one; see ``permitted``."""

    PUBLIC = "public"
    """Nothing: the log-in page, style sheets, whether the collector lives."""
    AGENT = "agent"
    """The credential of an agent; its school is the one it writes for."""
    SIGNED_IN = "signed_in"
    """Anybody who is somebody: one's own password, one's own tokens."""
    READ_LISTS = "read_lists"
    """Lists over schools. The handler narrows them to those that the caller may read: ``Who.narrow``."""
    READ_SCHOOL = "read_school"
    """One school, named by the path."""
    READ_COUNTY = "read_county"
    """Figures over all schools together."""
    READ_REGION = "read_region"
    """Figures of several counties."""
    TEST_NOW = "test_now"
    """Start a test at one school, named by the path."""
    ACKNOWLEDGE_INCIDENTS = "acknowledge_incidents"
    """Take an incident over, mute it. The handler asks ``Who.sees`` for the incident's school."""
    MANAGE_SCHOOLS = "manage_schools"
    """Declare schools, lines, contracts."""
    MANAGE_AGENTS = "manage_agents"
    """Invite agents and revoke them; say what they measure."""
    MANAGE_USERS = "manage_users"
    """Users, and everybody's tokens."""
    READ_AUDIT = "read_audit"
    """The log of who did what."""
    OPERATE = "operate"
    """Maintenance, channels of messages, exports of everything."""


NAMES_A_SCHOOL = frozenset({Permission.READ_SCHOOL, Permission.TEST_NOW})
"""These are refused to a route whose path has no ``{school_id}``."""


class Role(enum.Enum):
    """What a user is."""

    COUNTY_ADMIN = "county_admin"
    SCHOOL_ADMIN = "school_admin"
    DISPLAY = "display"
    REGIONAL = "regional"


_READ = frozenset(
    {Permission.SIGNED_IN, Permission.READ_LISTS, Permission.READ_SCHOOL, Permission.READ_COUNTY}
)

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.COUNTY_ADMIN: frozenset(Permission) - {Permission.PUBLIC, Permission.AGENT},
    Role.SCHOOL_ADMIN: frozenset(
        {
            Permission.SIGNED_IN,
            Permission.READ_LISTS,
            Permission.READ_SCHOOL,
            Permission.TEST_NOW,
            Permission.ACKNOWLEDGE_INCIDENTS,
        }
    ),
    Role.DISPLAY: _READ,
    Role.REGIONAL: _READ | {Permission.READ_REGION},
}
"""A school admin has his for his own schools alone; the other roles for every school."""
