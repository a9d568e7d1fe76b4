"""Tokens replaced, revoked and good after a month, between a real collector and the agent's own code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.credentials import digest_of, new_token
from agent.rotation import Outcome
from agent.settings import Secret
from collector.access import audit
from tests.agent.clocks import HandClock
from tests.collector.enrolment.county import Client, pushing, renewed
from tests.collector.running import Running, running, settings_in, wait_until

DAY = 86400.0


@pytest.fixture(scope="module")
def one(database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = settings_in(
        tmp_path_factory.mktemp("county"),
        enrolment={"overlap": 1.0},
        registry={"refresh": 0.2},
        ingest={"max_requests_per_agent": 64},
    )
    with running(settings) as found:
        yield found


@pytest.fixture
def county(one: Running) -> Running:
    return renewed(one)


@pytest.fixture
def client(county: Running, tmp_path: Path) -> Client:
    return Client(county, tmp_path / "agent", county.tokens["a1"])


def test_a_token_is_replaced_under_load_and_no_push_fails(county: Running, client: Client) -> None:
    first = client.credential.token()
    with pushing(client) as statuses:
        for _ in range(3):
            before = len(statuses)
            wait_until(lambda before=before: len(statuses) > before + 5)  # type: ignore[misc]
            assert client.rotation.rotate() is Outcome.DONE
        wait_until(lambda: len(statuses) > 30)
    assert set(statuses) == {204}
    assert client.credential.token() != first
    assert not client.file.with_name("agent.token.next").exists()
    assert client.file.stat().st_mode & 0o777 == 0o600
    county.tokens["old"] = first
    wait_until(lambda: county.request("GET", "/api/v1/agent/config", agent="old").status == 401)
    assert client.push() == 204


@pytest.mark.parametrize("crash_after", ["prepare", "announce", "prove"])
def test_a_crash_at_any_step_leaves_an_agent_that_works(client: Client, crash_after: str) -> None:
    upcoming = client.credential.prepare()
    if crash_after != "prepare":
        assert client.rotation._announce(upcoming)
    if crash_after == "prove":
        assert client.rotation._post("/api/v1/agent/token/proof", {}, lambda: upcoming) == 204
        time.sleep(1.2)  # the old token's overlap is over: only the next one opens
    client.restart()
    assert client.rotation.settle() is Outcome.DONE
    assert client.credential.token() == upcoming
    assert client.push() == 204
    client.restart()
    assert client.rotation.settle() is Outcome.NOTHING


def test_a_next_token_that_was_lost_can_be_announced_anew(client: Client) -> None:
    lost = client.credential.prepare()
    assert client.rotation._announce(lost)
    client.credential.discard()
    assert client.rotation.rotate() is Outcome.DONE
    assert client.push() == 204


@pytest.mark.fault(24)
def test_an_agent_cannot_announce_the_token_of_another(county: Running, client: Client) -> None:
    stolen = f'{{"token_digest": "{digest_of(Secret(county.tokens["b1"]))}"}}'
    assert county.request("POST", "/api/v1/agent/token", stolen).status == 409
    assert county.request("POST", "/api/v1/agent/token", '{"token_digest": "x"}').status == 400
    assert county.request("POST", "/api/v1/agent/token", "{}", agent=None).status == 401


@pytest.mark.fault(24)
def test_empty_cut_and_unknown_tokens_open_nothing(county: Running) -> None:
    for token in ("", "x", "A" * 42, "A" * 43, "A" * 44, "Ä" * 43, county.tokens["a1"][:-1]):
        headers = {"Authorization": f"Token {token}".encode().decode("latin-1")}
        for path in ("/api/v1/agent/token", "/api/v1/agent/token/proof", "/api/v1/agent/config"):
            method = "GET" if path.endswith("config") else "POST"
            assert county.request(method, path, b"{}", agent=None, headers=headers).status == 401, (
                token,
                path,
            )


@pytest.mark.fault(24)
def test_a_revoked_agent_is_stopped_at_once_everywhere_and_told_what_to_do(
    county: Running, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.beat() is not None
    county.rooms.registry.revoke("a1")
    revoked = time.monotonic()
    assert client.push() == 401
    assert client.beat() is None
    for method, path in (("GET", "/api/v1/agent/config"), ("POST", "/api/v1/tickets")):
        assert county.request(method, path).status == 401
    assert client.rotation.rotate() is Outcome.LATER
    assert time.monotonic() - revoked < 5
    assert "xiaotong-agent enrol" in caplog.text
    assert client.credential.token() not in caplog.text


def test_a_running_agent_takes_the_token_of_a_new_enrolment_by_itself(
    county: Running, client: Client
) -> None:
    county.rooms.registry.revoke("a1")
    assert client.push() == 401
    token = new_token()
    county.rooms.enrolment.invitations.open(
        county.rooms.enrolment.invitations.invite(["s1"], "a1", 60, audit.command_line())[0].code,
        digest_of(token),
    )
    client.file.write_text(f"{token}\n")
    assert client.push() == 204


def test_an_agent_that_was_off_for_a_month_comes_back_and_replaces_its_token(tmp_path: Path) -> None:
    clock = HandClock(wall_ns=time.time_ns())
    with running(settings_in(tmp_path / "c", enrolment={}), clock) as county:
        client = Client(county, tmp_path / "agent", county.tokens["a1"])
        told = client.beat()
        assert told is not None
        assert not told.rotate
        clock.pass_seconds(30.5 * DAY)
        told = client.beat()
        assert told is not None
        assert told.rotate
        first = client.credential.token()
        assert client.rotation.rotate() is Outcome.DONE
        assert client.credential.token() != first
        told = client.beat()
        assert told is not None
        assert not told.rotate


def test_a_county_can_ask_for_a_new_token(county: Running, client: Client) -> None:
    states = county.rooms.enrolment.states
    states.ask_rotation("a1", audit.command_line())
    told = client.beat()
    assert told is not None
    assert told.rotate
    assert client.rotation.rotate() is Outcome.DONE
    told = client.beat()
    assert told is not None
    assert not told.rotate
