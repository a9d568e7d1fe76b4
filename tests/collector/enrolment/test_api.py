"""Agents invited, revoked, asked for tokens and configured over the API of a real collector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from agent.credentials import digest_of, new_token
from collector.access.audit import entries
from collector.access.permissions import Role
from tests.collector.access.visitor import BY, add_user
from tests.collector.enrolment.county import enrol
from tests.collector.running import Answered, Running, running, settings_in

CANARY = "canary-community-0815"
DEVICE = {"id": "core", "host": "10.0.0.2", "community": CANARY}


class Api:
    """A county admin's token, or another's."""

    def __init__(self, county: Running) -> None:
        self.county = county
        self.tokens = {}
        for name, role in (("wang", Role.COUNTY_ADMIN), ("li", Role.SCHOOL_ADMIN)):
            add_user(county, name, role, *(["s1"] if role is Role.SCHOOL_ADMIN else []))
            user = county.rooms.access.users.named(name)
            _, self.tokens[name] = county.rooms.access.logins.add_token(user, "t", "full", 1, by=BY)

    def ask(self, method: str, path: str, content: Any = None, user: str = "wang") -> Answered:
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        body = b"" if content is None else msgspec.json.encode(content)
        return self.county.request(method, f"/api/v1{path}", body, agent=None, headers=headers)

    def log(self) -> list[str]:
        with self.county.rooms.registry.reading() as connection:
            return [f"{each.who} {each.action} {each.subject}" for each in entries(connection)]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    access = {"anonymous": "none", "passwords": {"memory_mebibytes": 8, "rounds": 1}}
    with running(settings_in(tmp_path_factory.mktemp("api"), access=access)) as county:
        yield Api(county)


def test_an_agent_is_invited_rotated_and_revoked(api: Api) -> None:
    made = api.ask("POST", "/invitations", {"school": "s1", "name": "gate"})
    assert made.status == 201
    assert made.json["line"].endswith(f"--code {made.json['code']}")
    token = new_token()
    assert enrol(api.county, made.json["code"], digest_of(token)).json == {"agent": "gate", "school": "s1"}
    api.county.tokens["gate"] = token
    assert api.ask("POST", "/agents/gate/rotate").status == 204
    assert api.county.rooms.enrolment.states.rotation_asked_at("gate") is not None
    assert api.county.request("GET", "/api/v1/agent/config", agent="gate").status == 200
    assert api.ask("POST", "/agents/gate/revoke").status == 204
    assert api.county.request("GET", "/api/v1/agent/config", agent="gate").status == 401
    assert api.ask("POST", "/agents/gate/rotate").status == 400
    for line in ("wang agents.invite s1", "wang agents.rotate gate", "wang agents.revoke gate"):
        assert line in api.log()


@pytest.mark.parametrize(
    "invitation",
    [{"school": "nowhere"}, {"school": "s2", "name": "a1"}, {"school": "s1", "name": "../x"},
     {"school": "s1", "valid_seconds": 1}, {"school": "s1", "valid_seconds": 1e9}, {"school": 1}, {}],
)  # fmt: skip
def test_an_invitation_that_cannot_be_is_refused(api: Api, invitation: dict[str, Any]) -> None:
    assert api.ask("POST", "/invitations", invitation).status == 400


def test_a_document_is_set_shown_masked_and_undone(api: Api) -> None:
    assert api.ask("GET", "/configurations/county").json["number"] is None
    first = {"probes": {"snmp": {"devices": [DEVICE]}}}
    made = api.ask("PUT", "/configurations/county", {"document": first})
    assert (made.status, made.json["number"]) == (200, 1)
    assert CANARY.encode() not in made.body
    kept = made.json["document"]
    assert kept["probes"]["snmp"]["devices"][0]["community"] == "***"
    kept["probes"]["ipv6"] = False
    assert api.ask("PUT", "/configurations/county", {"document": kept}).json["number"] == 2
    told = api.county.request("GET", "/api/v1/agent/config").json["document"]
    assert told["probes"] == {"snmp": {"devices": [DEVICE]}, "ipv6": False}
    tried = api.ask("PUT", "/configurations/agent:a1", {"document": {"plan": "shandan"}, "dry_run": True})
    assert tried.status == 200
    assert api.ask("GET", "/configurations/agent:a1").json["number"] is None
    assert api.ask("POST", "/configurations/county/undo", {}).json["number"] == 3
    assert "ipv6" not in api.ask("GET", "/configurations/county").json["document"]["probes"]
    history = api.ask("GET", "/configurations/county/history")
    assert [each["number"] for each in history.json["states"]] == [3, 2, 1]
    assert CANARY.encode() not in history.body
    assert "wang agents.configure county" in api.log()


@pytest.mark.parametrize(
    ("scope", "document", "status"),
    [("county", {"collector": {"url": "http://evil"}}, 400), ("school:s9", {}, 404),
     ("agent:nobody", {}, 404),
     ("county", {"probes": {"snmp": {"profiles": "/etc"}}}, 400), ("everything", {}, 404),
     ("school:", {}, 404),
     ("county", {"probes": {"capacity": {"iperf3": {"host": "evil"}}}}, 400), ("county", [], 400),
     ("school:s2", {"probes": {"snmp": {"devices": [{"id": "x", "community": "***"}]}}}, 400)],
)  # fmt: skip
def test_a_document_that_may_not_be_set_is_refused(api: Api, scope: str, document: Any, status: int) -> None:
    assert api.ask("PUT", f"/configurations/{scope}", {"document": document}).status == status


def test_the_list_says_why_an_agent_does_not_follow(api: Api) -> None:
    told = api.county.request("GET", "/api/v1/agent/config").json["revision"]
    beat = {
        "boot_id": "b", "wall_ns": 1, "monotonic_ns": 1, "uptime_seconds": 1.0, "version": "1.2",
        "state": "running",
        "config": {"applied": "", "refused": told, "reason": "key probes.ping: is wrong"},
    }  # fmt: skip
    assert api.county.request("POST", "/api/v1/heartbeat", msgspec.json.encode(beat)).status == 200
    found = {each["id"]: each for each in api.ask("GET", "/configurations").json["agents"]}
    assert (found["a1"]["configuration"], found["a1"]["reason"]) == ("refused", "key probes.ping: is wrong")


def test_a_school_admin_manages_no_agents(api: Api) -> None:
    for method, path, content in (
        ("POST", "/invitations", {"school": "s1"}),
        ("POST", "/agents/a1/revoke", None),
        ("POST", "/agents/a1/rotate", None),
        ("PUT", "/configurations/school:s1", {"document": {}}),
        ("GET", "/configurations/school:s1", None),
    ):
        assert api.ask(method, path, content, "li").status == 403


@pytest.mark.parametrize("depth", [100, 500, 30000])
def test_a_document_nested_without_end_is_refused(api: Api, depth: int) -> None:
    nested = f'{{"document": {{"plan": {"[" * depth}{"]" * depth}}}}}'.encode()
    headers = {"Authorization": f"Bearer {api.tokens['wang']}"}
    path = "/api/v1/configurations/county"
    assert api.county.request("PUT", path, nested, agent=None, headers=headers).status == 400
