"""The one mechanism: a route without a permission does not start, and the guard lets through by a table."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Mount, Route

from collector.access import Permission, Role, Who, permitted
from collector.access.declaring import UnguardedRoute
from collector.access.origin import comes_from_elsewhere, is_on_this_host
from collector.access.routes import guarded
from collector.access.who import NOBODY, Via, somebody
from tests.collector.web.serving import LetsIn


async def told(request: Request) -> Response:
    return PlainTextResponse(getattr(request.state, "who", NOBODY).name)


class KnowsTwo(LetsIn):
    def knows_school(self, school_id: str) -> bool:
        return school_id in {"own", "foreign"}


def asked(
    who: Who, permission: Permission, *, method: str = "GET", path: str = "/x", headers: Any = ()
) -> tuple[int, dict[str, str]]:
    """Status and headers that one route answers."""
    pattern = "/schools/{school_id}" if path.startswith("/schools/") else path
    route = permitted(permission, Route(pattern, told, methods=[method]))
    app = Starlette(routes=guarded([route], KnowsTwo(who)))
    return answered(app, method, path, headers)


def answered(app: Starlette, method: str, path: str, headers: Any) -> tuple[int, dict[str, str]]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope(method, path, headers), receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def scope(method: str = "GET", path: str = "/", headers: Any = (), client: str = "127.0.0.1") -> Any:
    named = {"host": "127.0.0.1:8080", **dict(headers)}
    return {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"a=1",
        "scheme": "http", "server": ("127.0.0.1", 8080), "client": (client, 5),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }  # fmt: skip


@pytest.mark.parametrize(
    "route",
    [
        Route("/new", told),
        Mount("/new", routes=[Route("/x", told)]),
        Host("example.test", Starlette()),
    ],
)
def test_a_route_that_states_no_permission_is_refused(route: BaseRoute) -> None:
    with pytest.raises(UnguardedRoute, match="states no permission"):
        guarded([route], LetsIn(NOBODY))


def test_a_permission_over_one_school_needs_the_school_in_the_path() -> None:
    with pytest.raises(UnguardedRoute, match=r"needs \{school_id\} in the path"):
        permitted(Permission.READ_SCHOOL, Route("/schools", told))


@pytest.mark.fault(4)
@pytest.mark.parametrize(
    ("role", "school", "status"),
    [
        (Role.SCHOOL_ADMIN, "own", 200),
        (Role.SCHOOL_ADMIN, "foreign", 404),
        (Role.SCHOOL_ADMIN, "unknown", 404),
        (Role.COUNTY_ADMIN, "foreign", 200),
        (Role.COUNTY_ADMIN, "unknown", 404),
        (Role.DISPLAY, "foreign", 200),
        (Role.REGIONAL, "foreign", 200),
    ],
)
def test_a_school_is_its_own_admins_and_those_who_see_all(role: Role, school: str, status: int) -> None:
    who = somebody("li", role, Via.SESSION, frozenset({"own"}))
    assert asked(who, Permission.READ_SCHOOL, path=f"/schools/{school}")[0] == status


def test_nobody_is_led_to_the_log_in_or_told_in_json() -> None:
    status, headers = asked(NOBODY, Permission.READ_LISTS, headers={"accept": "text/html"})
    assert (status, headers["location"]) == (303, "/login?next=%2Fx%3Fa%3D1")
    status, headers = asked(NOBODY, Permission.READ_LISTS)
    assert (status, headers["content-type"]) == (401, "application/problem+json")
    assert headers["www-authenticate"].startswith("Bearer")
    assert asked(NOBODY, Permission.PUBLIC)[0] == 200


@pytest.mark.parametrize(
    ("via", "headers", "status"),
    [
        (Via.SESSION, {"sec-fetch-site": "same-origin"}, 200),
        (Via.SESSION, {"origin": "http://127.0.0.1:8080"}, 200),
        (Via.SESSION, {"sec-fetch-site": "cross-site"}, 403),
        (Via.SESSION, {"sec-fetch-site": "same-site"}, 403),
        (Via.SESSION, {"origin": "https://evil.test"}, 403),
        (Via.SESSION, {"origin": "null"}, 403),
        (Via.SESSION, {}, 403),
        (Via.THIS_HOST, {"origin": "https://evil.test"}, 403),
        (Via.THIS_HOST, {}, 200),
        (Via.TOKEN, {"origin": "https://evil.test"}, 200),
    ],
)
def test_another_sites_page_changes_nothing(via: Via, headers: dict[str, str], status: int) -> None:
    who = somebody("wang", Role.COUNTY_ADMIN, via)
    assert asked(who, Permission.OPERATE, method="POST", headers=headers)[0] == status
    assert asked(who, Permission.OPERATE, method="GET", headers=headers)[0] == 200


@pytest.mark.parametrize(
    ("client", "headers", "here"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:8080"}, True),
        ("127.3.2.1", {"host": "localhost"}, True),
        ("::1", {"host": "[::1]:8080"}, True),
        ("::ffff:127.0.0.1", {"host": "127.0.0.1"}, True),
        ("127.0.0.1", {"host": "rebound.evil.test"}, False),
        ("127.0.0.1", {"host": ""}, False),
        ("127.0.0.1", {"host": "[::1"}, False),
        ("127.0.0.1", {"host": "127.0.0.1", "x-forwarded-for": "198.51.100.7"}, False),
        ("198.51.100.7", {"host": "127.0.0.1"}, False),
    ],
)
def test_this_host_is_loopback_by_address_and_by_name(
    client: str, headers: dict[str, str], here: bool
) -> None:
    assert is_on_this_host(Request(scope(headers=headers, client=client))) is here


def test_a_request_without_a_site_is_a_programs() -> None:
    assert not comes_from_elsewhere(Request(scope("POST")))
