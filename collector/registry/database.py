"""Opening the registry's database: SQLite in WAL mode or PostgreSQL, brought up to date by migrations.

Alembic is loaded when there is something to migrate: it stays in memory, 12 MB, as long as the process lives.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_WAIT_SECONDS = 10.0
LOCK_POLL_SECONDS = 0.02
DATABASES = ("sqlite", "postgresql")


class RegistryError(Exception):
    """What the registry refuses or cannot do, in one line."""


def open_engine(url: str) -> Engine:
    """Connect and migrate. Raises RegistryError for a URL or database that cannot be used."""
    parsed = _parsed(url)
    try:
        engine = _made(parsed)
        try:
            _migrate(engine)
        except BaseException:
            engine.dispose()
            raise
    except ModuleNotFoundError as error:
        raise RegistryError(f"registry.url: the driver {error.name} is not installed") from None
    except (sa.exc.DBAPIError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        raise RegistryError(f"registry.url: {parsed.render_as_string()} cannot be opened: {reason}") from None
    return engine


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        raise RegistryError("registry.url: is not a database URL like sqlite:////var/lib/x.db") from None
    if parsed.get_backend_name() not in DATABASES:
        raise RegistryError(f"registry.url: {parsed.get_backend_name()} is not one of {', '.join(DATABASES)}")
    return parsed


def _made(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    if not url.database or url.database == ":memory:":
        raise RegistryError("registry.url: SQLite needs a file, sqlite:////path/registry.db")
    _make_private(Path(url.database))
    engine = sa.create_engine(url, connect_args={"timeout": LOCK_WAIT_SECONDS})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(file: Path) -> None:
    """The file is its owner's alone from the first; SQLite gives its -wal and -shm the same mode."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)
    if file.stat().st_uid == os.geteuid():
        for each in (file, *(file.with_name(file.name + ending) for ending in ("-wal", "-shm"))):
            with contextlib.suppress(FileNotFoundError):
                each.chmod(0o600)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # the driver's own implicit BEGIN would come too late to make a read and the write after it one
    connection.isolation_level = None
    try:
        _keep_log(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()  # the pool does not know it yet
        raise


def _keep_log(connection: sqlite3.Connection) -> None:
    """Turn a file to WAL. SQLite does not wait for the lock where another turns it at the same time."""
    until = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(LOCK_POLL_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # a deferred transaction that turns into a writing one fails at once where another wrote meanwhile
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    if _is_newest(engine):
        return
    from alembic import command  # noqa: PLC0415

    with _versions(engine) as settings:
        command.upgrade(settings, "head")


def _is_newest(engine: Engine) -> bool:
    """There is nothing to migrate."""
    with engine.execution_options(reads_only=True).begin() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return False
        held = connection.scalars(sa.text("SELECT version_num FROM alembic_version"))
        return list(held) == [newest_revision()]


def newest_revision() -> str:
    """What the last migration leads to; each file's name begins with it."""
    return max(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("*_*.py"))


@contextlib.contextmanager
def _versions(engine: Engine) -> Iterator[Config]:
    """Alembic's settings on one transaction, which no other collector migrates beside."""
    from alembic.util import CommandError  # noqa: PLC0415

    settings = _config()
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7823641)")
        settings.attributes["connection"] = connection
        try:
            yield settings
        except CommandError as error:
            raise RegistryError(
                f"registry: its tables are of a version that this one does not know: {error}"
            ) from None


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415

    settings = Config()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    return settings


class Schema(NamedTuple):
    """Which tables a database has, and which this version wants; None where none were made yet."""

    current: str | None
    newest: str


def schema_of(url: str) -> Schema:
    """Look, and change nothing. Raises RegistryError."""
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    parsed, newest = _parsed(url), newest_revision()
    if parsed.get_backend_name() == "sqlite" and not (parsed.database and Path(parsed.database).exists()):
        return Schema(None, newest)
    with _opened(parsed) as engine, engine.connect() as connection:
        return Schema(MigrationContext.configure(connection).get_current_revision(), newest)


def change_schema(url: str, revision: str | None = None) -> Schema:
    """Bring the tables forward to the newest, or to ``revision``, «-1» for one back. Raises RegistryError."""
    from alembic import command  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    with _opened(_parsed(url)) as engine:
        with _versions(engine) as settings:
            context = MigrationContext.configure(settings.attributes["connection"])
            known = ScriptDirectory.from_config(settings)
            if _lies_back(known, context.get_current_revision(), revision):
                command.downgrade(settings, revision or "")
            else:
                command.upgrade(settings, revision or "head")
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    return Schema(current, known.get_current_head() or "")


def _lies_back(known: ScriptDirectory, current: str | None, revision: str | None) -> bool:
    if revision is None or current is None:
        return False
    if revision.startswith("-"):
        return True
    return revision in {each.revision for each in known.iterate_revisions(current, "base")} - {current}


@contextlib.contextmanager
def _opened(url: URL) -> Iterator[Engine]:
    """An engine for as long as the block lasts; what the database refuses is one line."""
    try:
        engine = _made(url)
        try:
            yield engine
        finally:
            engine.dispose()
    except ModuleNotFoundError as error:
        raise RegistryError(f"registry.url: the driver {error.name} is not installed") from None
    except (sa.exc.DBAPIError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        raise RegistryError(f"registry.url: {url.render_as_string()} cannot be used: {reason}") from None
