"""Users: who they are, what they log in by. Each change writes its line of the log in its transaction."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.access import audit
from collector.access.permissions import Role
from collector.access.saying import Refused
from collector.access.tables import ApiTokenRow, DeviceRow, LinkRow, SessionRow, UserRow
from collector.access.who import Who
from collector.registry import Registry
from collector.registry.ids import is_id
from collector.registry.tables import SchoolRow
from collector.registry.tokens import digest_of, new_token
from config.words import message

NAME = re.compile(r"[\w.@-]{1,64}")
NAME_ALLOWED = message("user «{name}»: 1 to 64 letters, digits and . _ @ - are allowed")
FIRST_ADMIN = "admin"


class User(msgspec.Struct, frozen=True):
    """A user. ``schools`` is empty for roles that see all."""

    id: int
    name: str
    role: Role
    schools: tuple[str, ...]
    has_password: bool
    oidc_name: str | None
    created_at: datetime
    disabled_at: datetime | None


class Users:
    """The users of one registry. Raises RegistryError, one line, for what cannot be."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def all(self) -> list[User]:
        """Every user, the disabled ones too, by id."""
        with self._registry.reading() as connection:
            return _users(connection, sa.select(UserRow).order_by(UserRow.id))

    def named(self, name: str) -> User:
        """One user."""
        with self._registry.reading() as connection:
            return _named(connection, name)

    def is_empty(self) -> bool:
        """True before the first user."""
        with self._registry.reading() as connection:
            return connection.scalar(sa.select(UserRow.id).limit(1)) is None

    def needs_first_password(self) -> bool:
        """True while no county admin can log in: nobody could let the others in."""
        able = sa.or_(UserRow.password.is_not(None), UserRow.oidc_name.is_not(None))
        admins = sa.select(UserRow.id).where(UserRow.role == Role.COUNTY_ADMIN.value, able)
        with self._registry.reading() as connection:
            return connection.scalar(admins.where(UserRow.disabled_at.is_(None)).limit(1)) is None

    def add(
        self, name: str, role: Role, schools: Iterable[str] = (), oidc_name: str | None = None, *, by: Who
    ) -> User:
        """A new user, who cannot log in until he has a password or the login service names him."""
        if not NAME.fullmatch(name):
            raise Refused(NAME_ALLOWED, name=name[:80])
        own = tuple(sorted(set(schools)))
        now = datetime.now(UTC)
        with self._registry.writing() as connection:
            _check_schools(connection, role, own)
            if connection.scalar(sa.select(UserRow.id).where(UserRow.name == name)) is not None:
                raise Refused(message("user {name}: exists already"), name=name)
            _check_oidc_name(connection, oidc_name)
            row = {
                "name": name, "role": role.value, "schools": msgspec.json.encode(own).decode(),
                "password": None, "oidc_name": oidc_name, "created_at": now, "disabled_at": None,
            }  # fmt: skip
            connection.execute(sa.insert(UserRow).values(row))
            audit.record(connection, by, "user.add", name, at=now, role=role.value, schools=own)
            return _named(connection, name)

    def disable(self, name: str, *, by: Who) -> None:
        """End every session and token of a user, and let him in no more. The last county admin stays."""
        now = datetime.now(UTC)
        with self._registry.writing() as connection:
            user = _named(connection, name)
            if user.disabled_at is not None:
                return
            if user.role is Role.COUNTY_ADMIN and _able_admins(connection) <= {user.id}:
                raise Refused(message("user {name}: is the last county admin who can log in"), name=name)
            connection.execute(sa.update(UserRow).where(UserRow.id == user.id).values(disabled_at=now))
            _end_logins(connection, user.id)
            connection.execute(
                sa.update(ApiTokenRow)
                .where(ApiTokenRow.user_id == user.id, ApiTokenRow.revoked_at.is_(None))
                .values(revoked_at=now)
            )
            audit.record(connection, by, "user.disable", name, at=now)

    def enable(self, name: str, *, by: Who) -> None:
        """Let a user in again; his sessions and tokens stay ended."""
        now = datetime.now(UTC)
        with self._registry.writing() as connection:
            user = _named(connection, name)
            connection.execute(sa.update(UserRow).where(UserRow.id == user.id).values(disabled_at=None))
            audit.record(connection, by, "user.enable", name, at=now)

    def new_link(self, name: str, valid_seconds: float, *, by: Who) -> str:
        """The secret of a one-time link to set a password, kept nowhere; earlier ones are void."""
        secret, now = new_token(), datetime.now(UTC)
        with self._registry.writing() as connection:
            user = _named(connection, name)
            if user.disabled_at is not None:
                raise Refused(message("user {name}: is disabled"), name=name)
            connection.execute(sa.delete(LinkRow).where(LinkRow.user_id == user.id))
            expires = now + timedelta(seconds=valid_seconds)
            row = {"digest": digest_of(secret), "user_id": user.id, "expires_at": expires}
            connection.execute(sa.insert(LinkRow).values(row))
            audit.record(connection, by, "user.link", name, at=now, expires_at=expires)
        return secret

    def of_link(self, secret: str) -> User | None:
        """Whose link this is; None for one that is unknown, used or over."""
        with self._registry.reading() as connection:
            return _of_link(connection, secret, datetime.now(UTC))

    def set_by_link(self, secret: str, password_hash: str, address: str) -> User | None:
        """Set the password of a link's user and use the link up; None when it is no longer valid."""
        now = datetime.now(UTC)
        with self._registry.writing() as connection:
            user = _of_link(connection, secret, now)
            used = sa.delete(LinkRow).where(LinkRow.digest == (digest_of(secret) or ""))
            if user is None or connection.execute(used).rowcount != 1:
                return None
            _set_password(connection, user.id, password_hash)
            who = Who(user.name, address=address)
            audit.record(connection, who, "user.password", user.name, at=now, by="one-time link")
            return user

    def set_password(self, user_id: int, password_hash: str, *, by: Who) -> None:
        """Set a password and end every session of that user."""
        now = datetime.now(UTC)
        with self._registry.writing() as connection:
            _set_password(connection, user_id, password_hash)
            name = connection.scalar(sa.select(UserRow.name).where(UserRow.id == user_id)) or ""
            audit.record(connection, by, "user.password", name, at=now)


def read_user(row: Any) -> User:
    """A user of a row of his table."""
    own = tuple(msgspec.json.decode(row.schools, type=list[str]))
    return User(
        row.id, row.name, Role(row.role), own, row.password is not None, row.oidc_name,
        row.created_at, row.disabled_at,
    )  # fmt: skip


def _users(connection: Connection, wanted: sa.Select[Any]) -> list[User]:
    table = UserRow.__table__
    return [read_user(row) for row in connection.execute(wanted.with_only_columns(*table.columns))]


def _named(connection: Connection, name: str) -> User:
    # what is no name is not asked for: PostgreSQL refuses some characters
    found = _users(connection, sa.select(UserRow).where(UserRow.name == name)) if NAME.fullmatch(name) else []
    if not found:
        raise Refused(message("user {name}: is not known"), name=name[:80])
    return found[0]


def _check_schools(connection: Connection, role: Role, schools: Collection[str]) -> None:
    if role is not Role.SCHOOL_ADMIN:
        if schools:
            raise Refused(
                message("role {role}: sees every school; only school_admin has some"), role=role.value
            )
        return
    if not schools:
        raise Refused(message("role school_admin: needs at least one school"))
    possible = list(filter(is_id, schools))
    known = set(connection.scalars(sa.select(SchoolRow.id).where(SchoolRow.id.in_(possible))))
    for school in schools:
        if school not in known:
            raise Refused(message("school {school}: is not known; declare it first"), school=school[:80])


def _check_oidc_name(connection: Connection, oidc_name: str | None) -> None:
    if oidc_name is None:
        return
    if not (1 <= len(oidc_name) <= 255 and oidc_name.isprintable()):
        raise Refused(message("the login service's name: 1 to 255 characters are allowed"))
    taken = connection.scalar(sa.select(UserRow.name).where(UserRow.oidc_name == oidc_name))
    if taken is not None:
        raise Refused(
            message("the login service's name {name}: is user {user}'s"), name=oidc_name, user=taken
        )


def _able_admins(connection: Connection) -> set[int]:
    able = sa.or_(UserRow.password.is_not(None), UserRow.oidc_name.is_not(None))
    wanted = sa.select(UserRow.id).where(
        UserRow.role == Role.COUNTY_ADMIN.value, UserRow.disabled_at.is_(None), able
    )
    return set(connection.scalars(wanted))


def _of_link(connection: Connection, secret: str, now: datetime) -> User | None:
    digest = digest_of(secret)
    if digest is None:
        return None
    wanted = (
        sa.select(UserRow)
        .join(LinkRow, LinkRow.user_id == UserRow.id)
        .where(LinkRow.digest == digest, LinkRow.expires_at > now, UserRow.disabled_at.is_(None))
    )
    return next(iter(_users(connection, wanted)), None)


def _set_password(connection: Connection, user_id: int, password_hash: str) -> None:
    connection.execute(sa.update(UserRow).where(UserRow.id == user_id).values(password=password_hash))
    _end_logins(connection, user_id)
    connection.execute(sa.delete(LinkRow).where(LinkRow.user_id == user_id))


def _end_logins(connection: Connection, user_id: int) -> None:
    for table in (SessionRow, DeviceRow):
        connection.execute(sa.delete(table).where(table.user_id == user_id))
