"""What keeps tables of its own in the registry's database is shown on both databases by the same tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL

from collector.registry import database as registry_database
from tests.collector.postgres import Postgres, postgres, program

ON_BOTH = (
    "tests/collector/access/test_entry.py",
    "tests/collector/enrolment/test_codes.py",
    "tests/collector/enrolment/test_tokens.py",
    "tests/collector/enrolment/test_configurations.py",
    "tests/collector/incidents/test_book.py",
    "tests/collector/messages/test_outbox.py",
    "tests/collector/packages/test_rollouts.py",
    "tests/collector/registry/test_copies.py",
    "tests/collector/registry/test_registry.py",
    "tests/collector/reports/test_mailing.py",
    "tests/collector/responder/test_ledger.py",
    "tests/collector/verdicts/test_room.py",
)
"""The contract suites: each runs on SQLite and on PostgreSQL."""

LONG = ("tests/collector/uptime/test_room.py",)
"""Those that also do when the environment holds BOTH_DATABASES=all: half a minute of a core."""

OF_FILES = frozenset(
    {
        "test_the_database_holds_no_token",
        "test_a_migrated_database_opens_again_in_wal_mode",
        "test_a_url_that_cannot_be_used_is_refused_in_one_line",
        "test_a_file_that_is_no_database_is_refused",
        "test_the_file_is_its_owners_alone",
        "test_every_change_is_in_the_log_of_who_did_what",
        "test_the_first_start_prints_a_link_and_keeps_none",
        "test_an_agent_that_was_off_for_a_month_comes_back_and_replaces_its_token",
    }
)
"""Tests of the SQLite file itself, or of a collector of their own that shows the same on either."""


def _on_both() -> tuple[str, ...]:
    return ON_BOTH + (LONG if os.environ.get("BOTH_DATABASES") == "all" else ())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database" in metafunc.fixturenames and metafunc.definition.nodeid.startswith(_on_both()):
        both = ["sqlite"] if metafunc.function.__name__ in OF_FILES else ["sqlite", "postgresql"]
        metafunc.parametrize("database", both, indirect=True, scope="module")


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests of this process."""
    if program("pg_ctl") is None:
        pytest.skip("needs postgresql")
    with postgres() as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def database(request: pytest.FixtureRequest) -> Iterator[None]:
    """On PostgreSQL, each file that a test would make becomes a database of the server."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield
        return
    started: Postgres = request.getfixturevalue("server")
    read = registry_database._parsed

    def redirected(url: str) -> URL:
        parsed = read(url)
        return started.database_of(url) if parsed.get_backend_name() == "sqlite" else parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry_database, "_parsed", redirected)
        yield
    started.drop_all()
