"""What a request for series asks for, read from its query and checked against the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from starlette.datastructures import QueryParams

from collector.web.problems import bad_request
from config.measurements import Measurement, schema
from config.units import parse_duration

DEFAULT_SPAN = timedelta(hours=1)
MAX_VALUES_OF_A_SERIES = 20_000
MAX_RAW_SPAN = timedelta(days=1)
STEPS_SECONDS = (300, 3600, 86400)
OWN_KEYS = ("measurement", "fields", "from", "to", "resolution")


class SeriesQuery(NamedTuple):
    """A measurement's fields over [start, end); ``resolution_seconds`` is None for points as measured."""

    measurement: str
    fields: tuple[str, ...]
    tags: Mapping[str, str]
    start: datetime
    end: datetime
    resolution_seconds: int | None


def series_query(params: QueryParams, now: datetime) -> SeriesQuery:
    """Read the query of ``…/series``. Raises Problem 400 that says what is allowed."""
    values = _once_each(params)
    name = values.get("measurement", "")
    declared = schema().get(name)
    if declared is None:
        raise bad_request(f"measurement {name!r} is not known; allowed: {', '.join(sorted(schema()))}")
    tags = {key: value for key, value in values.items() if key not in OWN_KEYS}
    _check_tags(name, declared, tags)
    end = _moment(values["to"], "to") if "to" in values else now
    start = _moment(values["from"], "from") if "from" in values else end - DEFAULT_SPAN
    if start >= end:
        raise bad_request("from must be before to")
    resolution = _resolution(values.get("resolution"), end - start)
    fields = _fields(name, declared, values.get("fields", ""), numeric=resolution is not None)
    return SeriesQuery(name, fields, tags, start, end, resolution)


def _once_each(params: QueryParams) -> dict[str, str]:
    items = params.multi_items()
    values = dict(items)
    if len(values) < len(items):
        raise bad_request("each parameter may be given once")
    return values


def _check_tags(name: str, declared: Measurement, tags: Mapping[str, str]) -> None:
    allowed = [*declared.tags, "agent"]
    for tag in tags:
        if tag not in allowed:
            raise bad_request(f"{tag!r} is no tag of {name}; allowed: {', '.join((*OWN_KEYS, *allowed))}")


def _fields(name: str, declared: Measurement, text: str, *, numeric: bool) -> tuple[str, ...]:
    usable = [
        field for field, about in declared.fields.items() if not numeric or about.type in ("int", "float")
    ]
    if not text:
        return tuple(usable)
    wanted: Sequence[str] = text.split(",")
    for field in wanted:
        if field not in usable:
            sort = "field of numbers" if numeric else "field"
            raise bad_request(f"{field!r} is no {sort} of {name}; allowed: {', '.join(usable)}")
    return tuple(wanted)


def _moment(text: str, key: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    # years at the ends of the calendar have no nanoseconds in 64 bits
    if moment is None or moment.tzinfo is None or not 1970 < moment.year < 2200:
        raise bad_request(
            f"{key}: {text!r} is no time; allowed: ISO 8601 with its offset, 2026-11-22T08:00:00Z"
        )
    return moment


def _resolution(text: str | None, span: timedelta) -> int | None:
    if text is None:
        return _fitting(span)
    if text == "raw":
        if span > MAX_RAW_SPAN:
            raise bad_request(
                f"resolution raw: at most {MAX_RAW_SPAN.days} day between from and to is allowed"
            )
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise bad_request(f"resolution: {error}, or raw") from None
    if seconds < 1 or not seconds.is_integer():
        raise bad_request("resolution: whole seconds from 1s on are allowed, or raw")
    if span.total_seconds() / seconds > MAX_VALUES_OF_A_SERIES:
        raise bad_request(
            f"resolution: at most {MAX_VALUES_OF_A_SERIES} windows between from and to are allowed"
        )
    return int(seconds)


def _fitting(span: timedelta) -> int | None:
    """Points as measured for a few hours, else the finest kept windows that stay under 2,000."""
    if span <= timedelta(hours=6):
        return None
    fitting = (step for step in STEPS_SECONDS if span.total_seconds() / step <= 2000)
    return next(fitting, STEPS_SECONDS[-1])
