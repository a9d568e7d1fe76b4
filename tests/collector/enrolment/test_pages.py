"""The agents' pages of a real collector: invite, print, revoke, configure, try, go back; who may not."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from agent.credentials import digest_of, new_token
from collector.access.audit import entries
from collector.access.permissions import Role
from collector.enrolment.configurations import Scope
from config.school import School
from tests.collector.access.visitor import Visitor, add_user
from tests.collector.enrolment.county import enrol
from tests.collector.running import Answered, Running, running, settings_in

CONFIGURATION = "/agents/configuration"
OF_SCHOOL = f"{CONFIGURATION}?for=school:"
DOCUMENT = "probes:\n  ping:\n    window: 20s\n"
CANARY = "canary-community-4711"


class Site(NamedTuple):
    county: Running
    admin: Visitor
    head: Visitor

    def log(self) -> list[str]:
        with self.county.rooms.registry.reading() as connection:
            return [f"{each.who} {each.action} {each.subject}" for each in entries(connection)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    access = {"anonymous": "none", "passwords": {"memory_mebibytes": 8, "rounds": 1}}
    with running(settings_in(tmp_path_factory.mktemp("agents"), access=access)) as county:
        add_user(county, "wang", Role.COUNTY_ADMIN)
        add_user(county, "li", Role.SCHOOL_ADMIN, "s1")
        made = Site(county, Visitor(county.port), Visitor(county.port))
        made.admin.log_in("wang")
        made.head.log_in("li")
        yield made


def text_of(answer: Answered) -> str:
    return html.unescape(answer.body.decode())


def code_in(page: str) -> str:
    return str(re.findall(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b", page)[0])


def document_in(page: str) -> str:
    found = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert found is not None
    return found[1]


def seen_in(page: str) -> str:
    return str(re.findall(r'name="seen" value="(\d*)"', page)[0])


def test_a_code_is_shown_once_and_enrols(site: Site) -> None:
    page = text_of(site.admin.post("/agents?lang=en", what="invite", school="s1", agent="gate"))
    code = code_in(page)
    assert f"--code {code}" in page
    assert "The setting public_url is empty" in page
    assert "<svg" in page.partition('class="qr"')[2]
    assert code not in text_of(site.admin.get("/agents?lang=en"))
    assert enrol(site.county, code, digest_of(new_token())).json == {"agent": "gate", "school": "s1"}
    listed = text_of(site.admin.get("/agents?lang=en"))
    assert "its own settings only" in listed
    assert "wang agents.invite s1" in site.log()


def test_a_new_code_a_new_token_and_the_end_of_an_agent(site: Site) -> None:
    county = site.county
    assert county.request("GET", "/api/v1/agent/config").status == 200
    assert site.admin.post("/agents", what="rotate", agent="a1").status == 303
    assert county.rooms.enrolment.states.rotation_asked_at("a1") is not None
    assert site.admin.post("/agents", what="revoke", agent="a1").status == 303
    assert county.request("GET", "/api/v1/agent/config").status == 401
    code = code_in(text_of(site.admin.post("/agents", what="invite", school="s1", agent="a1")))
    assert enrol(county, code, digest_of(new_token())).json["agent"] == "a1"
    assert {"wang agents.rotate a1", "wang agents.revoke a1"} <= set(site.log())


def test_sheets_for_the_schools_that_have_no_agent(site: Site) -> None:
    site.county.rooms.registry.put_school(School("s3", name="=2+3"))
    sheet = site.admin.post("/agents/codes", whom="missing", format="csv")
    assert sheet.headers["content-disposition"] == 'attachment; filename="codes.csv"'
    assert sheet.headers["cache-control"] == "no-store"
    rows = sheet.body.decode().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["s3", "'=2+3"]]
    page = site.admin.post("/agents/codes?lang=en", whom="all", format="html").body.decode()
    assert page.count("<section>") == 3
    assert page.count("<svg") == 3


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("/agents", {"what": "invite", "school": "s9"}, "school s9: is not known"),
        ("/agents", {"what": "invite", "school": "s1", "agent": "b1"}, "agent b1: is of school s2"),
        ("/agents", {"what": "invite", "school": "s1", "agent": "../x"}, "is not"),
        ("/agents", {"what": "revoke", "agent": "nobody"}, "agent nobody: is not known"),
        ("/agents", {"what": "dance"}, "allowed: invite, rotate, revoke"),
        ("/agents/codes", {"whom": "all", "format": "pdf"}, "format: allowed: html, csv"),
        (f"{OF_SCHOOL}s9", {"what": "set"}, "allowed: county, school:ID, agent:ID"),
        (f"{OF_SCHOOL}s2", {"what": "set", "document": "a: [1"}, "document: line 1 is not YAML"),
        (f"{OF_SCHOOL}s2", {"what": "set", "document": "x: 1"}, "key x: the county may not set it"),
        (f"{OF_SCHOOL}s2", {"what": "back", "number": "7"}, "there is nothing to go back to"),
        (f"{OF_SCHOOL}s2", {"what": "back", "number": "-1"}, "number: allowed is that of a state"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_over_what_was_typed(
    site: Site, path: str, fields: dict[str, str], said: str
) -> None:
    answer = site.admin.post(path, None, **{"seen": "", **fields})
    assert answer.status in (400, 404)
    assert said in text_of(answer)
    if fields.get("document") and "s9" not in path:
        assert document_in(text_of(answer)) == fields["document"]


def test_a_document_is_tried_set_and_brought_back(site: Site) -> None:
    path, book = f"{CONFIGURATION}?for=school:s1&lang=en", site.county.rooms.enrolment.configurations
    tried = text_of(site.admin.post(path, what="try", seen="", document=DOCUMENT))
    assert "nothing is changed yet" in tried
    assert book.current(Scope("school", "s1")) is None
    assert site.admin.post(path, what="set", seen="", document=DOCUMENT).status == 303
    first = text_of(site.admin.get(path))
    assert document_in(first).replace("\r", "") == DOCUMENT
    late = site.admin.post(path, what="set", seen="", document="plan: changxing")
    assert (late.status, "set meanwhile" in text_of(late)) == (409, True)
    assert site.admin.post(path, what="set", seen=seen_in(first), document="plan: changxing").status == 303
    tried = text_of(site.admin.post(path, what="try_back", number="1"))
    assert "window: 20s" in tried.partition("nothing is changed yet")[2].partition("<form")[0]
    assert site.admin.post(path, what="back", number="1").status == 303
    current = book.current(Scope("school", "s1"))
    assert current is not None
    assert (current.number, current.set_by, current.document) == (
        3, "wang", {"probes": {"ping": {"window": "20s"}}},
    )  # fmt: skip
    told = text_of(site.admin.get(f"{CONFIGURATION}?for=agent:a1&lang=en"))
    assert "window: 20s" in told.partition("told in all")[2]


def test_secrets_are_never_shown_and_stay_when_masked(site: Site) -> None:
    path = f"{CONFIGURATION}?for=county"
    document = f"probes: {{snmp: {{devices: [{{id: core, host: 10.0.0.2, community: {CANARY}}}]}}}}"
    tried = text_of(site.admin.post(path, what="try", seen="", document=document))
    assert CANARY not in tried.partition("<textarea")[0]
    site.admin.post(path, what="set", seen="", document=document)
    page = text_of(site.admin.get(path))
    assert CANARY not in page
    changed = document_in(page).replace("10.0.0.2", "10.0.0.3")
    assert site.admin.post(path, what="set", seen=seen_in(page), document=changed).status == 303
    room = site.county.rooms.enrolment
    held = room.configurations.current(Scope("county"))
    assert held is not None
    assert room._seal.opened(held.document)["probes"]["snmp"]["devices"][0] == {
        "id": "core", "host": "10.0.0.3", "community": CANARY,
    }  # fmt: skip


def test_a_school_admin_reads_his_agents_and_changes_none(site: Site) -> None:
    page = text_of(site.head.get("/agents?lang=en"))
    assert "a1" in page
    assert "b1" not in page
    assert '<form method="post" action="/agents' not in page
    for path, fields in (
        ("/agents", {"what": "revoke", "agent": "a1"}), ("/agents/codes", {"whom": "all", "format": "csv"}),
        (CONFIGURATION, {"what": "set"}),
    ):  # fmt: skip
        assert site.head.post(path, None, **fields).status == 403
    assert site.head.get(CONFIGURATION).status == 403


def test_forms_of_other_sites_do_nothing(site: Site) -> None:
    elsewhere = {"Origin": "https://evil.example"}
    assert site.admin.post("/agents", elsewhere, what="revoke", agent="b1").status == 403
    assert site.admin.post(CONFIGURATION, elsewhere, what="set", seen="", document="").status == 403
    assert site.county.request("GET", "/api/v1/agent/config", agent="b1").status == 200
