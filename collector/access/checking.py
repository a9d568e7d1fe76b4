"""What the log-in reads and writes of the registry."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import sqlalchemy as sa

from collector.access import audit
from collector.access.tables import UserRow
from collector.access.users import User, read_user
from collector.access.who import Who
from collector.registry import Registry

log = logging.getLogger(__name__)


def user_to_check(registry: Registry, name: str) -> tuple[User | None, str | None]:
    """A user who may log in and the hash of his password; None, None for anybody else."""
    wanted = sa.select(UserRow.__table__).where(UserRow.name == name, UserRow.disabled_at.is_(None))
    with registry.reading() as connection:
        row = connection.execute(wanted).first()
    return (None, None) if row is None else (read_user(row), row.password)


def refused_login(registry: Registry, name: str, address: str) -> None:
    """Write down a refused login. A name that is nobody's is left out: it may be a password."""
    with registry.writing() as connection:
        known = connection.scalar(sa.select(UserRow.name).where(UserRow.name == name)) or ""
        audit.record(connection, Who("", address=address), "login.refused", known, at=datetime.now(UTC))
    log.warning("login refused user=%s address=%s", known or "unknown", address)
