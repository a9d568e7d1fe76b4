"""Who is asking: the acting identity that the guard leaves in ``request.state.who``."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from collector.access.permissions import PERMISSIONS, Permission, Role

T = TypeVar("T")


class Via(enum.Enum):
    """How somebody made himself known."""

    NOTHING = "nothing"
    THIS_HOST = "this_host"
    COMMAND = "command"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105 (no secret)


class Who(msgspec.Struct, frozen=True):
    """Somebody with permissions, over all schools (``schools`` is None) or over some.

    ``name`` is what the audit log says: a user's name, ``this host``, or nothing for nobody; ``address`` is
    where he asks from.
    """

    name: str
    role: Role | None = None
    permissions: frozenset[Permission] = frozenset()
    schools: frozenset[str] | None = frozenset()
    via: Via = Via.NOTHING
    user_id: int | None = None
    token_id: int | None = None
    address: str = ""

    def may(self, permission: Permission) -> bool:
        """True when this permission is held, over whichever schools."""
        return permission is Permission.PUBLIC or permission in self.permissions

    def sees(self, school_id: str | None) -> bool:
        """True for a school of this identity's own; None, the county itself, is seen by those who see all."""
        return self.schools is None or school_id in self.schools

    def narrow(self, by_school: Mapping[str, T]) -> dict[str, T]:
        """Those of the schools' things that this identity may see."""
        return {school: thing for school, thing in by_school.items() if self.sees(school)}

    @property
    def is_somebody(self) -> bool:
        """False for a caller who has not said who he is."""
        return self.via is not Via.NOTHING


NOBODY = Who("")


def somebody(name: str, role: Role, via: Via, schools: frozenset[str] = frozenset()) -> Who:
    """An identity with all that its role has; ``schools`` counts for school admins alone."""
    own = schools if role is Role.SCHOOL_ADMIN else None
    return Who(name, role, PERMISSIONS[role], own, via)
