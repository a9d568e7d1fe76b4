"""Every route x every role x own, foreign and unknown school, made from the route table of a real collector.

What must hold is written down here once more, by permission and by role, and not read from the product's own
table. A route that is new is in the matrix by itself; one whose permission is not known here fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import pytest
from starlette.routing import BaseRoute, Mount, Route

from collector.access.declaring import stated
from collector.access.permissions import PERMISSIONS, Permission, Role
from collector.app import routes_of
from collector.rooms import Rooms
from tests.collector.access.visitor import BY, Visitor, add_user
from tests.collector.running import Running, running, settings_in

SCHOOLS = {"own": "s1", "foreign": "s2", "unknown": "s9"}
CALLERS = ("nobody", "agent", *(role.value for role in Role), "read token")
ALL = frozenset(CALLERS) - {"nobody", "agent"}
MAY: dict[str, frozenset[str]] = {
    "public": frozenset(CALLERS),
    "agent": frozenset({"agent"}),
    "signed_in": ALL - {"read token"},
    "read_lists": ALL,
    "read_school": ALL,
    "read_county": ALL - {"school_admin"},
    "read_region": frozenset({"county_admin", "regional", "read token"}),
    "test_now": frozenset({"county_admin", "school_admin"}),
    "acknowledge_incidents": frozenset({"county_admin", "school_admin"}),
    "manage_schools": frozenset({"county_admin"}),
    "manage_agents": frozenset({"county_admin"}),
    "manage_users": frozenset({"county_admin"}),
    "read_audit": frozenset({"county_admin", "read token"}),
    "operate": frozenset({"county_admin"}),
}
"""Who passes which permission; «read token» is a county admin's, of scope read."""
REFUSED = {401, 403}


class Case(NamedTuple):
    """One route and method, with a school in its path."""

    method: str
    path: str
    permission: str
    school: str


class County(NamedTuple):
    collector: Running
    routes: list[BaseRoute]
    visitors: dict[str, Visitor]
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[County]:
    access = {"anonymous": "none", "passwords": {"memory_mebibytes": 8, "rounds": 1}}
    settings = settings_in(
        tmp_path_factory.mktemp("matrix"),
        access=access,
        verdicts={"plans": ("shandan",)},
        web={"refresh": 0.0},
    )
    with running(settings) as collector:
        visitors = {"nobody": Visitor(collector.port), "agent": Visitor(collector.port)}
        for role in Role:
            add_user(collector, role.value, role, *(["s1"] if role is Role.SCHOOL_ADMIN else []))
            visitors[role.value] = Visitor(collector.port)
            assert visitors[role.value].log_in(role.value).status == 303
        admin = collector.rooms.access.users.named("county_admin")
        _, secret = collector.rooms.access.logins.add_token(admin, "matrix", "read", 1, by=BY)
        visitors["read token"] = Visitor(collector.port)
        tokens = {"read token": f"Bearer {secret}", "agent": f"Token {collector.tokens['a1']}"}
        yield County(collector, list(routes_of(collector.rooms)), visitors, tokens)


def cases(rooms: Rooms, routes: list[BaseRoute]) -> Iterator[Case]:
    for route in routes:
        assert isinstance(route, Route | Mount)
        permission = stated(route).permission.value
        methods = sorted((getattr(route, "methods", None) or {"GET"}) - {"HEAD"})
        path = f"{route.path}/page.css" if isinstance(route, Mount) else route.path
        schools = SCHOOLS if "{school_id}" in path else {"own": "s1"}
        for method in methods:
            for kind, school in schools.items():
                filled = re.sub(r"\{\w+(:\w+)?\}", "9", path.replace("{school_id}", school))
                yield Case(method, filled, permission, kind)


def asked(county: County, case: Case, caller: str) -> int:
    headers = {"Accept": "application/json", "Origin": f"http://127.0.0.1:{county.collector.port}"}
    if caller in county.tokens:
        headers["Authorization"] = county.tokens[caller]
    answer = county.visitors[caller].ask(case.method, case.path, "", headers)
    return answer.status


def wrong(case: Case, caller: str, status: int) -> bool:
    """Whether this answer is not as it must be."""
    may = caller in MAY[case.permission]
    if status >= 500:
        return True
    if not may:
        return status not in REFUSED
    if case.permission in {"public", "agent"}:
        return False
    foreign = caller == "school_admin" and case.school == "foreign"
    if case.school == "unknown" or foreign:
        return status != 404
    return status in REFUSED and not (status == 403 and case.method != "GET" and caller == "read token")


def is_endless(route: str) -> bool:
    """Streams of events are asked by the test of their own room: they never end."""
    return "events" in route


@pytest.mark.fault(4)
def test_every_route_lets_in_whom_it_must_and_nobody_else(county: County) -> None:
    seen, failures = 0, []
    for case in cases(county.collector.rooms, county.routes):
        assert case.permission in MAY, f"{case}: say in MAY who passes {case.permission}"
        for caller in CALLERS:
            if case.path in {"/logout"} or (is_endless(case.path) and caller in MAY[case.permission]):
                continue
            seen += 1
            status = asked(county, case, caller)
            if wrong(case, caller, status):
                failures.append((case, caller, status))
    assert not failures, "\n".join(map(str, failures))
    assert seen > 200


def test_the_products_table_is_the_one_written_down_here() -> None:
    for permission in Permission:
        roles = {role.value for role in Role if permission in PERMISSIONS[role]}
        if permission not in {Permission.PUBLIC, Permission.AGENT}:
            assert roles == MAY[permission.value] - {"read token"}, permission
    assert set(MAY) == {permission.value for permission in Permission}


@pytest.mark.fault(4)
def test_lists_hold_ones_own_schools_alone(county: County) -> None:
    for path, key, field in [
        ("/api/v1/schools", "schools", "id"),
        ("/api/v1/agents", "agents", "school"),
        ("/api/v1/lines", "lines", "school"),
    ]:
        mine = _listed(county, "school_admin", path, key, field)
        everybodys = _listed(county, "county_admin", path, key, field)
        assert mine <= {"s1"}
        assert mine <= everybodys
    assert _listed(county, "school_admin", "/api/v1/schools", "schools", "id") == {"s1"}
    assert _listed(county, "county_admin", "/api/v1/schools", "schools", "id") == {"s1", "s2"}
    page = county.visitors["school_admin"].get("/").body.decode()
    assert "/schools/s1" in page
    assert "/schools/s2" not in page


@pytest.mark.fault(24)
@pytest.mark.parametrize("caller", ["read token", "agent"])
@pytest.mark.parametrize("spoilt", ["empty", "cut", "longer", "another", "revoked"])
def test_a_spoilt_token_opens_nothing(county: County, caller: str, spoilt: str) -> None:
    scheme, _, token = county.tokens[caller].partition(" ")
    path, method = ("/api/v1/users", "GET") if caller != "agent" else ("/api/v1/heartbeat", "POST")
    sent = {"empty": "", "cut": token[:-1], "longer": token + "A", "another": token[:-4] + "AAAA"}.get(
        spoilt, token
    )
    if spoilt == "revoked":
        sent = _revoked(county.collector, caller)
    answer = Visitor(county.collector.port).ask(
        method, path, "", {"Authorization": f"{scheme} {sent}", "Accept": "application/json"}
    )
    assert answer.status == 401


def _revoked(collector: Running, caller: str) -> str:
    if caller == "agent":
        token = collector.rooms.registry.add_agent("s1", "gone")
        collector.rooms.registry.revoke("gone")
        return token
    logins, admin = collector.rooms.access.logins, collector.rooms.access.users.named("county_admin")
    made, secret = logins.add_token(admin, "gone", "read", 1, by=BY)
    logins.revoke_token(made.id, by=msgspec.structs.replace(BY, user_id=admin.id))
    return secret


def _listed(county: County, caller: str, path: str, key: str, field: str) -> set[str]:
    answer = county.visitors[caller].ask("GET", path, "", {"Accept": "application/json"})
    return {row[field] for row in answer.json[key]}
