"""Logging in and out of a real collector on loopback, and guesses at passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from collector.access.audit import entries
from collector.access.forms import page_after
from collector.access.permissions import Role
from collector.access.tables import SessionRow
from collector.commands.serve import _tell_first_link
from collector.enrolment.settings import TlsSettings
from collector.settings import Listen
from tests.collector.access.visitor import BY, PASSWORD, Visitor, add_user
from tests.collector.running import Running, running, settings_in


@pytest.fixture(scope="module")
def collector(database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("access")
    access = {"anonymous": "none", "passwords": {"memory_mebibytes": 8, "rounds": 1, "first_wait": 60.0}}
    with running(settings_in(folder, access=access)) as started:
        add_user(started, "wang", Role.COUNTY_ADMIN)
        add_user(started, "li", Role.SCHOOL_ADMIN, "s1")
        yield started


@pytest.fixture
def visitor(collector: Running) -> Visitor:
    return Visitor(collector.port)


def logged(collector: Running) -> list[str]:
    with collector.rooms.registry.reading() as connection:
        return [f"{each.action} {each.subject} {each.who}".strip() for each in entries(connection)]


def test_a_page_leads_to_the_log_in_and_back(visitor: Visitor) -> None:
    led = visitor.get("/schools/s1?lang=en")
    assert (led.status, led.headers["location"]) == (303, "/login?next=%2Fschools%2Fs1%3Flang%3Den")
    assert 'value="/schools/s1?lang=en"' in visitor.get(led.headers["location"]).body.decode()
    answer = visitor.log_in("wang", after="/schools/s1")
    assert (answer.status, answer.headers["location"]) == (303, "/schools/s1")
    assert visitor.get("/schools/s1").status == 200


def test_the_cookie_is_the_browsers_alone(visitor: Visitor) -> None:
    answer = visitor.ask(
        "POST", "/login", f"name=wang&password={PASSWORD}&next=/".replace(" ", "+"),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert answer.status == 303
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=lax" in answer.headers["set-cookie"]


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD[:-1], PASSWORD + " ", "x" * 300])
def test_a_wrong_password_opens_nothing(collector: Running, password: str) -> None:
    visitor = Visitor(collector.port, "127.0.0.9")
    answer = visitor.log_in("wang", password)
    assert answer.status == 401
    assert not visitor.cookies


def test_a_session_ends_at_logout_and_its_cookie_is_worth_nothing(
    collector: Running, visitor: Visitor
) -> None:
    visitor.log_in("li")
    kept = dict(visitor.cookies)
    assert visitor.get("/account").status == 200
    assert visitor.post("/logout").status == 303
    again = Visitor(collector.port)
    again.cookies = kept
    assert again.get("/account").status == 303


@pytest.mark.parametrize("over", ["idle", "absolute"])
def test_a_session_ends_by_time(collector: Running, visitor: Visitor, over: str) -> None:
    visitor.log_in("li")
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    changed = {"seen_at": long_ago} if over == "idle" else {"expires_at": long_ago}
    with collector.rooms.registry.writing() as connection:
        connection.execute(sa.update(SessionRow).values(changed))
    assert visitor.get("/account").status == 303


def test_a_new_password_ends_every_session(collector: Running) -> None:
    add_user(collector, "chen", Role.DISPLAY)
    first, second = Visitor(collector.port), Visitor(collector.port)
    first.log_in("chen")
    second.log_in("chen")
    new = "another long password"
    assert first.post("/account", old=PASSWORD, password=new, again=new).status == 303
    assert second.get("/").status == 303
    assert first.log_in("chen").status == 401
    assert first.log_in("chen", new).status == 303


def test_guesses_wait_and_lock_nobody_else_out(collector: Running) -> None:
    """The one who guesses waits; the owner elsewhere, and at a browser of his own next to him, does not."""
    add_user(collector, "zhao", Role.DISPLAY)
    own = Visitor(collector.port, "127.0.0.7")
    assert own.log_in("zhao").status == 303
    guesser = Visitor(collector.port, "127.0.0.7")
    answers = [guesser.log_in("zhao", f"guess {number}") for number in range(7)]
    assert [each.status for each in answers] == [401] * 5 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert guesser.log_in("zhao").status == 429, "the right password waits too: it is not told from a guess"
    assert own.log_in("zhao").status == 303
    assert Visitor(collector.port, "127.0.0.8").log_in("zhao").status == 303


def test_many_guesses_from_one_address_leave_a_turn_for_others(collector: Running) -> None:
    with ThreadPoolExecutor(12) as pool:
        flood = [
            pool.submit(Visitor(collector.port, "127.0.0.66").log_in, f"nobody{number}", "guess")
            for number in range(40)
        ]
        assert Visitor(collector.port, "127.0.0.67").log_in("wang").status == 303
        assert {each.result().status for each in flood} <= {401, 429}


def test_a_link_sets_a_password_once(collector: Running, visitor: Visitor) -> None:
    users = collector.rooms.access.users
    users.add("sun", Role.DISPLAY, by=BY)
    old, link = users.new_link("sun", 60, by=BY), users.new_link("sun", 60, by=BY)
    assert visitor.get(f"/password?link={old}").status == 410
    assert 'value="sun"' in visitor.get(f"/password?link={link}").body.decode()
    fields: dict[str, Any] = {"link": link, "password": "short", "again": "short"}
    assert visitor.post("/password", **fields).status == 400
    fields |= {"password": PASSWORD, "again": PASSWORD + "!"}
    assert visitor.post("/password", **fields).status == 400
    fields |= {"again": PASSWORD}
    assert visitor.post("/password", **fields).status == 303
    assert visitor.post("/password", **fields).status == 410
    assert visitor.log_in("sun").status == 303


def test_a_link_ends_by_time(collector: Running, visitor: Visitor) -> None:
    link = collector.rooms.access.users.new_link("li", 0, by=BY)
    assert visitor.get(f"/password?link={link}").status == 410
    assert visitor.post("/password", link=link, password=PASSWORD, again=PASSWORD).status == 410


def test_a_form_of_another_site_is_refused(visitor: Visitor) -> None:
    evil = {"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"}
    assert visitor.post("/login", evil, name="wang", password=PASSWORD).status == 403
    visitor.log_in("wang")
    assert visitor.post("/users", evil, name="x", role="display").status == 403
    assert visitor.ask("POST", "/users", "name=x&role=display").status == 403, "a browser names its site"


def test_who_did_what_is_written_down(collector: Running, visitor: Visitor) -> None:
    visitor.log_in("wang")
    page = visitor.post("/users", name="zhou", role="school_admin", schools=["s1", "s2"]).body.decode()
    assert re.search(r"/password\?link=[\w-]{43}", page)
    assert visitor.post("/users/change", name="zhou", what="disable").status == 303
    token = re.search(r"xtu_[\w-]{43}", visitor.post(
        "/account/tokens", name="for the map", scope="read", days="30").body.decode())  # fmt: skip
    assert token
    said = logged(collector)
    for line in (
        "user.add zhou wang",
        "user.link zhou wang",
        "user.disable zhou wang",
        "token.add wang wang",
    ):
        assert line in said
    csv = visitor.get("/audit.csv")
    assert csv.headers["content-type"].startswith("text/csv")
    assert token[0] not in csv.body.decode()
    assert visitor.get("/audit").status == 200
    li = Visitor(collector.port)
    li.log_in("li")
    assert li.get("/audit").status == 403


def test_the_last_county_admin_stays(visitor: Visitor) -> None:
    visitor.log_in("wang")
    answer = visitor.post("/users/change", {"Accept-Language": "en"}, name="wang", what="disable")
    assert answer.status == 400
    assert "last county admin" in answer.body.decode()


@pytest.mark.parametrize(
    ("wanted", "page"),
    [("/schools/s1?a=1", "/schools/s1?a=1"), ("//evil.test", "/"), ("/\\evil.test", "/"), ("", "/"),
     ("https://evil.test", "/"), ("/a\r\nSet-Cookie: x", "/"), ("javascript:alert(1)", "/"), ("/[", "/[")],
)  # fmt: skip
def test_a_login_leads_to_our_own_pages_alone(wanted: str, page: str) -> None:
    assert page_after(wanted) == page


@pytest.mark.parametrize(
    ("tls", "host", "origin"),
    [(None, "127.0.0.1", "http://127.0.0.1:80"), (TlsSettings("c", "k"), "::1", "https://[::1]:80")],
)
def test_the_first_link_is_where_the_collector_serves(tls: Any, host: str, origin: str) -> None:
    assert Listen(tls=tls).origin(host, 80) == origin


def test_the_first_start_prints_a_link_and_keeps_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(settings_in(tmp_path, access={"anonymous": "none"})) as started:
        link = started.rooms.access.first_link()
        assert link is not None
        assert started.rooms.access.first_link() != link, "a second start voids the first's link"
        link = started.rooms.access.first_link()
        _tell_first_link(started.rooms.access, "https://127.0.0.1:8443")
        printed = re.search(
            r"  https://127\.0\.0\.1:8443/password\?link=([\w-]{43})\n", capsys.readouterr().err
        )
        assert printed
        link = printed[1]
        visitor = Visitor(started.port)
        assert visitor.post("/password", link=link, password=PASSWORD, again=PASSWORD).status == 303
        assert visitor.log_in("admin").status == 303
        assert started.rooms.access.first_link() is None
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert link is not None
    assert link.encode() not in kept
    assert PASSWORD.encode() not in kept
