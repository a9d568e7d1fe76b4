"""The book of configurations: merged in order, undone, its secrets sealed and sent where nobody listens."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet

from collector.access import audit
from collector.enrolment.configurations import Scope
from collector.enrolment.sealing import Seal, masked
from collector.registry import RegistryError
from config.central import CentralError, check, merged
from config.settings import SettingsError
from tests.collector.enrolment.county import renewed
from tests.collector.running import Running, running, settings_in

CANARY = "canary-community-4711"
BY = audit.command_line()


def with_device(secret: str = CANARY) -> dict[str, Any]:
    return {"probes": {"snmp": {"devices": [{"id": "core", "host": "10.0.0.2", "community": secret}]}}}


@pytest.fixture(scope="module")
def one(database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(settings_in(tmp_path_factory.mktemp("county"))) as found:
        yield found


@pytest.fixture
def county(one: Running) -> Running:
    return renewed(one)


def fetched(county: Running, **options: Any) -> Any:
    return county.request("GET", "/api/v1/agent/config", **options)


def test_the_agent_goes_before_the_school_and_the_school_before_the_county(county: Running) -> None:
    book = county.rooms.enrolment.configurations
    book.put(Scope("county"), {"probes": {"ping": {"window": "60s", "probes": 20}, "ipv6": {}}}, BY)
    book.put(Scope("school", "s1"), {"probes": {"ping": {"probes": 10}, "ipv6": False}}, BY)
    book.put(Scope("agent", "a1"), {"probes": {"ping": {"wait": "2s"}}}, BY)
    mine, other = fetched(county).json["document"], fetched(county, agent="b1").json["document"]
    assert mine["probes"] == {"ping": {"window": "60s", "probes": 10, "wait": "2s"}, "ipv6": False}
    assert other["probes"] == {"ping": {"window": "60s", "probes": 20}, "ipv6": {}}
    assert (mine["school"]["id"], other["school"]["id"]) == ("s1", "s2")


def test_an_unchanged_configuration_is_not_sent_again(county: Running) -> None:
    first = fetched(county)
    assert fetched(county, headers={"If-None-Match": first.headers["etag"]}).status == 304
    county.rooms.enrolment.configurations.put(Scope("county"), {"probes": {"ipv6": {}}}, BY)
    second = fetched(county, headers={"If-None-Match": first.headers["etag"]})
    assert second.status == 200
    assert second.json["revision"] != first.json["revision"]


def test_undo_goes_back_and_forth_and_to_a_number(county: Running) -> None:
    book, scope = county.rooms.enrolment.configurations, Scope("county")
    with pytest.raises(RegistryError, match="nothing to go back to"):
        book.undo(scope, BY)
    for every in ("10s", "20s", "30s"):
        book.put(scope, {"probes": {"ipv6": {"every": every}}}, BY)
    said = [book.undo(scope, BY), book.undo(scope, BY), book.undo(scope, BY, 1)]
    assert [each.document["probes"]["ipv6"]["every"] for each in said] == ["20s", "30s", "10s"]
    assert [each.number for each in book.history(scope)] == [6, 5, 4, 3, 2, 1]
    assert book.undo(scope, BY, dry_run=True).number == 7
    assert book.current(scope) == said[-1]


@pytest.mark.fault(20)
def test_secrets_are_sealed_at_rest_masked_for_people_and_sent_as_they_are(county: Running) -> None:
    book = county.rooms.enrolment.configurations
    version = book.put(Scope("county"), with_device(), BY)
    assert CANARY not in repr(version) + repr(masked(version.document)) + str(masked(version.document))
    for file in [each for each in county.rooms.settings.data.rglob("*") if each.is_file()]:
        assert CANARY.encode() not in file.read_bytes(), file
    assert fetched(county).json["document"]["probes"]["snmp"]["devices"][0]["community"] == CANARY
    kept = book.put(Scope("county"), with_device("***"), BY)
    assert kept.document == version.document
    with pytest.raises(SettingsError, match="device other: community is"):
        book.put(
            Scope("county"), {"probes": {"snmp": {"devices": [{"id": "other", "community": "***"}]}}}, BY
        )


@pytest.mark.fault(20)
def test_secrets_are_not_sent_over_a_network_in_the_clear(county: Running) -> None:
    county.rooms.enrolment.configurations.put(Scope("county"), with_device(), BY)
    # this host's proxy says that the client is elsewhere and came by http
    answer = fetched(county, headers={"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "http"})
    assert answer.status == 403
    assert CANARY.encode() not in answer.body
    assert "over https only" in answer.json["reason"]
    by_tls = fetched(county, headers={"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"})
    assert by_tls.status == 200


def test_the_key_is_replaced_by_a_line_before_the_old_one(county: Running) -> None:
    book, key_file = county.rooms.enrolment.configurations, county.rooms.settings.data / "secrets.key"
    book.put(Scope("county"), with_device(), BY)
    assert key_file.stat().st_mode & 0o777 == 0o600
    key_file.write_bytes(Fernet.generate_key() + b"\n" + key_file.read_bytes())
    assert book.reseal() == 1
    key_file.write_bytes(key_file.read_bytes().splitlines()[0])
    assert fetched(county).json["document"]["probes"]["snmp"]["devices"][0]["community"] == CANARY
    key_file.write_bytes(Fernet.generate_key())
    lost = fetched(county)
    assert (lost.status, CANARY.encode() in lost.body) == (503, False)


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    seal = Seal(tmp_path / "key")
    seal.sealed(with_device())
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(SettingsError, match="others may read it"):
        seal.sealed(with_device())


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (
            {"collector": {"url": "http://evil"}},
            "key collector: the county may not set it; allowed: plan, pr",
        ),
        ({"state_directory": "/"}, "key state_directory: the county may not"),
        ({"probes": {"shell": {}}}, "key probes.shell: is no probe"),
        ({"probes": {"capacity": {"method": "iperf3"}}}, "key probes.capacity.method: the county may not"),
        ({"probes": {"snmp": {"profiles": "/etc"}}}, "key probes.snmp.profiles: the county may not"),
        (
            {"probes": {"snmp": {"devices": [{"id": "x", "community_file": "/etc/shadow"}]}}},
            r"key probes.snmp.devices\[0\].community_file: the county may not",
        ),
        (
            {"probes": {"snmp": {"devices": [{"community": "a\nb"}]}}},
            r"devices\[0\].community: allowed is text",
        ),
        ({"schedule": {"command": "x"}}, "key schedule.command: the county may not"),
        ({"probes": ["ping"]}, "key probes: allowed are keys with values"),
        (["x"], r"key \(the whole document\): allowed are keys"),
    ],
)
def test_a_county_cannot_set_what_is_the_local_files(document: object, reason: str) -> None:
    with pytest.raises(CentralError, match=reason):
        check(document)


def test_merging_replaces_lists_and_leaves_its_sources_alone() -> None:
    county = {"probes": {"ping": {"targets": [1, 2]}}, "schedule": {"hours": {"ping": "school"}}}
    school = {"probes": {"ping": {"targets": [3]}, "ipv6": None}, "schedule": {"jitter": "1s"}}
    before = msgspec.json.encode([county, school])
    assert merged(county, school) == {
        "probes": {"ping": {"targets": [3]}, "ipv6": {}},
        "schedule": {"hours": {"ping": "school"}, "jitter": "1s"},
    }
    assert msgspec.json.encode([county, school]) == before


def test_every_change_is_in_the_log_of_who_did_what(county: Running) -> None:
    book = county.rooms.enrolment
    book.configurations.put(Scope("school", "s1"), with_device(), BY)
    book.invitations.invite(["s1"], "", 60, BY)
    rows = (
        sqlite3.connect(county.rooms.settings.data / "registry.db")
        .execute("SELECT action, subject, detail FROM audit")
        .fetchall()
    )
    assert {(action, subject) for action, subject, _ in rows} >= {
        ("agents.configure", "school s1"),
        ("agents.invite", "s1"),
    }
    assert CANARY not in repr(rows)
