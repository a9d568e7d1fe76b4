"""A real PostgreSQL of the distribution, on a socket in a folder of its own, while a test needs it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from collector.registry.database import open_engine

USER = "xiaotong"
TEMPLATE = "migrated"
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB")


def program(name: str) -> str | None:
    """A program of the server; Debian keeps them outside the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


class Postgres:
    """One server. ``database_of(text)`` is a migrated database that belongs to ``text`` alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[str] = set()

    def url(self, name: str) -> URL:
        """Where a database of this server is."""
        query = {"host": str(self._folder)}
        return URL.create("postgresql+psycopg", username=USER, database=name, query=query)

    def database_of(self, text: str) -> URL:
        """The same text gets the same database, made when it is first asked for."""
        name = "t" + hashlib.sha256(text.encode()).hexdigest()[:24]
        if name not in self._made:
            self._order(f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE}')
            self._made.add(name)
        return self.url(name)

    def drop_all(self) -> None:
        """Away with every database that was asked for."""
        for name in sorted(self._made):
            self._order(f'DROP DATABASE "{name}" WITH (FORCE)')
        self._made.clear()

    def make_template(self) -> None:
        """Migrate once; every database begins as a copy."""
        self._order(f"CREATE DATABASE {TEMPLATE}")
        open_engine(self.url(TEMPLATE).render_as_string()).dispose()

    def _order(self, order: str) -> None:
        with psycopg.connect(host=str(self._folder), user=USER, dbname="postgres", autocommit=True) as server:
            server.execute(order.encode())


@contextlib.contextmanager
def postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """Start a server and take it down; ``durable`` keeps what a real one keeps when it is killed."""
    folder = Path(tempfile.mkdtemp(prefix="xiaotong-pg-"))
    try:
        as_user = _give_away(folder)
        with _server(folder, as_user, () if durable else FAST):
            server = Postgres(folder)
            server.make_template()
            yield server
    finally:
        shutil.rmtree(folder)


def _give_away(folder: Path) -> dict[str, str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(folder, "postgres", "postgres")
    return {"user": "postgres", "group": "postgres"}


@contextlib.contextmanager
def _server(folder: Path, as_user: dict[str, str], options: tuple[str, ...]) -> Iterator[None]:
    data, control = str(folder / "data"), program("pg_ctl")
    assert control is not None, "PostgreSQL is not installed"
    made = f"--username={USER} --auth=trust --no-sync --encoding=UTF8 --locale=C"
    _run([control, "initdb", "-s", "-D", data, "-o", made], as_user)
    words = [f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c max_connections=200"]
    words += [f"-c {option}" for option in options]
    log = str(folder / "log")
    _run([control, "start", "-s", "-w", "-D", data, "-l", log, "-o", " ".join(words)], as_user)
    try:
        yield
    finally:
        _run([control, "stop", "-s", "-m", "immediate", "-D", data], as_user)


def _run(command: list[str], as_user: dict[str, str]) -> None:
    group = {"extra_groups": ()} if as_user else {}
    subprocess.run(command, check=True, cwd="/", timeout=60, **as_user, **group)  # type: ignore[call-overload]
