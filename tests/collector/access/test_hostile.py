"""What somebody hostile sends to a real collector: refused in words, and nobody else is the worse for it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import sqlalchemy as sa
from starlette.requests import Request

from agent.credentials import digest_of, new_token
from agent.rotation import Outcome
from collector import bodies
from collector.access.forms import TYPE as FORM_TYPE
from collector.access.origin import is_on_this_host
from collector.access.permissions import Role
from collector.enrolment.codes import new_code
from collector.enrolment.configurations import Scope
from collector.enrolment.tables import CentralRow
from collector.web.events import Events
from tests.collector.access.visitor import BY, Visitor, add_user
from tests.collector.enrolment.county import Client, code_for, enrol
from tests.collector.running import Running, running, settings_in, wait_until

DEEP = b'{"x":' + b"[" * 3000 + b"]" * 3000 + b"}"
NO_UTF8 = b'{"boot_id": "\xff", "code": "\xff", "what": "\xff", "token_digest": "\xff"}'
BEAT: dict[str, Any] = {
    "boot_id": "b", "wall_ns": 1, "monotonic_ns": 1, "uptime_seconds": 1.0, "version": "v",
    "state": "running",
}  # fmt: skip


class County(NamedTuple):
    collector: Running
    admin: Visitor
    school: Visitor


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[County]:
    access = {
        "anonymous": "none",
        "passwords": {"memory_mebibytes": 8, "rounds": 1},
        "oidc": {"issuer": "http://127.0.0.1:1", "client_id": "x"},
    }
    changes = {"enrolment": {"guesses_per_address": 5}, "verdicts": {"plans": ("shandan",)}}
    with running(settings_in(tmp_path_factory.mktemp("hostile"), access=access, **changes)) as collector:
        add_user(collector, "wang", Role.COUNTY_ADMIN)
        add_user(collector, "li", Role.SCHOOL_ADMIN, "s1")
        found = County(collector, Visitor(collector.port), Visitor(collector.port))
        assert found.admin.log_in("wang").status == 303
        assert found.school.log_in("li").status == 303
        yield found


def own(visitor: Visitor, method: str, path: str, body: bytes) -> int:
    """As a page of ours would send it."""
    sent = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
    return visitor.ask(method, path, body, sent).status


@pytest.mark.parametrize(
    "body", [DEEP, NO_UTF8, b"\xff\xfe", b""], ids=["deep", "no utf-8", "bytes", "empty"]
)
@pytest.mark.parametrize("path", ["/api/v1/enrol", "/api/v1/heartbeat", "/api/v1/agent/token"])
def test_a_body_that_breaks_decoders_is_a_bad_request(county: County, path: str, body: bytes) -> None:
    assert county.collector.request("POST", path, body).status in {400, 413}


@pytest.mark.parametrize("body", [DEEP, NO_UTF8])
def test_so_it_is_for_the_routes_of_people(county: County, body: bytes) -> None:
    for method, path in (
        ("POST", "/api/v1/users"),
        ("POST", "/api/v1/tokens"),
        ("PATCH", "/api/v1/users/li"),
    ):
        assert own(county.admin, method, path, body) == 400


@pytest.mark.fault(25)
@pytest.mark.parametrize("key", ["wall_ns", "monotonic_ns"])
@pytest.mark.parametrize("value", ["1" + "0" * 25, "-1" + "0" * 25, "1" + "0" * 400, "1e400"])
def test_one_agents_impossible_clock_spoils_no_list(county: County, key: str, value: str) -> None:
    body = msgspec.json.encode({**BEAT, key: 4711}).replace(b"4711", value.encode())
    assert county.collector.request("POST", "/api/v1/heartbeat", body).status == 400
    county.collector.rooms.enrolment.tick()
    assert county.admin.get("/agents").status == 200
    assert county.admin.get("/api/v1/agents").status == 200


def test_a_clock_at_the_edge_of_what_is_allowed_is_shown(county: County) -> None:
    for value in (2**62 - 1, -(2**62)):
        beat = msgspec.json.encode({**BEAT, "wall_ns": value})
        assert county.collector.request("POST", "/api/v1/heartbeat", beat, agent="b1").status == 200
        county.collector.rooms.enrolment.tick()
        county.collector.rooms.ingest.clocks.save()
        assert county.admin.get("/agents").status == 200
        assert county.admin.get("/api/v1/agents").status == 200


@pytest.mark.parametrize("cookie", ["\xe9", "", "x" * 4000])
def test_a_login_that_was_not_begun_here_is_refused_whatever_its_cookie_holds(
    county: County, cookie: str
) -> None:
    sent = {"Cookie": f"xiaotong_login={cookie}"}
    for state in ("A" * 43, "%C3%A9", ""):
        path = f"/login/oidc/done?code=1&state={state}"
        assert county.collector.request("GET", path, agent=None, headers=sent).status == 401


@pytest.mark.parametrize(
    "path",
    ["/api/v1/audit?since=0001-01-01T00:00:00%2B23:59", "/api/v1/audit?since=9999-12-31T23:59:59-23:00",
     f"/api/v1/audit?after={'9' * 400}", "/api/v1/schools/%00", "/api/v1/schools/%ff", "/schools/%E2%80%AE",
     "/schools/..%2f..%2fetc", "/static/..%2f..%2fapp.py", "/static/%2e%2e/%2e%2e/app.py"],
)  # fmt: skip
def test_what_cannot_be_is_answered_in_words(county: County, path: str) -> None:
    assert county.admin.get(path).status in {400, 404}


def test_text_that_postgresql_cannot_keep_is_no_form(county: County) -> None:
    assert Visitor(county.collector.port).post("/login", name="a\0b", password="x").status == 400


def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> Any:
        await asyncio.sleep(60)

    request = Request({"type": "http", "method": "POST", "headers": []}, never)
    with pytest.raises(TimeoutError):
        asyncio.run(bodies.body_of(request, 100, 0.01))


def test_guesses_sent_at_once_count_one_by_one(county: County) -> None:
    """Connections opened before the first wrong code do not go round the wait."""
    collector = county.collector
    codes = [new_code() for _ in range(24)]
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda code: enrol(collector, code, source="127.0.0.31").status, codes))
    assert answers.count(403) <= 6
    assert set(answers) == {403, 429}
    slow = [_half_sent(collector.port, "127.0.0.32", new_code()) for _ in range(12)]
    statuses = [_rest(each, body) for each, body in slow]
    assert statuses.count(403) <= 6


def _half_sent(port: int, source: str, code: str) -> tuple[socket.socket, bytes]:
    body = msgspec.json.encode({"code": code, "token_digest": digest_of(new_token())})
    connection = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
    head = (
        f"POST /api/v1/enrol HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[:5])
    return connection, body[5:]


def _rest(connection: socket.socket, body: bytes) -> int:
    with connection:
        connection.sendall(body)
        return int(connection.recv(1000).split(b" ", 2)[1])


@pytest.mark.fault(2)
def test_a_body_that_breaks_off_is_no_fault_of_ours(county: County, caplog: pytest.LogCaptureFixture) -> None:
    """Schools on bad lines would fill the log with traces."""
    session = "; ".join(f"{name}={value}" for name, value in county.admin.cookies.items())
    of_admin = f"Cookie: {session}\r\nSec-Fetch-Site: same-origin"
    of_agent = f"Authorization: Token {county.collector.tokens['a1']}"
    form, upload = FORM_TYPE, "multipart/form-data; boundary=x"
    asked = [
        ("POST", "/api/v2/write?org=xiaotong&bucket=raw", of_agent), ("POST", "/api/v1/heartbeat", of_agent),
        ("POST", "/api/v1/agent/token", of_agent), ("POST", "/api/v1/enrol", "Accept: */*"),
        ("POST", "/api/v1/silences", of_admin), ("PUT", "/api/v1/packages", of_admin),
        ("POST", "/login", f"Content-Type: {form}"),
        ("POST", "/operations/schools", f"{of_admin}\r\nContent-Type: {upload}"),
    ]  # fmt: skip
    with caplog.at_level(logging.DEBUG, "collector.web.problems"):
        for method, path, headers in asked:
            _break_off(county.collector.port, f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}")
            _wait_for(caplog, f"body broken off method={method} path={path.partition('?')[0]}")
    assert [each.message for each in caplog.records if each.exc_info] == []


def _break_off(port: int, head: str) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(f"{head}\r\nContent-Length: 100\r\n\r\n".encode() + b"half")
        connection.shutdown(socket.SHUT_WR)
        assert b" 500 " not in connection.recv(1000)


def _wait_for(caplog: pytest.LogCaptureFixture, message: str) -> None:
    wait_until(lambda: message in caplog.messages)


@pytest.mark.fault(24)
def test_one_code_in_two_hands_at_once_opens_once(county: County) -> None:
    code = code_for(county.collector, "s2")
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: enrol(county.collector, code, source=f"127.0.1.{n}"), range(1, 9))
    assert sorted(each.status for each in answers) == [200] + [403] * 7


@pytest.mark.fault(4)
def test_a_name_invited_to_two_schools_is_the_first_ones(county: County) -> None:
    """The second would have taken the first one's place, and its school."""
    first, second = code_for(county.collector, "s1", "twin"), code_for(county.collector, "s2", "twin")
    token = new_token()
    assert enrol(county.collector, first, digest_of(token), "127.0.0.41").status == 200
    refused = enrol(county.collector, second, source="127.0.0.42")
    assert (refused.status, "another school" in refused.json["reason"]) == (403, True)
    county.collector.tokens["twin"] = token
    assert county.collector.request("GET", "/api/v1/agent/config", agent="twin").status == 200


@pytest.mark.fault(24)
def test_a_replaced_token_ends_no_newer_one(county: County, tmp_path: Path) -> None:
    """It opens for some seconds more, for what is under way; whoever kept it can do no more with it."""
    collector = county.collector
    code, token = code_for(collector, "s1", "turner"), new_token()
    enrol(collector, code, digest_of(token), "127.0.0.43")
    client = Client(collector, tmp_path, token)
    assert client.rotation.rotate() is Outcome.DONE
    collector.tokens["old"] = token
    announced = msgspec.json.encode({"token_digest": digest_of(new_token())})
    assert collector.request("POST", "/api/v1/agent/token", announced, agent="old").status == 409
    assert collector.request("POST", "/api/v1/agent/token/proof", b"{}", agent="old").status == 409
    assert client.push() == 204
    assert client.rotation.rotate() is Outcome.DONE


def test_a_restored_registry_does_not_pass_off_another_document_as_the_same(county: County) -> None:
    """Its numbers come again; who has the other document of that number is told of this one."""
    book, scope = county.collector.rooms.enrolment.configurations, Scope("agent", "b1")
    school = county.collector.rooms.registry.schools()["s2"]
    book.put(scope, {"probes": {"ipv6": {}}}, BY)
    before = book.effective("b1", school, None).revision
    with county.collector.rooms.registry.writing() as connection:
        connection.execute(sa.delete(CentralRow).where(CentralRow.subject == "b1"))
    book.put(scope, {"probes": {"ipv6": False}}, BY)
    assert book.current(scope).number == 1  # type: ignore[union-attr]
    assert book.effective("b1", school, None).revision != before


@pytest.mark.parametrize(
    "header", ["X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Port", "Forwarded", "Via", "X-Real-IP"]
)
def test_what_a_proxy_passed_on_is_not_of_this_host(header: str) -> None:
    def asked(*more: tuple[bytes, bytes]) -> Request:
        headers = [(b"host", b"127.0.0.1:8080"), *more]
        return Request({"type": "http", "client": ("127.0.0.1", 1), "headers": headers})

    assert is_on_this_host(asked())
    assert not is_on_this_host(asked((header.lower().encode(), b"https")))


@pytest.mark.fault(4)
@pytest.mark.parametrize(
    "path",
    ["/schools/s2", "/api/v1/schools/s2/series?measurement=ping", "/api/v1/schools/s2/outages",
     "/api/v1/schools/s2/availability", "/api/v1/schools/s2/verdicts", "/schools/s2/throughput",
     "/api/v1/schools/S2", "/api/v1/schools/s2%20", "/schools/s1%2f..%2fs2"],
)  # fmt: skip
def test_a_school_admin_reads_no_other_school(county: County, path: str) -> None:
    assert county.school.get(path).status == 404


@pytest.mark.fault(4)
@pytest.mark.parametrize(
    "path",
    ["/", "/plans", "/ipv6", "/incidents", "/agents", "/reports", "/api/v1/lines", "/api/v1/agents",
     "/api/v1/ipv6", "/api/v1/incidents", "/api/v1/silences"],
)  # fmt: skip
def test_no_list_names_another_school_to_him(county: County, path: str) -> None:
    answer = county.school.get(path)
    assert (answer.status, b"s2" in answer.body) == (200, False)


@pytest.mark.fault(5)
@pytest.mark.parametrize(("school", "status"), [("s2", 404), ("", 404), ("s1", 201)])
def test_he_silences_his_own_school_alone(county: County, school: str, status: int) -> None:
    times = {"starts_at": "2099-01-01T00:00:00+08:00", "ends_at": "2099-01-02T00:00:00+08:00"}
    silence = msgspec.json.encode({"school": school, "why": "works", **times})
    assert own(county.school, "POST", "/api/v1/silences", silence) == status


@pytest.mark.fault(5)
def test_a_school_admin_gains_no_more_than_he_has(county: County) -> None:
    new = b'{"name": "evil", "role": "county_admin"}'
    assert own(county.school, "POST", "/api/v1/users", new) == 403
    assert own(county.school, "PATCH", "/api/v1/users/li", b'{"what": "link"}') == 403
    assert county.school.post("/users", name="evil", role="county_admin").status == 403
    assert county.school.post("/users/change", name="wang", what="link").status == 403
    admins = county.collector.rooms.access.users.named("wang")
    token, _ = county.collector.rooms.access.logins.add_token(admins, "mine", "read", 1, by=BY)
    assert own(county.school, "DELETE", f"/api/v1/tokens/{token.id}", b"") == 404


def test_a_login_takes_over_no_session_that_was_there(county: County) -> None:
    visitor = Visitor(county.collector.port)
    visitor.cookies["xiaotong_session"] = planted = "A" * 43
    assert visitor.log_in("li").status == 303
    assert visitor.cookies["xiaotong_session"] != planted
    other = Visitor(county.collector.port)
    other.cookies["xiaotong_session"] = planted
    assert other.get("/account").status == 303


def test_a_stream_of_events_ends_and_is_asked_again_who_it_is() -> None:
    """So that whoever was let in no longer is told nothing more."""

    class Board:
        def number(self) -> int:
            return 1

    async def told() -> list[str]:
        events = Events(Board(), 1, 60, life_seconds=0.0)  # type: ignore[arg-type]
        return [piece async for piece in events._tell("")]

    assert asyncio.run(told()) == ["retry: 5000\n\n"]


@pytest.mark.parametrize(
    ("language", "said"), [("zh-CN", "没有用户 nobody"), ("en", "user nobody: is not known")]
)
def test_a_refusal_is_in_the_readers_language(county: County, language: str, said: str) -> None:
    page = county.admin.post("/users/change", {"Accept-Language": language}, name="nobody", what="disable")
    assert (page.status, said in page.body.decode()) == (400, True)


@pytest.mark.parametrize(
    ("language", "said"), [("zh-CN", "这次登录不是在这里开始的"), ("en", "was not begun here")]
)
def test_so_is_what_the_login_service_says(county: County, language: str, said: str) -> None:
    page = Visitor(county.collector.port).get("/login/oidc/done?state=x", **{"Accept-Language": language})
    assert (page.status, said in page.body.decode()) == (401, True)
