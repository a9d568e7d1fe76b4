"""Writes the Grafana dashboards from config/measurements.yaml: ``python -m deploy.grafana.make_dashboards``.

The school's dashboard has every declared field; the county's the few that compare schools. InfluxQL, which
1.8 speaks by itself and 2.x by a mapping of every bucket to a database.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from config.measurements import Measurement, schema

HERE = Path(__file__).parent / "dashboards"
SOURCE = {"type": "influxdb", "uid": "xiaotong"}
UNITS = {"s": "s", "B": "bytes", "bit/s": "bps", "d": "d", "": "short"}
HALF, WHOLE, HEIGHT = 12, 24, 8
SCHOOLS = 'SHOW TAG VALUES FROM "agent" WITH KEY = "school"'


class Query(NamedTuple):
    """What one panel shows: an expression for each of its curves or columns."""

    title: str
    measurement: str
    columns: tuple[tuple[str, str], ...]
    """Expressions with the names they are shown by."""
    tags: tuple[str, ...]
    unit: str
    help: str = ""
    table: bool = False


COUNTY = (
    Query("Traffic of lines, down", "interface",
          (('sum("rx_bits_per_second_sum") / sum("samples")', "down"),), ("school", "line"), "bps"),
    Query("Traffic of lines, up", "interface",
          (('sum("tx_bits_per_second_sum") / sum("samples")', "up"),), ("school", "line"), "bps"),
    Query("Loss", "ping",
          (('sum("lost") / sum("sent")', "lost"),), ("school", "target", "family"), "percentunit"),
    Query("Round trip, median of a window", "ping",
          (('mean("rtt_median_seconds")', "rtt"),), ("school", "target", "family"), "s"),
    Query("Capacity tests", "capacity",
          (('last("ip_bits_per_second")', "at the IP layer"),), ("school", "line", "direction"), "bps"),
    Query("IPv6 level, at least", "ipv6_readiness",
          (('last("level_at_least")', "level"),), ("school",), "short"),
    Query("Terminals of the school, down", "terminal_test",
          (('last("down_bits_per_second")', "down"),), ("school",), "bps"),
    Query("Waiting in the agents' spools", "agent",
          (('last("spool_bytes")', "waiting"),), ("school",), "bytes"),
    Query("Failures of probes", "probe", (('sum("failures")', "failed"),), ("school", "probe"), "short"),
    Query("Clocks put right", "clock", (('max("moved_seconds")', "moved"),), ("school",), "s"),
)  # fmt: skip


def main() -> int:
    """Write both dashboards; prints their files."""
    for name, board in boards().items():
        file = HERE / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(board, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        sys.stdout.write(f"{file}\n")
    return 0


def boards() -> dict[str, dict[str, Any]]:
    """Both dashboards as Grafana reads them."""
    return {
        "county": _board("xiaotong-county", "校通 · 县 county", [_panel(query, "") for query in COUNTY]),
        "school": _board("xiaotong-school", "校通 · 学校 school", list(_school_panels())),
    }


def _school_panels() -> Iterator[dict[str, Any]]:
    for name, measurement in schema().items():
        yield {"type": "row", "title": f"{name}: {measurement.help}", "collapsed": False}
        for query in _queries(name, measurement):
            yield _panel(query, '"school" =~ /^$school$/ AND ')


def _queries(name: str, measurement: Measurement) -> Iterator[Query]:
    """A chart for each unit of the numbers, a table of the newest words and booleans."""
    tags = tuple(measurement.tags)
    numbers = [(key, field) for key, field in measurement.fields.items() if field.type in ("int", "float")]
    numbers.sort(key=lambda each: each[1].unit)
    for unit, some in groupby(numbers, key=lambda each: each[1].unit):
        listed = list(some)
        columns = tuple((_expression(key, measurement), _shown(key)) for key, field in listed)
        told = "\n".join(f"{key}: {field.help}" for key, field in listed)
        yield Query(f"{name} [{unit or '1'}]", name, columns, tags, UNITS[unit], told)
    words = [(key, field) for key, field in measurement.fields.items() if field.type in ("bool", "string")]
    if words:
        told = "\n".join(f"{key}: {field.help}" for key, field in words)
        columns = tuple((f'last("{key}")', key) for key, _ in words)
        yield Query(f"{name}, newest", name, columns, tags, "short", told, table=True)


def _expression(key: str, measurement: Measurement) -> str:
    """A sum of samples is shown as their mean; what counts within a window adds up; the rest is averaged."""
    if key.endswith("_sum") and "samples" in measurement.fields:
        return f'sum("{key}") / sum("samples")'
    for ending, function in (("_min", "min"), ("_max", "max")):
        if key.endswith(ending):
            return f'{function}("{key}")'
    return f'mean("{key}")'


def _shown(key: str) -> str:
    return key.removesuffix("_sum") + (" mean" if key.endswith("_sum") else "")


def _panel(query: Query, condition: str) -> dict[str, Any]:
    columns = ", ".join(f'{expression} AS "{name}"' for expression, name in query.columns)
    grouped = [f'"{tag}"' for tag in query.tags]
    if not query.table:
        grouped = ["time($__interval)", *grouped]
    group = f" GROUP BY {', '.join(grouped)}" if grouped else ""
    text = f'SELECT {columns} FROM "{query.measurement}" WHERE {condition}$timeFilter{group}'  # noqa: S608
    alias = " ".join(["$col", *(f"$tag_{tag}" for tag in query.tags)])
    target = {
        "refId": "A",
        "datasource": SOURCE,
        "rawQuery": True,
        "query": text + ("" if query.table else " fill(null)"),
        "resultFormat": "table" if query.table else "time_series",
        "alias": "" if query.table else alias,
    }
    return {
        "type": "table" if query.table else "timeseries",
        "title": query.title,
        "description": query.help,
        "datasource": SOURCE,
        "targets": [target],
        "fieldConfig": {"defaults": {"unit": query.unit, "custom": _drawn(query)}, "overrides": []},
    }


def _drawn(query: Query) -> dict[str, Any]:
    """No data is a gap, never a zero and never a line across it."""
    return {} if query.table else {"spanNulls": False, "showPoints": "auto", "lineWidth": 1}


def _board(uid: str, title: str, panels: list[dict[str, Any]]) -> dict[str, Any]:
    variables = []
    if uid.endswith("school"):
        variables.append(
            {
                "type": "query",
                "name": "school",
                "label": "学校 school",
                "datasource": SOURCE,
                "query": SCHOOLS,
                "definition": SCHOOLS,
                "refresh": 2,
                "sort": 1,
            }
        )
    return {
        "uid": uid,
        "title": title,
        "tags": ["xiaotong"],
        "timezone": "browser",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": list(_placed(panels)),
    }


def _placed(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Two charts beside each other, a row's title and a table over the whole width."""
    x = y = 0
    for number, panel in enumerate(panels, 1):
        wide = panel["type"] != "timeseries"
        if wide and x:
            x, y = 0, y + HEIGHT
        height = 1 if panel["type"] == "row" else HEIGHT
        width = WHOLE if wide else HALF
        yield {"id": number, **panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}}
        x = 0 if wide or x else HALF
        y += height if not x else 0


if __name__ == "__main__":
    sys.exit(main())
