"""Every query of every panel against a real influxd that the collector's own store filled."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from collector.batch import Batch, Series, batch_of
from config.measurements import schema
from config.points import FieldValue
from deploy.grafana.make_dashboards import HERE, SCHOOLS, boards
from tests.collector.store.engines import in_influxdb
from tests.collector.store.influxd import influxd, proxy

VALUES: dict[str, FieldValue] = {"int": 3, "float": 0.5, "bool": True, "string": "words"}
MACROS = {"$__interval": "60s", "$timeFilter": "time > now() - 1h", "$school": "sd-001"}


def test_what_is_shipped_is_what_the_schema_says() -> None:
    """Made anew by ``python -m deploy.grafana.make_dashboards``."""
    shipped = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in HERE.glob("*.json")}
    assert shipped == boards()


def test_the_school_shows_every_declared_field() -> None:
    text = " ".join(target["query"] for _, target in targets("school"))
    for measurement, declared in schema().items():
        for field in declared.fields:
            assert f'"{field}"' in text, f"{measurement}.{field}"


@pytest.mark.needs("influxd")
def test_every_panel_gives_data(tmp_path: Path) -> None:
    with influxd(tmp_path / "influxd") as port:
        with proxy(port) as before, in_influxdb(tmp_path, before.port) as store:
            store.write([filled()])
        empty = [
            f"{board}: {panel['title']}: {target['query']}"
            for board in boards()
            for panel, target in targets(board)
            if not has_data(asked(port, target["query"]))
        ]
        assert empty == []
        assert asked(port, SCHOOLS)[0]["values"] == [["school", "sd-001"]]
        gone = '"school" =~ /^sd-404$/'
        text = str(next(targets("school"))[1]["query"]).replace('"school" =~ /^$school$/', gone)
        assert not has_data(asked(port, text)), "no data of another school"


def targets(board: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for panel in boards()[board]["panels"]:
        for target in panel.get("targets", ()):
            yield panel, target


def filled() -> Batch:
    """A point of every measurement with every tag and every field, as the collector has them stored."""
    now = time.time_ns()
    series, rows = [], []
    for place, (name, measurement) in enumerate(schema().items()):
        tags = {tag: "ipv4" if tag == "family" else "one" for tag in measurement.tags}
        series.append(Series(name, {**tags, "school": "sd-001", "agent": "sd-001-1"}))
        values = {key: VALUES[field.type] for key, field in measurement.fields.items()}
        rows.append((place, now - 60 * 10**9, values))
    return batch_of("sd-001", "sd-001-1", now, series, rows)


def asked(port: int, query: str) -> list[dict[str, Any]]:
    """The series that influxd answers to a panel's query, with Grafana's macros put in as it does."""
    for macro, value in MACROS.items():
        query = query.replace(macro, value)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/query?" + urlencode({"db": "xiaotong", "q": query}))
    answer = json.loads(connection.getresponse().read())
    connection.close()
    result = answer["results"][0]
    assert "error" not in result, f"{query}: {result}"
    series: list[dict[str, Any]] = result.get("series", [])
    return series


def has_data(series: list[dict[str, Any]]) -> bool:
    """Whether every column has a value in some row of some series."""
    columns = {name for each in series for name in each["columns"]}
    found = {
        name
        for each in series
        for row in each["values"]
        for name, value in zip(each["columns"], row, strict=True)
        if value is not None
    }
    return bool(columns) and columns == found
