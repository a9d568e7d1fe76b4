"""Readiness, the doctor, and the registry's tables forward and back on both databases."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
import yaml
from alembic.script import ScriptDirectory
from click.testing import CliRunner, Result

from collector.main import main
from collector.registry import Registry
from collector.registry.database import (
    MIGRATIONS,
    RegistryError,
    change_schema,
    newest_revision,
    open_engine,
    schema_of,
)
from collector.web import health
from config.school import School
from tests.collector.postgres import Postgres
from tests.collector.running import running, settings_in


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    server: Postgres = request.getfixturevalue("server")
    return server.database_of(str(tmp_path)).render_as_string()


def tables_of(url: str) -> set[str]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        names = set(sa.inspect(connection).get_table_names())
    engine.dispose()
    return names


def test_every_migration_goes_back_and_forward_again_and_schools_stay(url: str) -> None:
    registry = Registry.open(url)
    registry.put_school(School("s1", "第一小学"))
    registry.close()
    every, newest = tables_of(url), schema_of(url).newest
    for number in range(int(newest) - 1, 0, -1):
        assert change_schema(url, "-1").current == f"{number:04d}"
    assert {"schools", "alembic_version"} <= tables_of(url) < every
    assert change_schema(url).current == newest
    assert tables_of(url) == every
    registry = Registry.open(url)
    assert registry.school("s1") == School("s1", "第一小学")
    registry.close()


def test_tables_of_a_newer_version_are_refused_in_one_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(RegistryError, match="a version that this one does not know"):
        Registry.open(url)


def test_to_look_makes_nothing(tmp_path: Path) -> None:
    assert schema_of(f"sqlite:///{tmp_path}/registry.db").current is None
    assert list(tmp_path.iterdir()) == []


def test_ready_until_the_disk_is_full_or_the_registry_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(settings_in(tmp_path)) as collector:
        assert collector.request("GET", "/ready", agent=None).status == 200
        free = shutil.disk_usage(tmp_path)._replace(free=1)
        monkeypatch.setattr(health, "disk_usage", lambda _: free)
        full = collector.request("GET", "/ready", agent=None)
        assert (full.status, full.json["lacking"]) == (503, ["disk"])
        assert full.headers["retry-after"] == "5"
        monkeypatch.undo()
        (tmp_path / "registry.db").rename(tmp_path / "gone.db")
        collector.rooms.registry._engine.dispose()
        (tmp_path / "registry.db").mkdir()
        assert collector.request("GET", "/ready", agent=None).json["lacking"] == ["registry"]
        (tmp_path / "registry.db").rmdir()
        (tmp_path / "gone.db").rename(tmp_path / "registry.db")


def asked(tmp_path: Path, *words: str, **settings: Any) -> Result:
    file = tmp_path / "collector.yaml"
    file.write_text(yaml.safe_dump({"data_directory": str(tmp_path / "data"), **settings}))
    return CliRunner().invoke(main, [*words, "--config", str(file)])


def findings(result: Result) -> dict[str, str]:
    found = msgspec.json.decode(result.stdout)["findings"]
    return {each["subject"]: each["state"] for each in found if each["subject"] != "clock"}


def test_the_doctor_of_a_collector_that_runs_and_of_one_with_faults(tmp_path: Path) -> None:
    with running(settings_in(tmp_path / "data")) as collector:
        well = findings(asked(tmp_path, "doctor", "--json", listen={"port": collector.port}))
    assert set(well.values()) == {"well"}
    assert {"disk", "privileges", "port", "registry", "store"} <= well.keys()
    (tmp_path / "data").chmod(0o755)
    change_schema(f"sqlite:///{tmp_path}/data/registry.db", "-1")
    done = asked(tmp_path, "doctor", "--json", public_url="https://no-such-name.invalid")
    assert done.exit_code == 1
    faults = {subject for subject, state in findings(done).items() if state == "wrong"}
    assert faults == {"privileges", "registry", "dns"}


def test_upgrade_says_where_the_tables_stand(tmp_path: Path) -> None:
    newest = schema_of(f"sqlite:///{tmp_path}/data/registry.db").newest
    assert "version none" in asked(tmp_path, "upgrade", "--show").output
    assert asked(tmp_path, "upgrade").output.startswith(f"tables of version {newest};")
    assert f"tables of version {int(newest) - 1:04d};" in asked(tmp_path, "upgrade", "--back").output
    assert asked(tmp_path, "upgrade", "--to", "9999").exit_code == 2
    assert asked(tmp_path, "upgrade", "--to", "0001", "--back").exit_code == 2


def test_what_few_collectors_need_is_loaded_when_it_is_needed(tmp_path: Path) -> None:
    """Each stays in memory for as long as the process lives: together 50 MB on a small server."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    Registry.open(url).close()  # migrates
    needless = ("alembic", "cryptography", "influxdb_client", "joserfc", "openpyxl", "reportlab", "segno")
    code = (
        "import sys, collector.app; from collector.registry import Registry; "
        f"Registry.open('{url}').close(); print([each for each in {needless} if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_newest_tables_are_those_of_the_last_migration() -> None:
    assert newest_revision() == ScriptDirectory(str(MIGRATIONS)).get_current_head()
