"""The registry on a real SQLite file."""

from __future__ import annotations

import importlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import collector
from collector.registry import AgentIdentity, Registry, RegistryError, copies
from collector.registry.database import open_engine
from collector.registry.tables import Base, SchoolVersionRow
from config.school import Line, School
from config.units import BitsPerSecond

SCHOOL = School(id="s1", name="第一小学", lines=(Line(id="wan", contracted_down=BitsPerSecond(100_000_000)),))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/data/registry.db"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    opened = Registry.open(url, refresh_seconds=0)
    yield opened
    opened.close()


def test_a_school_is_read_back_as_it_was_declared(registry: Registry) -> None:
    assert registry.put_school(SCHOOL)
    assert registry.school("s1") == SCHOOL
    assert list(registry.schools()) == ["s1"]
    assert registry.school("nobody") is None


def test_the_same_school_twice_changes_nothing(registry: Registry) -> None:
    registry.put_school(SCHOOL)
    assert not registry.put_school(SCHOOL)
    assert _versions(registry, "s1") == 1


def test_a_changed_school_keeps_its_past_and_replaces_its_lines(registry: Registry) -> None:
    registry.put_school(SCHOOL)
    changed = School(id="s1", name="新名", lines=(Line(id="a"), Line(id="b")))
    assert registry.put_schools([changed, School(id="s2")]) == ("s1", "s2")
    assert registry.school("s1") == changed
    assert _versions(registry, "s1") == 2


def test_schools_are_put_all_or_none(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="school s2: is given twice"):
        registry.put_schools([School(id="s1"), School(id="s2"), School(id="s2")])
    assert not registry.schools()


@pytest.mark.parametrize("bad", ["", "..", "../s1", "a/b", "a b", "a\n", "学校", "-a", "a" * 65, "%2e%2e"])
def test_an_id_that_could_be_a_path_is_refused(registry: Registry, bad: str) -> None:
    with pytest.raises(RegistryError, match="is not 1 to 64 of"):
        registry.put_school(School(id=bad))
    with pytest.raises(RegistryError, match="is not 1 to 64 of"):
        registry.put_school(School(id="s1", lines=(Line(id=bad),)))


def test_two_lines_of_one_id_are_refused(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="two lines have the same id"):
        registry.put_school(School(id="s1", lines=(Line(id="wan"), Line(id="wan"))))


def test_a_token_opens_for_its_agent_and_school(registry: Registry) -> None:
    registry.put_school(SCHOOL)
    token = registry.add_agent("s1", "gw")
    assert registry.agent_by_token(token) == AgentIdentity("gw", "s1")


def test_agents_without_a_name_are_numbered(registry: Registry) -> None:
    registry.put_school(SCHOOL)
    registry.add_agent("s1")
    registry.add_agent("s1")
    assert [agent.id for agent in registry.agents()] == ["s1-1", "s1-2"]


def test_an_agent_of_nobody_and_a_taken_name_are_refused(registry: Registry) -> None:
    registry.put_school(SCHOOL)
    registry.add_agent("s1", "gw")
    for school_id, name, reason in [
        ("nobody", "x", "school nobody: is not known"),
        ("s1", "gw", "agent gw: exists already"),
        ("s1", "../gw", "is not 1 to 64 of"),
    ]:
        with pytest.raises(RegistryError, match=reason):
            registry.add_agent(school_id, name)
    assert len(registry.agents()) == 1


@pytest.mark.fault(24)
def test_only_the_whole_token_opens(registry: Registry) -> None:
    registry.put_school(SCHOOL)
    token = registry.add_agent("s1", "gw")
    other_case = token.swapcase()
    for wrong in ["", " ", token[:-1], token + "A", token[1:], f" {token}", other_case, "é" * 43, "A" * 43]:
        assert registry.agent_by_token(wrong) is None, wrong


@pytest.mark.fault(24)
def test_a_revoked_token_opens_no_more_here_and_in_other_processes(registry: Registry, url: str) -> None:
    registry.put_school(SCHOOL)
    token = registry.add_agent("s1", "gw")
    other = Registry.open(url, refresh_seconds=0)
    assert other.agent_by_token(token) is not None
    registry.revoke("gw")
    assert registry.agent_by_token(token) is None
    assert other.agent_by_token(token) is None
    assert registry.agents()[0].revoked_at is not None
    other.close()
    with pytest.raises(RegistryError, match="agent nobody: is not known"):
        registry.revoke("nobody")


@pytest.mark.fault(24)
def test_the_database_holds_no_token(registry: Registry, url: str, tmp_path: Path) -> None:
    registry.put_school(SCHOOL)
    token = registry.add_agent("s1", "gw")
    registry.close()
    for path in (tmp_path / "data").iterdir():
        assert token.encode() not in path.read_bytes()


def test_lookups_ask_the_database_once_a_refresh(url: str) -> None:
    registry = Registry.open(url, refresh_seconds=3600)
    registry.put_school(SCHOOL)
    token = registry.add_agent("s1", "gw")
    assert registry.agent_by_token(token) is not None
    statements: list[str] = []
    sa.event.listen(registry._engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    assert all(registry.agent_by_token(token) for _ in range(1000))
    assert statements == []
    began = time.monotonic()
    assert not any(registry.agent_by_token("A" * 43) for _ in range(1000))
    assert len(statements) <= 1 + (time.monotonic() - began) / copies.AGAIN_SECONDS
    registry.close()


def test_a_token_that_another_process_just_added_opens(
    registry: Registry, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that starts in the same second is not refused."""
    monkeypatch.setattr(copies, "AGAIN_SECONDS", 0.0)
    registry.put_school(SCHOOL)
    collector = Registry.open(url, refresh_seconds=3600)
    assert collector.agent_by_token("A" * 43) is None
    token = registry.add_agent("s1", "gw")
    held = collector.agent_by_token(token)
    assert held is not None
    assert held.agent_id == "gw"
    collector.close()


def test_what_another_process_declares_is_seen(registry: Registry, url: str) -> None:
    assert registry.school("s1") is None
    other = Registry.open(url)
    other.put_school(SCHOOL)
    other.close()
    assert registry.school("s1") == SCHOOL


def test_agents_seen_are_written_together(registry: Registry) -> None:
    registry.put_school(SCHOOL)
    registry.add_agent("s1", "a")
    registry.add_agent("s1", "b")
    heard = datetime(2026, 11, 22, 8, tzinfo=UTC)
    registry.note_seen("a", heard)
    assert [agent.seen_at for agent in registry.agents()] == [None, None]
    registry.flush_seen()
    assert [agent.seen_at for agent in registry.agents()] == [heard, None]


def test_the_migrations_make_exactly_the_tables(url: str) -> None:
    rooms = Path(collector.__path__[0])
    for tables in rooms.glob("*/tables.py"):
        importlib.import_module(f"collector.{tables.parent.name}.tables")
    engine = open_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_a_migrated_database_opens_again_in_wal_mode(url: str, tmp_path: Path) -> None:
    Registry.open(url).close()
    Registry.open(url).close()
    connection = sqlite3.connect(tmp_path / "data/registry.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_two_that_make_the_database_at_the_same_time_wait_for_each_other(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, other.execute, ["COMMIT"])
    release.start()
    Registry.open(f"sqlite:///{file}").close()
    release.join()
    other.close()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("", "is not a database URL"),
        ("mysql://x/y", "mysql is not one of sqlite, postgresql"),
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:////proc/nowhere/x.db", "cannot be opened"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_one_line(bad: str, reason: str) -> None:
    with pytest.raises(RegistryError, match=reason) as caught:
        Registry.open(bad)
    assert "\n" not in str(caught.value)


@pytest.mark.fault(20)
def test_the_password_of_a_database_is_in_no_message() -> None:
    with pytest.raises(RegistryError) as caught:
        Registry.open("postgresql+pg8000://xiaotong:canary-secret@127.0.0.1:1/x")
    assert "canary-secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"not a database at all, " * 50)
    before = _open_files()
    with pytest.raises(RegistryError, match="cannot be opened: file is not a database"):
        Registry.open(f"sqlite:///{path}")
    assert _open_files() == before


def _open_files() -> set[str]:
    """What this process has open, without what comes and goes by itself."""
    links = (Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd"))
    return {
        str(link.readlink()) for link in links if link.is_symlink() and "registry.db" in str(link.readlink())
    }


def test_the_file_is_its_owners_alone(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "registry.db").touch(mode=0o644)  # an older version's
    opened = Registry.open(url)
    opened.put_school(SCHOOL)
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir()}
    opened.close()
    assert modes == {f"registry.db{ending}": "0o600" for ending in ("", "-wal", "-shm")}


def _versions(registry: Registry, school_id: str) -> int:
    with registry.reading() as connection:
        of_school = SchoolVersionRow.school_id == school_id
        return connection.scalar(sa.select(sa.func.count()).where(of_school)) or 0
