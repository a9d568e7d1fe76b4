"""Who may do what: one mechanism for every route, and the users, sessions and tokens behind it."""

from collector.access.declaring import permitted
from collector.access.permissions import Permission, Role
from collector.access.who import Who

__all__ = ["Permission", "Role", "Who", "permitted"]
