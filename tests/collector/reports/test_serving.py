"""Reports over HTTP from a real collector: the totals of the file are those of the API."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest

from config.school import Line, School
from tests.collector.running import Running, running, settings_in

PLAN = {"plans": ["shandan"]}


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("county")
    settings = settings_in(folder, verdicts=PLAN, access={"anonymous": "county_admin"}, web={"refresh": 0})
    with running(settings) as made:
        schools = [School(f"t{n}", name=f"第{n}小学", classes=n, lines=(Line("wan"),)) for n in range(1, 6)]
        made.rooms.registry.put_schools(schools)
        made.rooms.verdicts.tick()
        yield made


def test_totals_are_the_apis(county: Running) -> None:
    data = county.request("GET", "/reports/county.xlsx?lang=en", agent=None)
    assert data.status == 200
    assert data.headers["content-disposition"].endswith(".xlsx")
    page = openpyxl.load_workbook(io.BytesIO(data.body)).worksheets[0]
    rows = {row[1].value: [cell.value for cell in row[2:6]] for row in page.iter_rows(min_row=8)}
    (plan,) = county.request("GET", "/api/v1/plans", agent=None).json["plans"]
    for each in plan["targets"]:
        told = [each["schools"], each["met"], each["not_met"], each["unknown"]]
        assert rows[each["target"]] == told, each["target"]
    assert sum(each["schools"] for each in plan["targets"]) > 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/reports", 200),
        ("/reports/county.csv?table=availability&bom", 200),
        ("/schools/t1/report.pdf", 200),
        ("/schools/t1/report.csv?lang=zh-CN", 200),
        ("/schools/nobody/report.csv", 404),
        ("/reports/county.exe", 404),
        ("/reports/county.csv?table=passwords", 404),
        ("/reports/county.csv?month=2031-01", 404),
        ("/reports/county.csv?plan=beilun", 404),
    ],
)
def test_every_download_answers(county: Running, path: str, status: int) -> None:
    assert county.request("GET", path, agent=None).status == status
