"""Two collectors that write of many schools at once never wait for each other's rows in a ring: both take
them in the same order, whatever order they heard of them in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from collector.enrolment.states import AgentState, States
from collector.registry import Registry
from collector.uptime.records import Records as Days
from collector.verdicts.book import Book
from collector.verdicts.records import Records
from config.evidence import Evidence, EvidenceKind
from config.school import School
from tests.collector.postgres import Postgres

NOW = datetime(2026, 11, 23, 4, tzinfo=UTC)
PEAK = Evidence(EvidenceKind.PASSIVE_PEAK, "wan", NOW, "down", lower_bits_per_second=80_000_000)
HOW_MANY_WAIT = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def registry(server: Postgres) -> Iterator[Registry]:
    opened = Registry.open(server.database_of("order of writes").render_as_string())
    for school in ("s1", "s2"):
        opened.put_school(School(id=school))
        opened.add_agent(school, school)
    yield opened
    opened.close()
    server.drop_all()


def evidence(registry: Registry, *schools: str) -> None:
    changes = {school: Book(ZoneInfo("UTC")).add([PEAK]) for school in schools}
    Records(registry).write_evidence(changes, NOW)


def days(registry: Registry, *schools: str) -> None:
    Days(registry).put_days({(school, "", 20_000): bytes(1440) for school in schools})


def seen(registry: Registry, *agents: str) -> None:
    for agent in agents:
        registry.note_seen(agent, NOW)
    registry.flush_seen()


def states(registry: Registry, *agents: str) -> None:
    said = States(registry)
    for agent in agents:
        said.note(agent, AgentState(version="0.2.0"))
    said.flush()


@pytest.mark.parametrize(
    ("write", "table"),
    [(evidence, "evidence"), (days, "uptime_days"), (seen, "agents"), (states, "agent_states")],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_rows_are_taken_in_one_order(registry: Registry, write: Callable[..., None], table: str) -> None:
    write(registry, "s1", "s2")
    of = "id" if table == "agents" else "agent_id" if table == "agent_states" else "school_id"
    locked = sa.text(f"SELECT 1 FROM {table} WHERE {of} = :row FOR UPDATE NOWAIT")
    writer = threading.Thread(target=write, args=(registry, "s2", "s1"))
    with registry.writing() as other:
        other.execute(locked, {"row": "s1"})
        writer.start()
        while not other.scalar(sa.text(HOW_MANY_WAIT)):
            assert writer.is_alive()
        other.execute(locked, {"row": "s2"})
    writer.join()


def test_what_agents_said_is_kept_until_it_is_written(registry: Registry) -> None:
    """It may be that an upgrade failed: said once, and it stops the order."""
    said = States(registry)
    said.note("s1", AgentState(order_id="o", order_state="failed"))
    with registry.writing() as connection:
        connection.execute(sa.text("ALTER TABLE agent_states RENAME TO away"))
    with pytest.raises(sa.exc.ProgrammingError):
        said.flush()
    with registry.writing() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO agent_states"))
    said.flush()
    assert said.stored()["s1"].order_state == "failed"
