"""What the county's staff does by page: lists of schools, maintenance, exams, messages, and files read."""

from __future__ import annotations

import html
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl
import pytest
import urllib3
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from collector.access.audit import entries
from collector.access.forms import BadForm
from collector.access.permissions import Role
from collector.main import main
from collector.messages.outbox import Entry
from collector.responder.ledger import Ledger
from collector.uptime.records import Records
from collector.web.uploads import parse
from tests.collector.access.visitor import Visitor, add_user
from tests.collector.messages.sinks import WECOM_KEY, WeComRobot, secret_file, serving
from tests.collector.running import Answered, Running, running, settings_in

PAGE = "/operations?lang=en"
LATER = "2099-01-31T22:00"


class Site(NamedTuple):
    county: Running
    admin: Visitor
    head: Visitor
    robot: WeComRobot

    def log(self) -> dict[str, Any]:
        """The newest line of the log of each action."""
        with self.county.rooms.registry.reading() as connection:
            return {each.action: (each.who, each.subject, each.detail) for each in entries(connection)[::-1]}

    def page(self) -> str:
        return text_of(self.admin.get(PAGE))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, robot = tmp_path_factory.mktemp("operations"), WeComRobot()
    with serving(robot) as url:
        channels = {
            "wecom": {"group": {"url_file": str(secret_file(folder, "url", f"{url}/?key={WECOM_KEY}"))}}
        }
        settings = settings_in(
            folder / "data",
            access={"anonymous": "none", "passwords": {"memory_mebibytes": 8, "rounds": 1}},
            responder={"listen": ["127.0.0.1"], "port": 0},
            messages={"channels": channels},
            terminals={"url": "http://net.example.cn"},
        )
        with running(settings) as county:
            add_user(county, "wang", Role.COUNTY_ADMIN)
            add_user(county, "li", Role.SCHOOL_ADMIN, "s1")
            made = Site(county, Visitor(county.port), Visitor(county.port), robot)
            made.admin.log_in("wang")
            made.head.log_in("li")
            yield made


def text_of(answer: Answered) -> str:
    return html.unescape(answer.body.decode())


def test_a_list_is_tried_then_imported(site: Site, tmp_path: Path) -> None:
    """The very file that the command writes as a template."""
    file = tmp_path / "list.xlsx"
    assert CliRunner().invoke(main, ["schools", "template", str(file)]).exit_code == 0
    book = openpyxl.load_workbook(file)
    ids = [row[0] for row in book.worksheets[0].iter_rows(min_row=2, values_only=True)]
    assert len(ids) == 1
    known = set(site.county.rooms.registry.schools())
    tried = site.admin.upload("/operations/schools?lang=en", "名单.xlsx", file.read_bytes(), what="try")
    assert "1 schools read, 1 would change; nothing is changed yet." in text_of(tried)
    assert "名单.xlsx" in text_of(tried)
    assert set(site.county.rooms.registry.schools()) == known
    done = site.admin.upload("/operations/schools?lang=en", "名单.xlsx", file.read_bytes(), what="import")
    assert "1 schools read, 1 changed." in text_of(done)
    (new,) = set(site.county.rooms.registry.schools()) - known
    assert site.log()["schools.import"] == ("wang", "名单.xlsx", {"changed": [new]})


def test_a_list_with_faults_is_not_imported_but_its_whole_rows_when_asked(site: Site) -> None:
    schools = site.county.rooms.registry.schools
    content = b"id,name,classes\ns7,Seven,6\ns8,Eight,many\n"
    refused = text_of(site.admin.upload("/operations/schools?lang=en", "l.csv", content, what="import"))
    assert "nothing was imported: the list has faults." in refused
    assert "row 3" in refused
    assert "s7" not in schools()
    partly = site.admin.upload("/operations/schools?lang=en", "l.csv", content, what="import", partial="1")
    assert "1 schools read, 1 changed." in text_of(partly)
    assert ("s7" in schools(), "s8" in schools()) == (True, False)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.pdf", b"%PDF", "file: is no list of schools; allowed: .xlsx, .csv, .yaml, .yml"),
        ("", b"", "file: is no list of schools"),
        ("x.xlsx", b"PK\x03\x04\r\n--x\r\n\r\n", "x.xlsx: is no whole .xlsx file"),
        ("../../x.csv", b"\xff\xfe", "is neither UTF-8 nor GB18030 text"),
        ("x.csv", b"", "x.csv: is empty"),
    ],
)
def test_what_is_no_list_is_said(site: Site, name: str, content: bytes, said: str) -> None:
    answer = site.admin.upload("/operations/schools?lang=en", name, content, what="import")
    assert (answer.status, said in text_of(answer)) == (400, True)
    assert "/tmp" not in text_of(answer)


def test_notices_are_a_pdf(site: Site) -> None:
    answer = site.admin.post("/operations/notices", school="s1")
    assert (answer.headers["content-type"], answer.body[:5]) == ("application/pdf", b"%PDF-")
    assert site.admin.post("/operations/notices", school="s9").status == 400


def test_maintenance_is_announced_before_it_begins(site: Site) -> None:
    fields = {"school": "s1", "from": LATER, "to": "2099-02-01T02:00", "why": "new cables"}
    assert site.admin.post("/operations/maintenance", None, **fields).status == 303
    (kept,) = Records(site.county.rooms.registry).maintenances(
        datetime.now(UTC), datetime.max.replace(tzinfo=UTC)
    )
    assert (kept.school_id, kept.why) == ("s1", "new cables")
    assert kept.starts_at == datetime(2099, 1, 31, 14, tzinfo=UTC)
    assert "new cables" in site.page()
    assert site.log()["maintenance.add"][:2] == ("wang", "s1")
    for changed, said in (
        ({"from": "2020-01-01T00:00"}, "has passed"), ({"to": LATER}, "after its beginning"),
        ({"from": "soon"}, "from: allowed is like"), ({"school": "s9"}, "school s9: is not known"),
        ({"to": "9999-12-31T23:59-12:00"}, "to: allowed is like"), ({"why": " "}, "why: allowed"),
    ):  # fmt: skip
        answer = site.admin.post("/operations/maintenance?lang=en", None, **{**fields, **changed})
        assert (answer.status, said in text_of(answer)) == (400, True), changed


def test_tests_are_suppressed_for_exams_and_granted_again(site: Site) -> None:
    ledger = Ledger(site.county.rooms.registry)
    fields = {"what": "suppress", "school": "", "until": LATER, "why": "exams"}
    assert site.admin.post("/operations/tests", None, **fields).status == 303
    now = datetime.now(UTC)
    (held,) = ledger.suppressions(now)
    assert (held.covers("s2", now + timedelta(seconds=1)), held.why) == (True, "exams")
    assert "2099-01-31 22:00" in site.page()
    assert site.admin.post("/operations/tests", None, **{**fields, "until": "2001-01-01"}).status == 400
    assert site.admin.post("/operations/tests", None, **{**fields, "school": "s9"}).status == 400
    assert site.admin.post("/operations/tests", what="resume").status == 303
    assert ledger.suppressions(now) == []
    assert {"capacity.suppress", "capacity.resume"} <= site.log().keys()


def test_a_channel_is_tried_and_messages_are_dropped_and_sent_again(site: Site) -> None:
    said = text_of(site.admin.post("/operations/messages?lang=en", what="test", channel="group"))
    assert f"Sent over group: {site.robot.keys[0]}" in said
    assert site.robot.taken[0].startswith("[Test]")
    refused = site.admin.post("/operations/messages", what="test", channel="nobody")
    assert (refused.status, "channel nobody: is not known" in text_of(refused)) == (400, True)
    outbox, later = site.county.rooms.messages.outbox, datetime.now(UTC) + timedelta(days=1)
    outbox.put([Entry("9-1-opened-duty", "group", "duty", "info", "{}", later)], datetime.now(UTC))
    (waiting,) = outbox.listed(("waiting",))
    assert "9-1-opened-duty" in site.page()
    assert site.admin.post("/operations/messages", what="drop", number=waiting.id).status == 303
    assert site.admin.post("/operations/messages", what="drop", number=waiting.id).status == 400
    assert [each.state for each in outbox.listed(("waiting", "dropped"))] == ["dropped"]


def test_who_may_not_and_forms_of_other_sites(site: Site) -> None:
    assert site.head.get("/operations").status == 403
    assert site.head.upload("/operations/schools", "l.csv", b"id,name\nx1,X\n", what="import").status == 403
    for path in ("notices", "maintenance", "tests", "messages"):
        assert site.head.post(f"/operations/{path}").status == 403
        assert site.admin.post(f"/operations/{path}", {"Origin": "https://evil.example"}).status == 403
    body, kind = urllib3.encode_multipart_formdata({"what": "import", "file": ("l.csv", b"id,name\nx1,X\n")})
    evil = {"Content-Type": kind, "Origin": "https://evil.example"}
    assert site.admin.ask("POST", "/operations/schools", body, evil).status == 403
    assert "x1" not in site.county.rooms.registry.schools()
    assert site.admin.post("/operations/schools", what="import").status == 400


@given(content=st.binary(), what=st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_file_comes_as_another_library_sent_it(content: bytes, what: str) -> None:
    body, kind = urllib3.encode_multipart_formdata(
        {"what": what, "file": ("名单.csv", content)}, boundary="----boundary"
    )
    assert kind.endswith("----boundary")
    assert parse(body, b"----boundary") == ({"what": what}, "名单.csv", content)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"--b", b"--b--", b"--b\r\n\r\nx\r\n--b--", b"--b\r\nx: y\r\n--b--", b"--b\r\n",
        b'--b\r\nx: form-data; name="file"; filename="a\0.csv"\r\n\r\nx\r\n--b--',
    ],
)  # fmt: skip
def test_a_body_that_is_no_form_is_refused(body: bytes) -> None:
    if body == b"--b--":
        assert parse(body, b"b") == ({}, "", b"")
    else:
        with pytest.raises(BadForm):
            parse(body, b"b")
