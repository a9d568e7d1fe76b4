"""Sessions and API tokens: from what a request carries to who sends it. Digests alone are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.access import audit
from collector.access.permissions import Permission, Role
from collector.access.saying import Refused
from collector.access.settings import AccessSettings
from collector.access.tables import ApiTokenRow, DeviceRow, SessionRow, UserRow
from collector.access.users import User, read_user
from collector.access.who import Via, Who, somebody
from collector.registry import Registry
from collector.registry.tokens import digest_of, new_token
from config.words import message

SEEN_EVERY = timedelta(minutes=1)
DEVICE_SECONDS = 400 * 86400
TOKEN_PREFIX = "xtu_"  # noqa: S105 (what every token begins with)
MAX_TOKENS = 100
Scope = Literal["read", "full"]
READ = frozenset(
    {
        Permission.READ_LISTS, Permission.READ_SCHOOL, Permission.READ_COUNTY,
        Permission.READ_REGION, Permission.READ_AUDIT,
    }
)  # fmt: skip
"""What a token of scope ``read`` has, as far as its user has it."""


class ApiToken(msgspec.Struct, frozen=True):
    """A user's token, without its secret."""

    id: int
    user: str
    name: str
    scope: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class Opened(NamedTuple):
    """A session that has begun: the secrets of its two cookies, kept nowhere."""

    session: str
    device: str
    seconds: float


class Logins:
    """The sessions and tokens of one registry."""

    def __init__(self, registry: Registry, settings: AccessSettings) -> None:
        self._registry = registry
        self._settings = settings

    def begin(self, user: User, address: str, how: str) -> Opened:
        """Begin a session for a user who has shown who he is."""
        opened = Opened(new_token(), new_token(), self._lengths(user.role)[1])
        now = datetime.now(UTC)
        session = {
            "digest": digest_of(opened.session), "user_id": user.id, "created_at": now, "seen_at": now,
            "expires_at": now + timedelta(seconds=opened.seconds),
        }  # fmt: skip
        expires = now + timedelta(seconds=DEVICE_SECONDS)
        device = {"digest": digest_of(opened.device), "user_id": user.id, "expires_at": expires}
        with self._registry.writing() as connection:
            connection.execute(sa.insert(SessionRow).values(session))
            connection.execute(sa.insert(DeviceRow).values(device))
            audit.record(connection, Who(user.name, address=address), "login", user.name, at=now, by=how)
        return opened

    def end(self, secret: str, *, by: Who) -> None:
        """End a session."""
        ended = sa.delete(SessionRow).where(SessionRow.digest == (digest_of(secret) or ""))
        with self._registry.writing() as connection:
            if connection.execute(ended).rowcount:
                audit.record(connection, by, "logout", by.name, at=datetime.now(UTC))

    def of_session(self, secret: str) -> Who | None:
        """Who has this session; None for one that is unknown, over, idle too long or of a disabled user."""
        digest, now = digest_of(secret), datetime.now(UTC)
        if digest is None:
            return None
        wanted = (
            sa.select(UserRow.__table__, SessionRow.seen_at, SessionRow.expires_at)
            .join(SessionRow, SessionRow.user_id == UserRow.id)
            .where(SessionRow.digest == digest, UserRow.disabled_at.is_(None))
        )
        with self._registry.reading() as connection:
            row = connection.execute(wanted).first()
        if row is None or row.expires_at <= now:
            return None
        idle = now - row.seen_at
        if idle.total_seconds() > self._lengths(Role(row.role))[0]:
            return None
        if idle > SEEN_EVERY:
            self._seen(digest, now)
        return _who(read_user(row), Via.SESSION)

    def knows_device(self, secret: str, name: str) -> bool:
        """True for a browser that this user has logged in from before."""
        digest = digest_of(secret)
        if digest is None:
            return False
        wanted = (
            sa.select(DeviceRow.digest)
            .join(UserRow, UserRow.id == DeviceRow.user_id)
            .where(DeviceRow.digest == digest, UserRow.name == name, DeviceRow.expires_at > datetime.now(UTC))
        )
        with self._registry.reading() as connection:
            return connection.scalar(wanted) is not None

    def add_token(self, user: User, name: str, scope: Scope, days: float, *, by: Who) -> tuple[ApiToken, str]:
        """A new token and its secret, which is kept nowhere. Raises RegistryError."""
        if not (1 <= len(name) <= 64 and name.isprintable()):
            raise Refused(message("the token's name: 1 to 64 characters are allowed"))
        longest = self._settings.token / 86400
        if not 0 < days <= longest:
            raise Refused(
                message("days: more than 0 and at most {days} are allowed (access.token)"),
                days=f"{longest:g}",
            )
        secret, now = f"{TOKEN_PREFIX}{new_token()}", datetime.now(UTC)
        expires = now + timedelta(days=days)
        with self._registry.writing() as connection:
            _refuse_too_many(connection, user, now)
            row = {
                "digest": _digest(secret), "user_id": user.id, "name": name, "scope": scope,
                "created_at": now, "expires_at": expires, "revoked_at": None,
            }  # fmt: skip
            connection.execute(sa.insert(ApiTokenRow).values(row))
            audit.record(
                connection, by, "token.add", user.name, at=now, name=name, scope=scope, expires_at=expires
            )
            made = _tokens(connection, ApiTokenRow.digest == row["digest"])
        return made[0], secret

    def tokens(self, user_id: int | None = None) -> list[ApiToken]:
        """Every token, or those of one user, by id."""
        with self._registry.reading() as connection:
            if user_id is None:
                return _tokens(connection)
            return _tokens(connection, ApiTokenRow.user_id == user_id)

    def revoke_token(self, token_id: int, *, by: Who) -> None:
        """Refuse a token from now on. One's own, or with MANAGE_USERS anybody's. Raises RegistryError."""
        now = datetime.now(UTC)
        wanted = ApiTokenRow.id == token_id
        with self._registry.writing() as connection:
            row = connection.execute(sa.select(ApiTokenRow.__table__).where(wanted)).first()
            own = row is not None and (by.user_id == row.user_id or by.may(Permission.MANAGE_USERS))
            if row is None or not own:
                raise Refused(message("token {number}: is not known"), number=token_id)
            if row.revoked_at is None:
                connection.execute(sa.update(ApiTokenRow).where(wanted).values(revoked_at=now))
                audit.record(connection, by, "token.revoke", str(token_id), at=now, name=row.name)

    def of_token(self, secret: str) -> Who | None:
        """Whose token this is, with what it is good for; None for an unknown, expired or revoked one."""
        digest = _digest(secret)
        if digest is None:
            return None
        wanted = (
            sa.select(UserRow.__table__, ApiTokenRow.scope, ApiTokenRow.id.label("token_id"))
            .join(ApiTokenRow, ApiTokenRow.user_id == UserRow.id)
            .where(
                ApiTokenRow.digest == digest, ApiTokenRow.revoked_at.is_(None),
                ApiTokenRow.expires_at > datetime.now(UTC), UserRow.disabled_at.is_(None),
            )
        )  # fmt: skip
        with self._registry.reading() as connection:
            row = connection.execute(wanted).first()
        if row is None:
            return None
        who = _who(read_user(row), Via.TOKEN)
        permissions = who.permissions & READ if row.scope == "read" else who.permissions
        return msgspec.structs.replace(who, permissions=permissions, token_id=row.token_id)

    def forget_old(self) -> None:
        """Drop sessions, browsers and lines of the log that are older than they are kept."""
        now = datetime.now(UTC)
        with self._registry.writing() as connection:
            for table in (SessionRow, DeviceRow):
                connection.execute(sa.delete(table).where(table.expires_at <= now))
            audit.forget(connection, now - timedelta(seconds=self._settings.audit))

    def _lengths(self, role: Role) -> tuple[float, float]:
        """Idle and in any case, seconds."""
        if role is Role.DISPLAY:
            return self._settings.display_session, self._settings.display_session
        return self._settings.session_idle, self._settings.session

    def _seen(self, digest: str, now: datetime) -> None:
        with self._registry.writing() as connection:
            connection.execute(sa.update(SessionRow).where(SessionRow.digest == digest).values(seen_at=now))


def _who(user: User, via: Via) -> Who:
    made = somebody(user.name, user.role, via, frozenset(user.schools))
    return msgspec.structs.replace(made, user_id=user.id)


def _digest(secret: str) -> str | None:
    if not secret.startswith(TOKEN_PREFIX):
        return None
    return digest_of(secret.removeprefix(TOKEN_PREFIX))


def _refuse_too_many(connection: Connection, user: User, now: datetime) -> None:
    valid = sa.select(sa.func.count()).where(
        ApiTokenRow.user_id == user.id, ApiTokenRow.revoked_at.is_(None), ApiTokenRow.expires_at > now
    )
    if (connection.scalar(valid) or 0) >= MAX_TOKENS:
        raise Refused(
            message("user {name}: has {number} tokens; revoke some first"), name=user.name, number=MAX_TOKENS
        )


def _tokens(connection: Connection, *wanted: Any) -> list[ApiToken]:
    columns = [getattr(ApiTokenRow, name) for name in ApiToken.__struct_fields__[2:]]
    rows = connection.execute(
        sa.select(ApiTokenRow.id, UserRow.name, *columns)
        .join(UserRow, UserRow.id == ApiTokenRow.user_id)
        .where(*wanted)
        .order_by(ApiTokenRow.id)
    )
    return [ApiToken(*row) for row in rows]
